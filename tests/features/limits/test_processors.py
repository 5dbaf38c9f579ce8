"""On which processors a worker runs follows the limit, whenever that changes."""

import os

import pytest

from sandbox_kernel.jupyter.control_client import ControlClient
from tests.features.kernel.conftest import FULL_LANGUAGE, start_kernel

__all__ = ["start_kernel"]  # A fixture.

pytestmark = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="there is one processor only"
)
ALL = len(os.sched_getaffinity(0))
LOOK = "import os; print(len(os.sched_getaffinity(0)))"
THREADS = """
import os, threading
seen = {}
def look(name):
    ready.wait()
    seen[name] = len(os.sched_getaffinity(0))
ready = threading.Event()
threads = [threading.Thread(target=look, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
"""


#: A child tries for a second to run on more processors than it may; prints how many it
#: had at first and at last.
CHILD = """
import os, subprocess, sys
code = (
    "import os, time\\n"
    "seen = [len(os.sched_getaffinity(0))]\\n"
    "os.sched_setaffinity(0, ALL)\\n"
    "end = time.monotonic() + 1\\n"
    "while time.monotonic() < end:\\n"
    "    seen.append(len(os.sched_getaffinity(0)))\\n"
    "print(seen[0], seen[-1])"
)
print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout, end="")
"""


@pytest.fixture
def kernel(start_kernel):
    return start_kernel(policy=f"{FULL_LANGUAGE}[limits]\ncpus = 32\n")


def test_a_limit_that_changes_while_the_kernel_runs_is_followed(kernel):
    with ControlClient(kernel.manager.connection_file) as control:
        for number in (1, ALL, 1, 32):
            control.limits({"cpus": number})
            assert kernel.run(LOOK).text() == f"{min(number, ALL)}\n"


def test_a_cells_own_limit_holds_for_that_cell(kernel):
    own = {"sandbox": {"limits": {"cpus": 1}}}
    assert kernel.run(LOOK).text() == f"{ALL}\n"
    assert kernel.run(LOOK, metadata=own).text() == "1\n"
    assert kernel.run(LOOK).text() == f"{ALL}\n"


def test_threads_that_run_already_follow_it_too(kernel):
    kernel.run(THREADS)
    with ControlClient(kernel.manager.connection_file) as control:
        control.limits({"cpus": 1})
        kernel.run("ready.set()\nfor thread in threads:\n    thread.join()")
        assert kernel.run("print(sorted(seen.values()))").text() == "[1, 1, 1]\n"


def test_a_copy_that_takes_over_has_what_holds_by_then(kernel):
    kernel.run("kept = 1")
    with ControlClient(kernel.manager.connection_file) as control:
        for number in (1, ALL):
            control.limits({"cpus": number})
            assert kernel.run("import os; os._exit(1)").status == "error"
            assert kernel.run("print(kept)").text() == "1\n"
            assert kernel.run(LOOK).text() == f"{number}\n"


def test_what_a_cell_has_chosen_itself_stays(kernel):
    kernel.run("import os; os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})")
    with ControlClient(kernel.manager.connection_file) as control:
        control.limits({"cpus": 32})
        assert kernel.run(LOOK).text() == "1\n"


def test_children_follow_it_whatever_they_choose(start_kernel):
    kernel = start_kernel(policy=f"{FULL_LANGUAGE}[limits]\ncpus = 1\n[processes]\nspawn = true\n")
    ran = kernel.run(CHILD.replace("ALL", str(os.sched_getaffinity(0))))
    assert ran.text() == "1 1\n"
