"""One person's kernels together: their number, their memory, and the walls behind both."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sandbox_kernel.trusted.limits import walls
from sandbox_kernel.trusted.limits._sys_turns import short_turns
from tests.hub.conftest import Hub
from tests.hub.people import Kernel
from tests.hub.runaway import RUNAWAY, round_trip, slowdown

pytestmark = pytest.mark.timeout(900)

FILLS = "kept = bytearray({size})\nkept[::4096] = b'x' * len(kept[::4096])"
SLOWEST = 1.5


@pytest.fixture
def kernels(hub: Hub) -> Iterator[list[Kernel]]:
    """Three kernels of the student's, and no other one."""
    hub.student.restart_server()
    home = hub.place / "home" / "stu"
    started = []
    for number in range(3):
        shutil.copy(home / "a.ipynb", home / f"budget{number}.ipynb")
        shutil.chown(home / f"budget{number}.ipynb", "stu", "stu")
        started.append(hub.student.kernel(f"budget{number}.ipynb"))
        started[-1].run("pass")
    yield started
    for kernel in started:
        hub.student.api("DELETE", f"kernels/{kernel.identity}")


def test_one_kernel_too_many_is_refused_with_what_helps(hub: Hub, kernels: list[Kernel]) -> None:
    refused = hub.student.api("POST", "kernels", json={"name": "sandbox-python"})
    assert refused.status_code == 429
    assert "3 of your kernels are running, and 3 may (policy" in refused.text
    assert "Shut one of them down" in refused.text
    hub.student.api("DELETE", f"kernels/{kernels[0].identity}").raise_for_status()
    made = hub.student.api("POST", "kernels", json={"name": "sandbox-python"})
    assert made.status_code == 201
    hub.student.api("DELETE", f"kernels/{made.json()['id']}").raise_for_status()
    assert hub.teacher.api("GET", "kernels").status_code == 200


def test_memory_over_all_kernels(hub: Hub, kernels: list[Kernel]) -> None:
    first, second, _ = kernels
    reply, _ = first.run(FILLS.format(size=300_000_000))
    assert reply["status"] == "ok", reply.get("evalue")
    reply, _ = second.run(FILLS.format(size=300_000_000))
    assert reply["status"] == "error"
    assert "600 MB allowed for all your kernels together" in reply["evalue"]
    assert first.run("print(len(kept))")[1] == "300000000\n"


def test_the_wall_holds_for_a_shell_too(hub: Hub, kernels: list[Kernel]) -> None:
    """Somebody who has got out of all kernels, into the server's own surroundings."""
    server = next(
        each
        for each in psutil.process_iter(["username", "cmdline"])
        if each.info["username"] == "stu" and "jupyterhub-singleuser" in str(each.info["cmdline"])
    )
    groups = Path(f"/proc/{server.pid}/cgroup").read_text()
    assert groups.count("/sandbox-person-") >= 2, groups
    memory = next(line for line in groups.splitlines() if ":memory:" in line).split(":", 2)[2]
    procs = Path(f"/sys/fs/cgroup/memory{memory}/cgroup.procs")
    words = ["setpriv", "--reuid", "stu", "--regid", "stu", "--init-groups", sys.executable, "-c"]
    code = FILLS.format(size=1_600_000_000) + "\nprint('filled')"

    def join() -> None:
        procs.write_text("0")

    held = subprocess.run([*words, code], preexec_fn=join, capture_output=True, text=True)
    assert held.returncode == -9
    leaves = f"open({str(procs.parent.parent / 'cgroup.procs')!r}, 'w').write('0')"
    stays = subprocess.run([*words, leaves], preexec_fn=join, capture_output=True, text=True)
    assert "PermissionError" in stays.stderr
    free = subprocess.run([*words, code], capture_output=True, text=True)
    assert free.stdout == "filled\n"


def send(kernel: Kernel, code: str) -> str:
    """Send a cell and wait for nothing."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "session": "tests",
        "username": "",
        "version": "5.4",
        "date": "2026-01-01T00:00:00Z",
    }
    content = {"code": code, "silent": False}
    parts = {"parent_header": {}, "metadata": {}, "content": content, "buffers": []}
    kernel.line.send(json.dumps({"channel": "shell", "header": header, **parts}))
    return str(header["msg_id"])


def until(kernel: Kernel, wanted: str, channel: str) -> None:
    """Wait for the message to that cell: its reply, or its echo when it begins to run."""
    while True:
        told = json.loads(kernel.line.recv())
        if told["channel"] == channel and told["parent_header"].get("msg_id") == wanted:
            return


def test_a_runaway_hardly_slows_the_other(hub: Hub, kernels: list[Kernel]) -> None:
    short_turns()  # This process stands for a browser, which has a machine of its own.
    teacher = hub.teacher.kernel("a.ipynb")
    running: list[str] = []

    def start() -> None:
        running.extend(send(kernel, RUNAWAY) for kernel in kernels)
        for kernel, cell in zip(kernels, running, strict=True):
            until(kernel, cell, "iopub")
        wait_until_busy("stu")

    def stop() -> None:
        for kernel, cell in zip(kernels, running, strict=bool(running)):
            hub.student.api("POST", f"kernels/{kernel.identity}/restart").raise_for_status()
            assert cell
            kernel.line.close()
        if running:
            kernels[:] = [Kernel(hub.student, kernel.identity) for kernel in kernels]
            for kernel in kernels:
                kernel.run("pass")
        running.clear()

    found = slowdown(teacher, start, stop)
    print(f"beside the student's runaways a round trip takes {found:.2f} times as long")
    assert found <= SLOWEST


def test_control_the_same_without_the_walls(hub: Hub) -> None:
    """A cell of a plain kernel starts programs, each in a session with turns of its own."""
    teacher = hub.teacher.kernel("a.ipynb")
    round_trip(teacher)
    # As the hub is without the recipe: everybody has the same turns.
    family = psutil.Process(hub.process.pid).children(recursive=True)
    everybody = [os.getpid(), hub.process.pid, *(each.pid for each in family)]
    walls.give_way(everybody, gives=True, behind=False)
    running: list[subprocess.Popen[bytes]] = []
    words = ["setpriv", "--reuid", "stu", "--regid", "stu", "--init-groups", sys.executable, "-c"]

    def start() -> None:
        running.extend(
            subprocess.Popen([*words, RUNAWAY], start_new_session=True) for _ in range(12)
        )
        wait_until_busy("stu")

    def stop() -> None:
        for process in running:
            process.kill()
            process.wait()
        running.clear()

    found = slowdown(teacher, start, stop)
    print(f"beside the same outside the walls, {found:.2f} times")
    assert found > SLOWEST


def wait_until_busy(user: str) -> None:
    """Wait until processes of this user have computed for six seconds more: two each."""

    def spent() -> float:
        found = 0.0
        for each in psutil.process_iter(["username", "cpu_times"]):
            if each.info["username"] == user and each.info["cpu_times"] is not None:
                found += each.info["cpu_times"].user
        return found

    begin = spent()
    while spent() < begin + 6:
        psutil.cpu_percent(0.05)
