"""What comes back when a worker dies, for what libraries and cells do; or that it is unprotected.

Never a hang, and never a silent loss: each death says what was kept.
"""

from __future__ import annotations

import contextlib
import re
import time

import psutil
import pytest

from tests.features.kernel.conftest import DEADLINE, FULL_LANGUAGE, Kernel, Ran, start_kernel

__all__ = ["start_kernel"]  # A fixture.

DIES = "import os; os._exit(3)"


@pytest.fixture(scope="module", params=["full", "no-namespaces"])
def kernel(request, start_kernel) -> Kernel:
    return start_kernel(level=request.param)


def status(kernel: Kernel) -> dict:
    content = {"command": "status", "arguments": {}}
    return kernel.request("sandbox_request", content, "control").reply["content"]


def protected(kernel: Kernel) -> dict:
    """The status once it says that the session is protected; the copy is made beside the cells."""
    end = time.monotonic() + DEADLINE
    while not (found := status(kernel))["protected"] and time.monotonic() < end:
        pass
    assert found["protected"], found["unprotected_because"]
    return found


def dies(kernel: Kernel, code: str = DIES) -> Ran:
    ran = kernel.run(code)
    assert ran.status == "error"
    assert ran.reply["content"]["ename"] == "WorkerDied"
    return ran


