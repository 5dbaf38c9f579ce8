"""Where cells may start processes: what a child inherits, reaches and outlives.

Each attack is shown to work in plain Python, or through the same kernel with the right.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from sandbox_kernel.jupyter.control_client import ControlClient
from tests.features.kernel.conftest import Kernel, started

POLICY = """
version = 1
extends = "default"
language = "full"
[processes]
spawn = true
[[ask.files]]
path = "granted"
mode = "read"
reason = "of the test"
[limits]
processes = 8
"""
SECONDS = 20.0


@pytest.fixture(scope="module", params=["full", "no-namespaces"])
def kernel(request, tmp_path_factory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("spawned")
    (folder / "granted").mkdir()
    (folder / "granted" / "file").write_text("granted content")
    level = None if request.param == "full" else request.param
    made = started(folder, level=level, policy=POLICY, environment={"MY_TOKEN": "s3cret"})
    made.run("1")  # Only then there is a worker, with walls of some level.
    with ControlClient(made.manager.connection_file) as client:
        found = client.status()["level"]
    if found == request.param:
        yield made
    made.client.stop_channels()
    made.manager.shutdown_kernel(now=True)
    if found != request.param:
        pytest.skip(f"this machine gives {found}")


@pytest.fixture
def control(kernel) -> Iterator[ControlClient]:
    with ControlClient(kernel.manager.connection_file) as client:
        yield client


def supervisor(kernel: Kernel) -> psutil.Process:
    return psutil.Process(kernel.manager.provisioner.process.pid)


def below(kernel: Kernel) -> set[int]:
    """Living processes of the kernel."""
    found = set()
    for process in supervisor(kernel).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
    return found


def test_a_child_inherits_channel_environment_and_descriptors_of_nobody(kernel):
    code = (
        "import json, os, subprocess, sys\n"
        "look = '''import json, os\n"
        "held = {}\n"
        'for name in os.listdir("/proc/self/fd"):\n'
        '    try: held[name] = os.readlink(f"/proc/self/fd/{name}")\n'
        "    except OSError: pass\n"
        "print(json.dumps([held, dict(os.environ)]))'''\n"
        "done = subprocess.run([sys.executable, '-c', look], capture_output=True, text=True)\n"
        "print(done.stdout, done.stderr)"
    )
    ran = kernel.run(code)
    held, environment = json.loads(ran.text())
    sockets = {number: target for number, target in held.items() if "socket" in target}
    assert sockets == {}, "the worker's channel, or a door's"
    assert "MY_TOKEN" not in environment
    assert "s3cret" not in json.dumps(environment)
    # The control: a plain child has both.
    code = "import os; print(os.environ['MY_TOKEN'])"
    plain = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MY_TOKEN": "s3cret"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert plain.stdout == "s3cret\n"


def test_a_child_meets_the_same_walls(kernel, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    read = f"import sys; print(open({str(secret)!r}).read())"
    ran = kernel.run(
        "import subprocess, sys\n"
        f"done = subprocess.run([sys.executable, '-c', {read!r}], capture_output=True, text=True)\n"
        "print(done.stdout, done.stderr.splitlines()[-1])"
    )
    assert "of the host" not in ran.text()
    assert "Error" in ran.text()
    plain = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    assert plain.stdout == "of the host\n"


def test_a_child_does_not_act_on_other_programs_of_the_person(kernel):
    act = (
        "import os\n"
        "for which, who in ((os.PRIO_PROCESS, {pid}), (os.PRIO_USER, 0), (os.PRIO_PGRP, 0)):\n"
        "    try: os.setpriority(which, who, 7)\n"
        "    except OSError: pass\n"
    )
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            kernel.run(
                "import subprocess, sys\n"
                f"subprocess.run([sys.executable, '-c', {act.format(pid=other.pid)!r}])"
            )
            assert os.getpriority(os.PRIO_PROCESS, other.pid) != 7
            assert os.getpriority(os.PRIO_PROCESS, supervisor(kernel).pid) != 7
            # The control: without the filter it works on any program of the same user.
            act = f"import os; os.setpriority(os.PRIO_PROCESS, {other.pid}, 7)"
            subprocess.run([sys.executable, "-c", act], check=True)
            assert os.getpriority(os.PRIO_PROCESS, other.pid) == 7
        finally:
            other.kill()


def test_a_child_that_holds_a_granted_folder_ends_with_the_grant(kernel, control):
    before = below(kernel)
    (grant,) = control.grant({"files": [{"path": "granted", "mode": "read"}]})
    ran = kernel.run(
        "import subprocess, sys\n"
        'hold = \'import os, sys; os.open("granted", os.O_RDONLY); print(open("granted/file")'
        ".read(), flush=True); sys.stdin.read()'\n"
        "child = subprocess.Popen([sys.executable, '-c', hold], stdin=subprocess.PIPE,\n"
        "    stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline())"
    )
    assert "granted content" in ran.text(), ran.error
    taken = control.revoke({"id": grant})
    assert taken["killed"]
    assert kernel.run("print(child.wait(20))").text() == "-9\n"
    assert len(below(kernel)) <= len(before) + 1  # A dormant copy may be among them.


def test_children_end_with_the_worker(kernel):
    kernel.run("1")
    code = (
        "import os, subprocess, sys\n"
        "hold = 'import os, time; os.setsid(); time.sleep(600)'\n"
        "for _ in range(3):\n"
        "    subprocess.Popen([sys.executable, '-c', hold], start_new_session=True)\n"
        "os._exit(1)"
    )
    ran = kernel.run(code)
    assert "WorkerDied" in ran.error
    deadline = time.monotonic() + SECONDS

    def holding() -> list[int]:
        found = []
        for process in supervisor(kernel).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "os.setsid" in " ".join(process.cmdline()):
                    found.append(process.pid)
        return found

    while found := holding():
        assert time.monotonic() < deadline, found
        psutil.wait_procs([psutil.Process(pid) for pid in found if psutil.pid_exists(pid)], 0.2)
    assert kernel.run("print(1)").text() == "1\n"


def test_who_floods_the_channel_of_a_dead_worker_does_not_hold_the_supervisor(kernel, control):
    # The channel is a stream whose other end another process made.
    code = (
        "import os, socket, stat, struct\n"
        "from sandbox_kernel.shared.codec import pack\n"
        "from sandbox_kernel.shared.messages import Output\n"
        "def leads_out(fd):\n"
        "    if not stat.S_ISSOCK(os.fstat(fd).st_mode): return False\n"
        "    with socket.socket(fileno=os.dup(fd)) as end:\n"
        "        if end.type != socket.SOCK_STREAM: return False\n"
        "        peer = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)\n"
        "    return struct.unpack('3i', peer)[0] != os.getpid()\n"
        "channels = []\n"
        "for fd in map(int, os.listdir('/proc/self/fd')):\n"
        "    try: channels += [fd] if leads_out(fd) else []\n"
        "    except OSError: pass  # That of the listing.\n"
        "assert channels\n"
        "flood = pack(Output('stream', {'name': 'stdout', 'text': 'x'})) * 3000\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        while True:\n"
        "            for fd in channels:\n"
        "                try:\n"
        "                    os.set_blocking(fd, True)\n"
        "                    os.write(fd, flood)\n"
        "                except OSError: pass\n"
        "os._exit(1)"
    )
    cell = kernel.client.execute(code)
    assert "WorkerDied" in str(kernel.reply_to(cell)["content"])
    assert control.status()["busy"] is False
    assert kernel.run("print(1)").text() == "1\n"
