"""`background = "ended"`: nothing that a cell started outlives it, and the variables do.

Each with its control: under the default policy the same spy goes on and sees the next cell.
"""

from __future__ import annotations

import json

import pytest

from tests.features.kernel.conftest import FULL_LANGUAGE, Kernel, start_kernel
from tests.features.limits.test_snapshots import dies, status

__all__ = ["start_kernel"]  # A fixture.

ENDED = 'background = "ended"\n'
RESTRICTED = 'version = 1\nextends = "default"\n'
NEXT_CELL = "secret_answer = 42\nimport asyncio, time\ntime.sleep(.1)\nawait asyncio.sleep(.1)"
SEEN = "print(len(seen) > 0, any(seen))"

SPIES = {
    "thread": """
import threading, time
def spy():
    while True:
        try:
            seen.append('secret_answer' in globals() or 'sleep' + '(.1)' in In[-1])
            time.sleep(.005)
        except BaseException:
            pass
threading.Thread(target=spy, daemon=True).start()
time.sleep(.05)
""",
    "task": """
import asyncio
async def spy():
    while True:
        try:
            seen.append('secret_answer' in globals())
            await asyncio.sleep(.005)
        except BaseException:
            pass
task = asyncio.create_task(spy())
await asyncio.sleep(.05)
""",
    "callback": """
import asyncio
def spy():
    seen.append('secret_answer' in globals())
    asyncio.get_running_loop().call_later(.005, spy)
spy()
await asyncio.sleep(.05)
""",
    "reader": """
import asyncio, os
end, other = os.pipe()
def spy():
    seen.append('secret_answer' in globals())
os.write(other, b'x')
asyncio.get_running_loop().add_reader(end, spy)
await asyncio.sleep(.05)
""",
}
#: What only the full language can reach.
DEEP_SPIES = {
    "timer": """
import signal
def spy(number, frame):
    seen.append('secret_answer' in globals())
signal.signal(signal.SIGALRM, spy)
signal.setitimer(signal.ITIMER_REAL, .005, .005)
import time
time.sleep(.05)
""",
    "low-level thread": """
import _thread, time
def spy():
    while True:
        seen.append('secret_answer' in globals())
        time.sleep(.005)
_thread.start_new_thread(spy, ())
time.sleep(.05)
""",
    "trace function": """
import sys
def spy(frame, event, argument):
    if 'secret' in str(frame.f_code.co_names):
        seen.append(True)
seen.append(False)
sys.settrace(spy)
""",
    "task factory": """
import asyncio
def spy(loop, coroutine, **more):
    frame = getattr(coroutine, 'cr_frame', None)
    seen.append('secret' in str(frame.f_locals if frame else ''))
    return asyncio.Task(coroutine, loop=loop, **more)
seen.append(False)
asyncio.get_running_loop().set_task_factory(spy)
""",
}


def watched(kernel: Kernel, spy: str) -> str:
    """Plant a spy, run a cell that it should not see, and ask whether it did."""
    assert kernel.run("kept = [1]\nseen = []").status == "ok"
    assert kernel.run(spy).status == "ok"
    assert kernel.run(NEXT_CELL).status == "ok"
    kernel.run("kept.append(2)")
    assert kernel.run("print(kept)").text() == "[1, 2]\n"
    return kernel.run(SEEN).text()


@pytest.mark.parametrize("spy", SPIES.values(), ids=list(SPIES))
@pytest.mark.parametrize("level", ["full", "no-namespaces"])
def test_nothing_looks_on_in_the_next_cell(start_kernel, spy: str, level: str) -> None:
    kernel = start_kernel(policy=RESTRICTED + ENDED, level=level)
    assert watched(kernel, spy) == "True False\n"
    assert status(kernel)["restarts"] == 0


@pytest.mark.parametrize("spy", DEEP_SPIES.values(), ids=list(DEEP_SPIES))
def test_nor_what_the_full_language_can_plant(start_kernel, spy: str) -> None:
    assert watched(start_kernel(policy=FULL_LANGUAGE + ENDED), spy) == "True False\n"


@pytest.mark.parametrize(
    ("spy", "policy"),
    [
        *((spy, RESTRICTED) for spy in SPIES.values()),
        *((spy, FULL_LANGUAGE) for spy in DEEP_SPIES.values()),
    ],
    ids=[*SPIES, *DEEP_SPIES],
)
def test_control_without_it_they_see_the_next_cell(start_kernel, spy: str, policy: str) -> None:
    assert watched(start_kernel(policy=policy), spy) == "True True\n"


def test_the_person_is_told_what_was_ended(start_kernel) -> None:
    kernel = start_kernel(policy=RESTRICTED + ENDED)
    status(kernel)  # A client that knows us.
    kernel.run("seen = []")
    kernel.run(SPIES["thread"])
    told = kernel.published(
        lambda m: m["msg_type"] == "sandbox_event" and m["content"]["kind"] == "ended"
    )
    assert "1 thread (Thread-" in told["content"]["left_running"]


def test_a_death_afterwards_still_brings_the_variables_back(start_kernel) -> None:
    kernel = start_kernel(policy=FULL_LANGUAGE + ENDED)
    kernel.run("seen = []")
    kernel.run(SPIES["thread"])
    kernel.run("kept = 7")
    dies(kernel)
    assert kernel.run("import threading; print(kept, threading.active_count())").text() in (
        "7 1\n",
        "7 2\n",  # With the one that sends output.
    )


def test_what_no_copy_can_take_over_ends_with_its_process(start_kernel) -> None:
    """Where the fork is refused, the process goes, and the next cell is told of it."""
    policy = FULL_LANGUAGE + ENDED + '[limits]\nmemory = "300 MB"\n'
    kernel = start_kernel(policy=policy)
    kernel.run("seen = []\nimport os\nos.fork_before = os.fork")
    kernel.run(SPIES["thread"] + "\ndef refused(): raise OSError(11, 'no')\nos.fork = refused")
    told = kernel.published(
        lambda m: m["msg_type"] == "stream" and m["content"]["name"] == "stderr"
    )
    assert "could be ended only with the process" in told["content"]["text"]
    assert kernel.run("print('seen' in globals())").text() == "False\n"


def test_many_cells_cost_no_swap(start_kernel) -> None:
    kernel = start_kernel(policy=RESTRICTED + ENDED)
    for number in range(10):
        assert kernel.run(f"print({number})\nawait __import__('asyncio').sleep(0)").reply
    assert status(kernel)["copies_woken"] == 0, json.dumps(status(kernel))
