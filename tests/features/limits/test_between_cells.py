"""What cells leave running is held to the limit of CPU time between cells, too."""

from __future__ import annotations

import pytest

from tests.features.kernel.conftest import FULL_LANGUAGE, start_kernel

__all__ = ["start_kernel"]  # A fixture.

POLICY = FULL_LANGUAGE + '[limits]\ncpu_time = "1 s"\ngrace = "1 s"\n'


@pytest.mark.slow
def test_a_thread_that_goes_on_is_ended_and_the_session_kept(start_kernel) -> None:
    kernel = start_kernel(policy=POLICY)
    kernel.run(
        "import threading\nvalue = 1\ndef spin():\n    while True: pass\n"
        "threading.Thread(target=spin, daemon=True, name='spinner').start()"
    )
    told = kernel.published(
        lambda m: m["msg_type"] == "sandbox_event" and m["content"]["kind"] == "limit"
    )
    assert told["content"]["limit"] == "cpu_time"
    assert "between two cells" in told["content"]["text"]
    traceback = kernel.published(lambda m: m["msg_type"] == "stream")
    assert "spinner" in traceback["content"]["text"]
    # It is still listed for the moment between its traceback and its end.
    after = kernel.run(
        "for thread in threading.enumerate():\n"
        "    if thread.name == 'spinner': thread.join(30)\n"
        "print(value, [t.name for t in threading.enumerate()])"
    ).text()
    assert after.startswith("1 ")
    assert "spinner" not in after


def test_an_idle_thread_is_left_alone(start_kernel) -> None:
    kernel = start_kernel(policy=POLICY)
    kernel.run(
        "import threading\nstop = threading.Event()\n"
        "threading.Thread(target=stop.wait, name='patient').start()"
    )
    for _ in range(3):
        assert kernel.run("import time; time.sleep(.5)").status == "ok"
    assert "patient" in kernel.run("print([t.name for t in threading.enumerate()])").text()
    kernel.run("stop.set()")
