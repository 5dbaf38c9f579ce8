"""Limits for all kernels of a person: real kernels that share one, and cells that try to cheat."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.features.kernel.conftest import DEADLINE, FULL_LANGUAGE, Kernel, start_kernel
from tests.features.limits.test_snapshots import status

__all__ = ["start_kernel"]  # A fixture.

Start = Callable[[str], Kernel]
FILLS = "kept = bytearray({size})\nkept[::4096] = b'x' * len(kept[::4096])"


@pytest.fixture
def start(start_kernel, tmp_path: Path) -> Start:
    """Start kernels of one person, whose runtime directory is this test's own."""

    def start(person: str) -> Kernel:
        policy = f"{FULL_LANGUAGE}[limits.person]\n{person}\n"
        return start_kernel(policy=policy, environment={"JUPYTER_RUNTIME_DIR": str(tmp_path)})

    return start


def test_memory_is_held_over_all_kernels(start: Start) -> None:
    first, second = start('memory = "500 MB"'), start('memory = "500 MB"')
    assert first.run(FILLS.format(size=250_000_000)).status == "ok"
    stopped = second.run(FILLS.format(size=250_000_000))
    assert stopped.status == "error"
    assert "500 MB allowed for all your kernels together" in stopped.error
    assert "limits.person" in Path(second.folder / "policy.toml").read_text()
    assert first.run("print(len(kept))").text() == "250000000\n"  # It has grown no more.
    assert status(second)["person"]["memory"]["used"] > 250e6
    first.run("del kept")
    end = time.monotonic() + DEADLINE
    while status(second)["person"]["memory"]["used"] > 200e6 and time.monotonic() < end:
        status(first)  # Both look, and each tells the other.
    assert second.run(FILLS.format(size=250_000_000)).status == "ok"


def test_control_one_kernel_may_have_as_much_alone(start: Start) -> None:
    alone = start('memory = "1 GB"')
    assert alone.run(FILLS.format(size=500_000_000)).status == "ok"


def test_threads_are_held_over_all_kernels(start: Start) -> None:
    waits = (
        "import threading\nstop = threading.Event()\n"
        "for _ in range({number}):\n    threading.Thread(target=stop.wait).start()\n"
        "import time\ntime.sleep(1)"
    )
    first, second = start("threads = 30"), start("threads = 30")
    assert first.run(waits.format(number=20)).status == "ok"
    stopped = second.run(waits.format(number=20))
    assert "threads" in stopped.error
    assert "30 allowed for all your kernels together" in stopped.error
    for kernel in (first, second):
        kernel.run("stop.set()")


def test_child_processes_are_held_over_all_kernels(start_kernel, tmp_path: Path) -> None:
    policy = FULL_LANGUAGE + "[processes]\nspawn = true\n[limits.person]\nprocesses = 3\n"
    own = {"JUPYTER_RUNTIME_DIR": str(tmp_path)}
    first, second = (start_kernel(policy=policy, environment=own) for _ in range(2))
    sleeps = (
        "import subprocess, sys, time\n"
        "kept = [subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
        " for _ in range(2)]\ntime.sleep(.2)"
    )
    assert first.run(sleeps).status == "ok"
    refused = second.run(sleeps)
    assert refused.status == "error"
    assert "BlockingIOError" in refused.error


def test_one_kernel_too_many_runs_no_cell_and_says_what_helps(start: Start) -> None:
    first, _second = start("kernels = 2"), start("kernels = 2")
    third = start("kernels = 2")
    refused = third.run("print('ran')")
    assert refused.text() == ""
    assert "TooManyKernels: kernels: 2 of yours are running, 2 allowed" in refused.error
    first.manager.shutdown_kernel(now=False)
    fourth = start("kernels = 2")
    assert fourth.run("print('ran')").text() == "ran\n"


def test_cpus_are_shared_by_all_kernels_whatever_a_cell_sets(start: Start) -> None:
    kernels = [start("cpus = 1") for _ in range(2)]
    undo = (
        "import os\ntry:\n    os.sched_setaffinity(0, range(os.cpu_count()))\n"
        "except OSError:\n    pass"
    )
    seen = set()
    for kernel in kernels:
        kernel.run(undo)
        held = kernel.run(
            "import time\nend = time.monotonic() + 20\n"
            "while len(os.sched_getaffinity(0)) > 1 and time.monotonic() < end:\n"
            "    time.sleep(.02)\nprint(sorted(os.sched_getaffinity(0)))"
        )
        seen.add(held.text())
    assert len(seen) == 1
    assert len(json.loads(seen.pop())) == 1


CHEATS = """
done = []
for what, mode in (('read', 'rb'), ('write', 'r+b')):
    try:
        with open({path!r}, mode) as file:
            file.read() if what == 'read' else file.write(bytes(4096))
        done.append(what)
    except OSError:
        pass
print(done)
"""


def test_no_cell_reaches_what_is_counted(start_kernel, tmp_path: Path) -> None:
    """Not even one that may change all that lies around the file."""
    runtime = tmp_path / "home" / "runtime"
    runtime.mkdir(parents=True)
    policy = (
        FULL_LANGUAGE + "[limits.person]\nkernels = 9\n"
        f'[[given.files]]\npath = "{tmp_path}"\nmode = "write"\nreason = "the test\'s"\n'
    )
    kernel = start_kernel(policy=policy, environment={"JUPYTER_RUNTIME_DIR": str(runtime)})
    (counted,) = runtime.glob("sandbox-kernels-*")
    before = counted.read_bytes()
    (tmp_path / "home" / "own.txt").write_text("mine")
    assert (
        kernel.run(f"print(open({str(tmp_path / 'home' / 'own.txt')!r}).read())").text() == "mine\n"
    )
    assert kernel.run(CHEATS.format(path=str(counted))).text() == "[]\n"
    kernel.run(f"import shutil; shutil.rmtree({str(runtime)!r}, ignore_errors=True)")
    kernel.run(f"os.rename({str(tmp_path / 'home')!r}, {str(tmp_path / 'gone')!r})")
    assert counted.read_bytes()[:16] == before[:16]
    # The control: the same lines reach it outside.
    said: list[object] = []
    exec(CHEATS.format(path=str(counted)), {"print": said.append})
    assert said == [["read", "write"]]


def test_a_cell_that_computes_for_long_gives_way_until_it_ends(start_kernel) -> None:
    policy = f'{FULL_LANGUAGE}[limits]\nyields_after = "200 ms"\n'
    kernel = start_kernel(policy=policy)
    looks = "import os; print(os.sched_getscheduler(0) == os.SCHED_IDLE)"
    behind = os.geteuid() == 0
    assert kernel.run(looks).text() == "False\n"
    computes = (
        "import time\nend = time.process_time() + 1\nwhile time.process_time() < end:\n    pass\n"
    )
    assert kernel.run(computes + looks).text() == f"{behind}\n"
    assert kernel.run(looks).text() == "False\n"
