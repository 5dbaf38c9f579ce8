"""A display grant over the control channel is seen at the next run of the cell, not before."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.jupyter.control_client import ControlClient
from tests.browser.jupyter import JupyterServer, OpenNotebook, open_notebook

POLICY = """
version = 1
extends = "default"
[[ask.display]]
html = "raw"
javascript = "raw"
reason = "a person may let a notebook of their own act"
"""
LAUNCHER = """
import sys
from sandbox_kernel.__main__ import main
from sandbox_kernel.trusted.options import LaunchOptions
raise SystemExit(main(sys.argv[2:], LaunchOptions(policy_paths=[("admin", sys.argv[1])])))
"""
CELL = """
from IPython.display import HTML
try:
    run += 1
except NameError:
    run = 1
HTML(f'<p>run {run}</p><p id="drawn"></p><script>drawn.textContent = "drawn in {run}";'
     f'window.acted = {run}</script>')
"""
FRAME = {"display": [{"html": "frame", "javascript": "frame"}]}
RAW = {"display": [{"html": "raw", "javascript": "raw"}]}


def control(server: JupyterServer) -> ControlClient:
    [file] = (server.folder / "state" / "runtime").glob("kernel-*.json")
    return ControlClient(file)


class Seen:
    """The one cell, run again and again, and what of its output is in the page."""

    def __init__(self, notebook: OpenNotebook) -> None:
        self.notebook = notebook
        self.page = notebook.page
        self.runs = 0

    def again(self) -> Any:
        self.runs += 1
        self.notebook.start_all()
        return self.notebook.outputs(0)

    def is_withheld(self) -> None:
        outputs = self.again()
        outputs.get_by_text(f"run {self.runs}", exact=True).wait_for()
        assert outputs.locator("[role=note]").inner_text().startswith("Withheld: script")
        assert outputs.locator("iframe").count() == 0
        assert self.acted() != self.runs

    def is_framed(self) -> None:
        inner = self.again().frame_locator("iframe").frame_locator("iframe")
        inner.get_by_text(f"drawn in {self.runs}", exact=True).wait_for()
        assert self.acted() != self.runs

    def acts(self) -> None:
        self.again().get_by_text(f"drawn in {self.runs}", exact=True).wait_for()
        assert self.acted() == self.runs

    def acted(self) -> Any:
        """The last run whose script ran in the front end's own page."""
        return self.page.evaluate("window.acted")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("frontend", ["lab", "notebook"])
def test_a_display_grant_is_seen_narrowed_and_revoked(
    frontend: str, page: Any, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    with JupyterServer(frontend, tmp_path) as server:
        argv = [sys.executable, "-c", LAUNCHER, str(policy), "-f", "{connection_file}"]
        server.kernel("granting", argv)
        server.notebook("grants.ipynb", [CELL], "granting")
        seen = Seen(open_notebook(page, server, "grants.ipynb"))
        with control(server) as person:
            seen.is_withheld()
            [framed] = person.command("grant", FRAME)["ids"]
            seen.is_framed()
            [raw] = person.command("grant", RAW)["ids"]
            seen.acts()
            person.command("narrow", {"id": raw, **FRAME})
            seen.is_framed()
            person.command("revoke", {"ids": [raw, framed]})
            seen.is_withheld()


@pytest.mark.timeout(240)
def test_a_display_grant_goes_no_further_than_the_policy(page: Any, tmp_path: Path) -> None:
    with JupyterServer("lab", tmp_path) as server:
        server.notebook("grants.ipynb", [CELL], "sandbox-python")
        seen = Seen(open_notebook(page, server, "grants.ipynb"))
        with control(server) as person:
            seen.is_withheld()
            # More than a line of the policy covers: what a line covers is granted, the rest told.
            granted = person.command("grant", RAW)
            assert "html = raw" in granted["left_out"][0]
            seen.is_framed()
            person.command("revoke", {"ids": granted["ids"]})
            seen.is_withheld()
