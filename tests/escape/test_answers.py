"""What a person allowed, over time: it leads where it led, ends when it ends, narrows at once.

Each attack has a control in which it succeeds.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.jupyter.control_client import ControlClient
from tests.features.kernel.conftest import Kernel, started

POLICY = """
version = 1
extends = "default"
language = "full"
[[ask.files]]
path = "."
mode = "read"
reason = "the person's folder"
"""
#: Numbers of the choices, as a front end shows them.
ONCE, SESSION, ALWAYS, NO = "1", "2", "3", "4"


def stop(kernel: Kernel) -> None:
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


@contextlib.contextmanager
def running(folder: Path, level: str | None = None) -> Iterator[Kernel]:
    made = started(folder, level=level, policy=POLICY)
    try:
        yield made
    finally:
        stop(made)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("place", "shown"), ("other", "not shown")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(content)
    return tmp_path


def swap(folder: Path) -> None:
    """Have another program put a link where the folder of a remembered answer was."""
    (folder / "place").rename(folder / "aside")
    (folder / "place").symlink_to("other")


READ = "try: print(open('place/file').read())\nexcept PermissionError: print('refused')"


def test_a_remembered_yes_does_not_follow_a_link_that_was_swapped_in(folder: Path) -> None:
    with running(folder) as kernel:
        assert kernel.run(READ, answer=ALWAYS).text() == "shown\n"
    with running(folder) as kernel:
        assert kernel.run(READ).text() == "shown\n", "the answer is remembered"
    swap(folder)
    with running(folder) as kernel:
        assert kernel.run(READ).text() == "refused\n"
        with ControlClient(kernel.manager.connection_file) as client:
            assert any("leads elsewhere" in text for text in client.status()["problems"])
        # Asked again, the person sees where it leads now.
        assert kernel.run(READ, answer=NO).text() == "refused\n"
    # The control: without what the store says of the place, the name alone decides.
    store = folder / "state" / "approvals.json"
    content = json.loads(store.read_text())
    (approval,) = content["approvals"]
    assert approval["leads"] == [str(folder / "place" / "file")]
    approval["leads"] = [str((folder / "place" / "file").resolve())]
    store.write_text(json.dumps(content))
    with running(folder) as kernel:
        assert kernel.run(READ).text() == "not shown\n"


def test_an_answer_for_the_session_does_not_follow_one_either(folder: Path) -> None:
    with running(folder) as kernel:
        assert kernel.run(READ, answer=SESSION).text() == "shown\n"
        assert kernel.run(READ).text() == "shown\n"
        swap(folder)
        with ControlClient(kernel.manager.connection_file) as client:
            client.grant({"files": [{"path": "aside", "mode": "read"}]})
            assert kernel.run(READ).text() == "refused\n"
            # The control: a grant of the name as it is now.
            client.grant({"files": [{"path": "place", "mode": "read"}]})
            assert kernel.run(READ).text() == "not shown\n"


# --- while a cell runs ----------------------------------------------------------------------------

#: Reads until it may not, and says so; ends by itself after `n` readings.
LOOP = """
import time
for n in range({most}):
    try:
        open('place/file').read()
    except OSError as error:
        print(type(error).__name__, flush=True)
        break
    if n == 10: print('reads', flush=True)
    time.sleep(0.02)
else:
    print('to the end', flush=True)
