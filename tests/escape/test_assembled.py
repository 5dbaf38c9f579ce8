"""Attacks on the assembled kernel: cells with native code, policy, doors and channels together.

Each test has a witness outside the kernel, and shows first that the attack works where the right
is there.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from sandbox_kernel.jupyter.control_client import ControlClient
from tests.features.kernel.conftest import Kernel, started

POLICY = """
version = 1
extends = "default"
language = "full"
[[ask.sockets]]
connect = "127.0.0.1:*"
private = true
reason = "a service of the test"
[[ask.sockets]]
udp = "127.0.0.1:*"
private = true
reason = "a service of the test"
[[ask.sockets]]
listen = "127.0.0.1:*"
private = true
reason = "a service in the cell"
[[ask.files]]
path = "."
mode = "write"
reason = "the person's folder"
[[on_request.files]]
path = "course"
mode = "read"
reason = "what the course hands out"
[limits]
memory = "300 MB"
"""
SECONDS = 20.0
QUIET = 1.0


@pytest.fixture(scope="module", params=["full", "no-namespaces"])
def kernel(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("assembled")
    wishes = {"sandbox": {"files": [{"path": "course", "mode": "read"}]}}
    document = {"cells": [], "metadata": wishes, "nbformat": 4, "nbformat_minor": 5}
    (folder / "notebook.ipynb").write_text(json.dumps(document))
    level = None if request.param == "full" else request.param
    made = started(folder, level=level, policy=POLICY)
    if request.param != (found := _level(made)):
        _stop(made)
        pytest.skip(f"this machine gives {found}")
    yield made
    _stop(made)


def _level(kernel: Kernel) -> str:
    with ControlClient(kernel.manager.connection_file) as client:
        return str(client.status()["level"])


def _stop(kernel: Kernel) -> None:
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


@pytest.fixture
def control(kernel):
    with ControlClient(kernel.manager.connection_file) as client:
        yield client


def arrives(connection: socket.socket) -> bytes:
    """What a witness gets now; nothing when nothing comes."""
    connection.settimeout(QUIET)
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        return connection.recv(100)
    return b""


# --- sockets whose right has ended ----------------------------------------------------------------


def test_datagrams_end_with_their_right_also_to_the_same_address(kernel, control):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as witness:
        witness.bind(("127.0.0.1", 0))
        witness.settimeout(SECONDS)
        address = witness.getsockname()
        (grant,) = control.grant({"sockets": [{"udp": f"127.0.0.1:{address[1]}"}]})
        kernel.run(
            "import socket\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"s.sendto(b'before', {address!r})"
        )
        assert witness.recv(100) == b"before"
        control.revoke({"id": grant})
        assert "PermissionError" in kernel.run(f"s.sendto(b'after', {address!r})").error
        assert arrives(witness) == b""


def test_a_connection_that_is_under_way_between_two_sockets_ends_with_its_right(kernel, control):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SECONDS)
        port = server.getsockname()[1]
        (grant,) = control.grant({"sockets": [{"connect": f"127.0.0.1:{port}"}]})
        kernel.run(
            "import socket\n"
            "out, back = socket.socketpair()\n"
            f"t = socket.create_connection(('127.0.0.1', {port}))\n"
            "t.sendall(b'before')\n"
            "socket.send_fds(out, [b'x'], [t.fileno()])\n"
            "t.close()"
        )
        witness, _ = server.accept()
        with witness:
            assert arrives(witness) == b"before"
            control.revoke({"id": grant})
            kernel.run(
                "_, fds, _, _ = socket.recv_fds(back, 1, 1)\n"
                "socket.socket(fileno=fds[0]).sendall(b'after')"
            )
            assert arrives(witness) == b""
    assert kernel.run("1 + 1").status == "ok"


def test_what_a_listener_has_accepted_ends_with_its_right(kernel, control):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (grant,) = control.grant({"sockets": [{"listen": f"127.0.0.1:{port}"}]})
    kernel.run(
        "import socket\n"
        "listener = socket.socket()\n"
        "listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        f"listener.bind(('127.0.0.1', {port}))\n"
        "listener.listen()"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as witness:
        kernel.run("peer, _ = listener.accept()\npeer.sendall(b'before')")
        assert arrives(witness) == b"before"
        control.revoke({"id": grant})
        kernel.run("peer.sendall(b'after')")
        assert arrives(witness) == b""


def test_a_connection_that_takes_until_its_right_has_ended_is_not_made(kernel, control):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS):
            # The queue is full: the next one waits until the server takes this one.
            (grant,) = control.grant({"sockets": [{"connect": f"127.0.0.1:{port}"}]})
            kernel.run(
                "import socket, threading\n"
                "outcome = []\n"
                "def reach():\n"
                "    try:\n"
                f"        outcome.append(socket.create_connection(('127.0.0.1', {port})))\n"
                "    except OSError as error:\n"
                "        outcome.append(error)\n"
                "thread = threading.Thread(target=reach)\n"
                "thread.start()"
            )
            control.revoke({"id": grant})
            server.settimeout(SECONDS)
            server.accept()[0].close()
            ran = kernel.run("thread.join(20)\nprint(type(outcome[0]).__name__)")
            assert ran.text() == "PermissionError\n"


# --- files ----------------------------------------------------------------------------------------

_ASK = (
    "import gc\n"
    "link = next(o for o in gc.get_objects() if type(o).__name__ == 'Link')\n"
    "def told(action, path):\n"
    "    answer = link.ask('tried', {'action': action, 'resource': path})\n"
    "    return answer['text'].replace(path, 'PATH')\n"
)


def test_a_refusal_does_not_tell_whether_a_file_of_the_host_exists(kernel, tmp_path):
    (tmp_path / "here").write_text("x")
    (tmp_path / "link").symlink_to("here")
    names = [str(tmp_path / name) for name in ("here", "gone", "link")]
    for action in ("read", "create", "append", "write"):
        ran = kernel.run(_ASK + f"print(len({{told({action!r}, name) for name in {names!r}}}))")
        assert ran.text() == "1\n", ran.error
    # Where a line covers the path, the two are told apart.
    (kernel.folder / "here").write_text("x")
    ran = kernel.run(_ASK + "print(told('write', 'here') == told('write', 'gone'))")
    assert ran.text() == "False\n", ran.error


def test_a_link_that_a_cell_made_leads_nowhere_after_its_right_has_ended(kernel, control, tmp_path):
    (tmp_path / "secret").write_text("secret")
    course = kernel.folder / "course"
    course.mkdir()
    (course / "secret").write_text("of the course")
    read = "print(open('course/secret').read())"
    assert kernel.run(read).text() == "of the course\n"
    (grant,) = control.grant({"files": [{"path": ".", "mode": "write"}]})
    made = kernel.run(
        "import os\nos.unlink('course/secret')\nos.rmdir('course')\n"
        f"os.symlink({str(tmp_path)!r}, 'course')"
    )
    assert made.status == "ok", made.error
    assert course.is_symlink(), "the attack needs its link on the host"
    control.revoke({"id": grant})
    assert "PermissionError" in kernel.run(read).error
    control.grant({"files": [{"path": ".", "mode": "read"}]}, scope="cell")
    assert "PermissionError" in kernel.run(read).error


# --- questions ------------------------------------------------------------------------------------


class Person:
    """A front end that shows each question on stdin, and what was typed for it."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.seen: list[str] = []

    def run(self, code: str, answer: Callable[[str], str]) -> str:
        """Run a cell and answer its questions, in the order in which they come; the output."""
        text = []

        def shown(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                text.append(message["content"]["text"])

        def asked(message: dict[str, Any]) -> None:
            prompt = message["content"]["prompt"]
            self.seen.append(prompt)
            # Time for a second question to come, which must not.
            with contextlib.suppress(queue.Empty):
                again = self.kernel.client.get_stdin_msg(timeout=QUIET)
                self.seen.append("AT ONCE: " + again["content"]["prompt"])
            self.kernel.client.input(answer(prompt))

        self.kernel.client.execute_interactive(
            code, allow_stdin=True, output_hook=shown, stdin_hook=asked, timeout=60
        )
        return "".join(text)


def test_a_line_for_the_cell_is_no_answer_to_a_question_about_its_rights(kernel):
    (kernel.folder / "wanted").write_text("content of the file")
    code = (
        "import gc, threading, time\n"
        "from sandbox_kernel.shared.messages import InputWanted\n"
        "link = next(o for o in gc.get_objects() if type(o).__name__ == 'Link')\n"
        "to = get_ipython().kernel.get_parent()['header']['msg_id']\n"
        "def tried(path):\n"
        "    print(path, link.ask('tried', {'action': 'read', 'resource': path})['retry'])\n"
        "threads = [threading.Thread(target=tried, args=(p,)) for p in ('wanted', 'wanted2')]\n"
        "for each in threads: each.start(); time.sleep(0.2)\n"
        "link.send(InputWanted(to, 'a number, please', False))\n"
        "for each in threads: each.join()\n"
    )
    person = Person(kernel)
    (kernel.folder / "wanted2").write_text("x")
    text = person.run(code, lambda prompt: "1" if prompt.startswith("[cell]") else "4")
    assert not [prompt for prompt in person.seen if prompt.startswith("AT ONCE")]
    assert len(person.seen) >= 2
    assert "True" not in text
    assert text.count("False") == 2
    # The control: the same question, answered with yes.
    assert "wanted True" in person.run(
        "tried('wanted')", lambda prompt: "4" if prompt.startswith("[cell]") else "1"
    )


def test_a_line_for_a_prompt_that_the_cell_gave_up_is_no_answer_to_a_question(kernel):
    (kernel.folder / "asked").write_text("content of the file")
    code = (
        "import gc\n"
        "from sandbox_kernel.shared.messages import InputDropped, InputWanted\n"
        "link = next(o for o in gc.get_objects() if type(o).__name__ == 'Link')\n"
        "to = get_ipython().kernel.get_parent()['header']['msg_id']\n"
        "def tried():\n"
        "    print(link.ask('tried', {'action': 'read', 'resource': 'asked'})['retry'])\n"
        "link.send(InputWanted(to, 'press 1 to go on', False, 7))\n"
        "link.send(InputDropped(to, 7))\n"
        "tried()"
    )
    person = Person(kernel)
    assert person.run(code, lambda prompt: "1") == "False\n"
    assert person.seen == ["[cell] press 1 to go on "]
    # The control: the same question, where no other prompt stood before it.
    assert person.run("tried()", lambda prompt: "1") == "True\n"


def test_a_question_names_the_file_that_a_yes_would_open(kernel):
    (kernel.folder / "hidden").mkdir(exist_ok=True)
    (kernel.folder / "hidden" / "diary").write_text("dear")
    (kernel.folder / "points.csv").symlink_to("hidden/diary")
    person = Person(kernel)
    person.run("open('points.csv')", lambda prompt: "no")
    assert str(kernel.folder / "hidden" / "diary") in person.seen[0]
    person.run("open('hidden/../hidden/diary')", lambda prompt: "no")
    assert str(kernel.folder / "hidden" / "diary") in person.seen[1]


def test_a_yes_is_void_when_its_path_leads_elsewhere_by_then(kernel, tmp_path):
    place = kernel.folder / "place"
    place.mkdir()
    (place / "file").write_text("shown")
    (kernel.folder / "other").mkdir()
    (kernel.folder / "other" / "file").write_text("not shown")

    def swap(prompt: str) -> str:
        place.rename(kernel.folder / "aside")
        place.symlink_to("other")
        return "1"

    text = Person(kernel).run(
        "try: print(open('place/file').read())\nexcept PermissionError: print('refused')", swap
    )
    assert "not shown" not in text
    assert "refused" in text
    assert "shown" in Person(kernel).run("print(open('aside/file').read())", lambda prompt: "1")


# --- floods ---------------------------------------------------------------------------------------


def test_refusals_do_not_flood_the_audit_log_and_the_front_end(kernel):
    kernel.run("1")
    audit = kernel.folder / "state" / "audit.jsonl"
    ran = kernel.run(
        "import gc\n"
        "link = next(o for o in gc.get_objects() if type(o).__name__ == 'Link')\n"
        "for n in range(3000):\n"
        "    link.ask('tried', {'action': 'read', 'resource': f'/nowhere/{n}'})\n"
        "print('done')"
    )
    assert "done" in ran.text()
    told = [c for c in ran.of("sandbox_event") if c["kind"] == "denied"]
    assert 0 < len(told) <= 1000
    assert 0 < audit.read_text().count("/nowhere/") <= 3 * 1000  # each in three fields of a record


def test_answers_that_nobody_reads_end_the_worker_not_the_supervisor(kernel):
    ran = kernel.run(
        "import gc\n"
        "from sandbox_kernel.shared.messages import Question\n"
        "link = next(o for o in gc.get_objects() if type(o).__name__ == 'Link')\n"
        "for n in range(10**7):\n"
        "    link.send(Question(10**6 + n, 'describe', {}))\n"
        "print('all asked')"
    )
    assert "does not read the answers" in ran.error
    assert kernel.run("print(1 + 1)").text() == "2\n"


# --- the fork for the dormant copy ----------------------------------------------------------------

_OTHER_FORK = """
import gc, os
copies = next(o for o in gc.get_objects() if type(o).__name__ == "Copies")
def take(link, harmless):
    if os.fork() == 0:
        while True:
            pass
    return "none is made", 0.0, None
copies.take = take
"""


def test_a_fork_that_was_ordered_for_a_copy_makes_no_process_that_stays(kernel, control):
    supervisor = psutil.Process(kernel.manager.provisioner.process.pid)

    def alive() -> int:
        found = 0
        for process in supervisor.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += process.status() != psutil.STATUS_ZOMBIE
        return found

    kernel.run("1")
    deadline = time.monotonic() + SECONDS
    while not control.status()["protected"]:
        assert time.monotonic() < deadline, "there is no copy"
    with_copy = alive()
    kernel.run(_OTHER_FORK)
    for _ in range(5):
        kernel.run("2")
    # Without a wall there would be one more for each cell.
    deadline = time.monotonic() + SECONDS
    while alive() > with_copy:
        assert time.monotonic() < deadline, "processes that nobody ordered go on"
        psutil.wait_procs(supervisor.children(recursive=True), timeout=0.2)
    assert kernel.run("3").status == "ok"


def test_memory_in_files_that_are_not_mapped_counts(kernel, control):
    code = (
        "import os\nfile = os.memfd_create('store')\nblock = b'x' * (1 << 20)\n"
        "for _ in range({megabytes}): os.write(file, block)\n"
        "{then}"
    )
    few = kernel.run(code.format(megabytes=20, then="os.close(file); print('kept')"))
    assert few.text() == "kept\n", few.error
    many = kernel.run(code.format(megabytes=400, then="while True: pass"))
    assert "memory" in many.error
    kernel.run("os.close(file)")
    assert kernel.run("1").status == "ok"


def test_the_supervisor_listens_while_a_cell_floods_it_with_questions(kernel, control):
    code = (
        "import gc\n"
        "from sandbox_kernel.shared.messages import Question\n"
        "link = next(o for o in gc.get_objects() if type(o).__name__ == 'Link')\n"
        "path = 'a/' * 2000\n"
        "print('go', flush=True)\n"
        "while True:\n"
        "    link.send(Question(10**6, 'can', {'action': 'read', 'resource': path}))\n"
        "    link.poll()\n"
        "    link._arrived.clear()\n"
    )
    before = time.monotonic()
    control.status()
    quiet = time.monotonic() - before
    cell = kernel.client.execute(code)
    kernel.published(lambda message: message["content"].get("text") == "go\n")
    before = time.monotonic()
    for _ in range(3):
        assert control.status()["busy"] is True
    assert time.monotonic() - before < SECONDS + quiet
    kernel.manager.interrupt_kernel()
    assert kernel.reply_to(cell)["content"]["status"] == "error"
    assert kernel.run("1").status == "ok"
