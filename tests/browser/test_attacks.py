"""Active output does nothing behind the gate, and everything without it.

Each attack runs twice in the same front end: under plain ipykernel, where it must leave its
witness, and behind the gate, where it must not.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.attacks import ATTACKS, NEXT_CELL, Attack
from tests.browser.jupyter import JupyterServer, open_notebook
from tests.browser.witnesses import Listener, script

GATED = [sys.executable, "-m", "tests.browser.gated_kernel", "{}", "-f", "{connection_file}"]
FRONTENDS = ("lab", "notebook")
KERNELS = ("python3", "gated", "sandbox-python")
"""Nothing in the way, the gate alone, and the whole product with its default policy."""

WITNESS_DEADLINE = 15.0
"""Seconds in which an attack that wins leaves its witness."""

QUIET = 2_000
"""Milliseconds given to an attack that should do nothing. Nothing announces an absence."""


NEVER_ASK_ON_LEAVING = (
    "addEventListener('beforeunload', event => event.stopImmediatePropagation(), true)"
)


class Played:
    """All attacks, played in one front end under one kernel."""

    def __init__(self, server: JupyterServer, listener: Listener, kernel: str) -> None:
        self.server, self.listener, self.kernel = server, listener, kernel
        self.place = f"{kernel}"

    def play(self, chromium: Any) -> None:
        attacks = ATTACKS
        if self.kernel == "sandbox-python":
            attacks = tuple(each for each in ATTACKS if not each.needs_rights)
        together = [each for each in attacks if not each.alone]
        if together:
            self._run(chromium, "all.ipynb", together)
        for attack in attacks:
            if attack.alone:
                self._run(chromium, f"{attack.name}.ipynb", [attack])

    def _run(self, chromium: Any, path: str, attacks: list[Attack]) -> None:
        cells = []
        for each in attacks:
            cells += each.source(self.listener.url).split(NEXT_CELL)
            if each.file:
                (self.server.root / each.file).write_text(script(each.name, self.listener.url))
        (self.server.root / "secret.txt").write_text("secret")
        self.server.notebook(path, cells, self.kernel)
        context = chromium.new_context(viewport={"width": 1200, "height": 20_000})
        page = context.new_page()
        try:
            # "Leave this page?" of the front end would wait for a person.
            page.add_init_script(NEVER_ASK_ON_LEAVING)
            notebook = open_notebook(page, self.server, path)
            notebook.start_all()
            control = self.kernel == "python3"
            if control and attacks[0].alone and not attacks[0].click:
                # The page may be gone at any moment: its notebook cannot be waited for.
                self.wait_for_witness(page, attacks[0])
                self._wait_until_left(page, attacks[0])
                return
            notebook.wait_for_run()
            for attack in attacks:
                self._act_as_a_person(page, attack)
            if control:
                for attack in attacks:
                    if not attack.note:
                        self.wait_for_witness(page, attack)
                if attacks[0].alone:
                    self._wait_until_left(page, attacks[0])
                    return
            page.evaluate(f"() => new Promise(done => setTimeout(done, {QUIET}))")
            if len(attacks) > 1:
                notebook.save()
        finally:
            context.close()

    def _act_as_a_person(self, page: Any, attack: Attack) -> None:
        """Click and pass over what the attack has put there, if it has."""
        target = (
            page.locator(attack.click or attack.hover) if attack.click or attack.hover else None
        )
        if target is None:
            return
        if self.kernel == "python3" and not attack.note:
            target.first.wait_for(state="attached")
        if not target.count():
            return
        if attack.click:
            target.first.evaluate("element => void setTimeout(() => element.click(), 0)")
        else:
            target.first.hover()
            box = target.first.bounding_box()
            page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2 + 3)

    def _wait_until_left(self, page: Any, attack: Attack) -> None:
        # Chromium does not close a context in the middle of a navigation.
        if attack.leaves and self.witnessed(attack):
            page.wait_for_url(f"{self.listener.url}/**")

    def wait_for_witness(self, page: Any, attack: Attack) -> None:
        """Give an attack of the control its time; the page's own dialogs are answered meanwhile."""
        deadline = time.monotonic() + WITNESS_DEADLINE
        while not self.witnessed(attack) and time.monotonic() < deadline:
            page.wait_for_timeout(50)

    def witnessed(self, attack: Attack) -> bool:
        """Whether the attack has left its witness."""
        paths = self.listener.paths
        if attack.witness == "contact":
            return attack.name in paths
        pattern = "*.linker" if attack.name == "command-linker" else f"w-{attack.name}.txt"
        return f"js-{attack.name}" in paths or any(self.server.root.glob(pattern))


@pytest.fixture(scope="module", params=FRONTENDS)
def played(
    request: pytest.FixtureRequest, chromium: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Played]]:
    results: dict[str, Played] = {}
    with contextlib.ExitStack() as running:
        for kernel in KERNELS:
            listener = running.enter_context(Listener())
            folder = tmp_path_factory.mktemp(f"attacks-{request.param}")
            server = running.enter_context(JupyterServer(request.param, folder))
            server.kernel("gated", GATED)
            results[kernel] = Played(server, listener, kernel)
            results[kernel].play(chromium)
        yield results


@pytest.mark.timeout(900)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_active_output_does_nothing_behind_the_gate(
    played: dict[str, Played], attack: Attack
) -> None:
    if not attack.note:
        assert played["python3"].witnessed(attack), "the control left no witness"
    assert not played["gated"].witnessed(attack)
    assert not played["sandbox-python"].witnessed(attack)