"""


@pytest.fixture(params=[None, "no-namespaces"])
def kernel(request: pytest.FixtureRequest, folder: Path) -> Iterator[Kernel]:
    with running(folder, request.param) as made:
        yield made


def told(kernel: Kernel) -> Callable[[str], dict[str, Any]]:
    return lambda text: kernel.published(lambda m: m["content"].get("text") == f"{text}\n")


def test_a_grant_that_is_narrowed_while_a_cell_runs_is_narrowed_in_it(kernel: Kernel) -> None:
    with ControlClient(kernel.manager.connection_file) as client:
        (grant,) = client.grant({"files": [{"path": "place", "mode": "read"}]})
        cell = kernel.client.execute(LOOP.format(most=1000), allow_stdin=False)
        told(kernel)("reads")
        client.narrow(grant, {"files": [{"path": "place/nothing", "mode": "read"}]})
        told(kernel)("PermissionError")
        assert kernel.reply_to(cell)["content"]["status"] == "ok"
        # The control: narrowed to what it reads, it goes on.
        (grant,) = client.grant({"files": [{"path": "place", "mode": "read"}]})
        cell = kernel.client.execute(LOOP.format(most=60), allow_stdin=False)
        told(kernel)("reads")
        client.narrow(grant, {"files": [{"path": "place/file", "mode": "read"}]})
        told(kernel)("to the end")
        assert kernel.reply_to(cell)["content"]["status"] == "ok"


@pytest.mark.parametrize(("lasts", "end"), [("1 s", "PermissionError"), ("1 h", "to the end")])
def test_a_right_ends_in_the_midst_of_a_cell(kernel: Kernel, lasts: str, end: str) -> None:
    with ControlClient(kernel.manager.connection_file) as client:
        client.grant({"files": [{"path": "place", "mode": "read", "expires": lasts}]})
        cell = kernel.client.execute(LOOP.format(most=150), allow_stdin=False)
        told(kernel)(end)
        assert kernel.reply_to(cell)["content"]["status"] == "ok"
        events = [record["who"] for record in client.audit() if record["event"] == "revoked"]
        assert ("its end" in events) is (end == "PermissionError")


MODULES = """
version = 1
extends = "locked-down"
[[ask.modules]]
names = ["tabnanny"]
reason = "of the test"
"""


def test_a_revoked_module_is_refused_at_its_next_import_and_stays_where_it_is_held(
    tmp_path: Path,
) -> None:
    """The second half is a known gap (docs/threat-model.md): only the process's end takes it."""
    kernel = started(tmp_path, policy=MODULES)
    try:
        with ControlClient(kernel.manager.connection_file) as client:
            assert "ImportError" in kernel.run("import tabnanny").error
            (grant,) = client.grant({"modules": ["tabnanny"]})
            assert kernel.run("import tabnanny").status == "ok"
            client.revoke({"id": grant})
            assert "ImportError" in kernel.run("import tabnanny").error
            assert "ImportError" in kernel.run("from tabnanny import errprint").error
            assert kernel.run("print(tabnanny.filename_only)").status == "ok"
    finally:
        stop(kernel)


# --- a cell's part of the audit log ---------------------------------------------------------------

ASK = (
    "import gc\n"
    "link = next(o for o in gc.unfreeze() or gc.get_objects() if type(o).__name__ == 'Link')\n"
    "for n in range({count}):\n"
    "    link.ask('tried', {{'action': 'read', 'resource': {name}}})\n"
    "print('done')"
)


@pytest.mark.parametrize("name", ["f'/nowhere/{n}' + '\\U0010ffff' * 3000", "f'many/{n}'"])
def test_a_cell_cannot_push_others_records_out_of_the_log(kernel: Kernel, name: str) -> None:
    with ControlClient(kernel.manager.connection_file) as client:
        client.grant({"files": [{"path": "place", "mode": "read"}]})
        (kernel.folder / "many").mkdir()
        for n in range(1200):
            (kernel.folder / "many" / f"{n}").touch()
        assert kernel.run(ASK.format(count=1200, name=name)).text() == "done\n"
        state = kernel.folder / "state"
        written = sum(part.stat().st_size for part in state.glob("audit.jsonl*"))
        assert written < 1_500_000
        assert not (state / "audit.jsonl.1").exists()
        assert '"granted"' in (state / "audit.jsonl").read_text()
        assert any("too many refusals" in text for text in client.status()["problems"])


def test_what_a_cell_puts_beside_a_question_is_not_kept(kernel: Kernel) -> None:
    """While a person thinks, many big questions wait: the supervisor keeps what they are about."""
    import psutil

    supervisor = psutil.Process(kernel.manager.provisioner.process.pid)
    code = (
        "import gc, os\n"
        "from sandbox_kernel.shared.messages import Question\n"
        "link = next(o for o in gc.unfreeze() or gc.get_objects() if type(o).__name__ == 'Link')\n"
        "more = 'x' * 10_000_000\n"
        "for n in range(60):\n"
        "    asked = {'action': 'read', 'resource': 'other/file', 'more': more}\n"
        "    link.send(Question(10**6 + n, 'tried', asked))\n"
        "print('sent', flush=True)\n"
        "link.ask('can', {'action': 'read', 'resource': 'x'})\n"
        "print('heard', flush=True)\n"
        "input()"
    )
    kernel.run("1")
    before = supervisor.memory_info().rss
    cell = kernel.client.execute(code, allow_stdin=True)
    told(kernel)("heard")
    with contextlib.suppress(queue.Empty):
        assert "other/file" in kernel.client.get_stdin_msg(timeout=20)["content"]["prompt"]
    assert supervisor.memory_info().rss - before < 300_000_000  # All of it would be twice that.
    threading.Thread(target=kernel.manager.interrupt_kernel).start()
    assert kernel.reply_to(cell)["content"]["status"] == "error"