def test_variables_come_back_after_any_death(kernel) -> None:
    kernel.run("import os, signal, ctypes\nnumbers = [1, 2]")
    for death, said in (
        ("os._exit(7)", "exit code 7"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
    ):
        ran = dies(kernel, f"numbers.append(3)\n{death}")
        assert said in ran.error
        assert "are back" in ran.error
        assert kernel.run("print(numbers)").text() == "[1, 2]\n"
    protected(kernel)


def test_history_functions_and_classes_come_back(kernel) -> None:
    kernel.run("class Point:\n    def __init__(self, x): self.x = x\np = Point(4)")
    kernel.run("def double(point): return 2 * point.x")
    dies(kernel)
    assert kernel.run("print(double(p), Point.__name__)").text() == "8 Point\n"


def test_matrix_products_and_plots_go_on_in_the_copy(kernel) -> None:
    pytest.importorskip("numpy")
    pytest.importorskip("matplotlib")
    assert (
        kernel.run(
            "import numpy as np, matplotlib.pyplot as plt\n"
            "a = np.random.rand(600, 600); b = a @ a; plt.plot([1, 2]); plt.close()"
        ).status
        == "ok"
    )
    dies(kernel)
    assert kernel.run("print(bool((a @ a == b).all()))").text() == "True\n"
    assert "display_data" in kernel.run("plt.plot([2, 1]);").types


def test_tasks_of_the_event_loop_go_on_in_the_copy(kernel) -> None:
    kernel.run(
        "import asyncio\nticks = 0\nasync def tick():\n    global ticks\n"
        "    while True:\n        ticks += 1\n        await asyncio.sleep(.01)\n"
        "task = asyncio.ensure_future(tick())"
    )
    kernel.run("await asyncio.sleep(.1)")
    dies(kernel)
    went_on = kernel.run("before = ticks\nawait asyncio.sleep(.2)\nprint(ticks > before)")
    assert went_on.text() == "True\n"
    kernel.run("task.cancel()")


def test_connections_and_written_files_are_said_to_be_lost(kernel) -> None:
    kernel.run(
        "import socket, tempfile\nleft, right = socket.socketpair()\n"
        "file = tempfile.TemporaryFile('w+b'); file.write(b'x'); file.flush()"
    )
    ran = dies(kernel)
    assert "2 open connections" in ran.error
    assert "1 file open for writing" in ran.error
    assert "BrokenPipeError" in kernel.run("left.send(b'x')").error
    assert kernel.run("print(right.recv(1))").text() == "b''\n"
    assert kernel.run("print('goes on')").text() == "goes on\n"
    kernel.run("del left, right\ntry: file.close()\nexcept OSError: pass")


def test_a_lock_on_a_file_is_free_after_a_death(kernel) -> None:
    kernel.run(
        "import fcntl, tempfile, os\npath = tempfile.mkdtemp() + '/locked'\n"
        "open(path, 'w').close()\nholder = open(path)\nfcntl.flock(holder, fcntl.LOCK_EX)"
    )
    dies(kernel)
    taken = kernel.run(
        "again = open(path)\nfcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)\nprint('taken')"
    )
    assert taken.text() == "taken\n", taken.error


def test_a_running_thread_makes_the_session_unprotected_and_says_so(kernel) -> None:
    kernel.run(
        "import threading\ndone = threading.Event()\nvalue = 1\n"
        "threading.Thread(target=done.wait, name='worker bee').start()"
    )
    assert kernel.run("1").status == "ok"
    found = status(kernel)
    assert found["protected"] is False
    assert "worker bee" in found["unprotected_because"]
    ran = dies(kernel)
    assert "variables are gone" in ran.error
    assert "worker bee" in ran.error
    assert "NameError" in kernel.run("value").error
    kernel.run("value = 2")
    protected(kernel)


@pytest.mark.slow
def test_a_model_is_fitted_again_after_a_crash_or_said_to_be_unprotected(kernel) -> None:
    pytest.importorskip("sklearn")
    fit = "from sklearn.cluster import KMeans\nKMeans(3, n_init=1).fit(points)"
    kernel.run("import numpy as np\npoints = np.random.rand(2000, 5)")
    assert kernel.run(fit).status == "ok"
    assert kernel.run("1").status == "ok"
    found = status(kernel)
    ran = dies(kernel)
    if found["protected"]:
        assert kernel.run(fit).status == "ok"
    else:
        assert "OpenMP" in found["unprotected_because"]
        assert "OpenMP" in ran.error
    assert kernel.run("print('goes on')").text() == "goes on\n"


@pytest.mark.slow
def test_with_one_processor_a_fit_is_protected_and_goes_on_in_the_copy(start_kernel) -> None:
    pytest.importorskip("sklearn")
    kernel = start_kernel(policy=FULL_LANGUAGE + "[limits]\ncpus = 1\n")
    fit = "from sklearn.cluster import KMeans\nKMeans(3, n_init=1).fit(points)"
    kernel.run("import numpy as np\npoints = np.random.rand(2000, 5)")
    assert kernel.run(fit).status == "ok"
    assert "are back" in dies(kernel).error
    assert kernel.run(fit).status == "ok"


def test_off_means_no_copy_and_says_who_said_so(start_kernel) -> None:
    kernel = start_kernel(policy=FULL_LANGUAGE + '[snapshots]\nmode = "off"\n')
    kernel.run("value = 1")
    assert status(kernel)["protected"] is False
    assert "snapshots off" in dies(kernel).error
    assert "NameError" in kernel.run("value").error


def test_a_cell_that_rewrites_much_memory_gives_the_copy_up_within_the_budget(start_kernel) -> None:
    pytest.importorskip("numpy")
    policy = FULL_LANGUAGE + '[snapshots]\nmode = "adaptive"\nbudget = "20 ms"\n'
    kernel = start_kernel(policy=policy)
    assert kernel.run("import numpy as np\nbig = np.ones(40_000_000)").status == "ok"
    for _ in range(2):
        assert kernel.run("for _ in range(5): big += 1").status == "ok"
    found = status(kernel)
    assert found["protected"] is False
    assert "budget" in found["unprotected_because"]


def test_the_dormant_copy_counts_and_goes_before_the_limit_bites(start_kernel) -> None:
    pytest.importorskip("numpy")
    policy = (
        FULL_LANGUAGE + '[limits]\nmemory = "500 MB"\n[limits.max]\nmemory = "500 MB"\n'
        '[snapshots]\nmode = "always"\n'
    )
    kernel = start_kernel(policy=policy)
    assert kernel.run("import numpy as np\nbig = np.ones(35_000_000)").status == "ok"
    ran = kernel.run("for _ in range(3): big += 1")
    assert ran.status == "ok", ran.error
    found = status(kernel)
    assert found["peak_memory"] <= 1.05 * 500e6
    assert kernel.run("print(big[:2])").status == "ok"


def test_what_failed_for_want_of_memory_leaves_room_for_the_next_cell_and_a_copy(
    start_kernel,
) -> None:
    """The calls of a failed cell are kept for `%debug`, with all that they held: not these."""
    kernel = start_kernel(policy=FULL_LANGUAGE + '[limits]\nmemory = "300 MB"\n')
    fills = "blocks = [bytearray(b'x') * 10_000_000 for _ in range(99)]"
    for code in (f"def fill():\n    {fills}\nfill()", f"exec({fills!r}, {{}})"):
        assert kernel.run("kept = 1\n" + code).status == "error"
        assert protected(kernel)["memory"] < 150e6
    dies(kernel)
    assert kernel.run("print(kept)").text() == "1\n"


def test_copies_of_before_leave_no_zombies(start_kernel) -> None:
    kernel = start_kernel()
    kernel.run("1")
    pid = int(kernel.request("usage_request", {}, "control").reply["content"]["pid"])

    def states() -> list[str]:
        found = []
        for process in psutil.Process(pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(process.status())
        return found

    for _ in range(5):
        kernel.run("1")
        protected(kernel)
    end = time.monotonic() + DEADLINE
    while (found := states()) != [psutil.STATUS_SLEEPING]:
        assert time.monotonic() < end, found


def test_cells_that_are_sent_at_once_are_each_protected(kernel) -> None:
    """However fast they come: the copy is made before the next one, if it was not yet."""
    kernel.run("step = 0")
    cells = [kernel.client.execute(f"step = {number}") for number in (1, 2, 3)]
    cells.append(kernel.client.execute(f"step = 4\n{DIES}"))
    replies = [kernel.reply_to(cell)["content"] for cell in cells]
    assert [reply["status"] for reply in replies] == ["ok", "ok", "ok", "error"]
    assert "are back" in replies[-1]["evalue"]
    assert kernel.run("print(step)").text() == "3\n"


@pytest.mark.parametrize("mode", ["adaptive", "always"])
def test_after_very_many_cells_at_once_a_death_says_which_to_run_again(start_kernel, mode) -> None:
    """Copies are bounded in pace. What a copy lacks is told, and nothing else is missing."""
    kernel = start_kernel(policy=FULL_LANGUAGE + f'[snapshots]\nmode = "{mode}"\n')
    for _ in range(2):
        cells = [
            kernel.client.execute("step = get_ipython().execution_count - 1") for _ in range(100)
        ]
        assert {kernel.reply_to(cell)["content"]["status"] for cell in cells} == {"ok"}
        ran = dies(kernel)
        last = kernel.run("print(step)").text()
        told = re.search(r"before cells? \[(\d+)\]", ran.error)
        if mode == "adaptive" and told:
            assert "run cell" in ran.error
            expected = int(told[1]) - 1
        else:
            assert "All variables from before this cell are back" in ran.error
            expected = ran.reply["content"]["execution_count"] - 1
        assert last == f"{expected}\n"
        kernel.run("step = 0")


def test_a_death_right_after_a_cell_never_undoes_what_it_did(kernel) -> None:
    """The copy of before that cell is still there for a moment, and must not take over."""
    for number in range(8):
        kernel.run(f"step = {number}")
        worker = int(kernel.request("usage_request", {}, "control").reply["content"]["pid"])
        kernel.run(f"step = {number + 100}")
        psutil.Process(worker).kill()
        after = kernel.run("print(step)")
        if "WorkerDied" in after.error:  # It reached the dead one.
            assert "are back" in after.error or "before there was one with what" in after.error
            after = kernel.run("print(step)")
        if after.status == "ok":
            assert after.text() == f"{number + 100}\n"
        else:
            assert "NameError" in after.error
