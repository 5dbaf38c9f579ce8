"""A flood of output ends its cell when it comes, not when the monitor looks next."""

from __future__ import annotations

from tests.features.kernel.conftest import FULL_LANGUAGE, started


def test_a_flood_is_told_without_waiting_for_the_next_look(tmp_path) -> None:
    policy = FULL_LANGUAGE + '[limits]\noutput = "1 MB"\n'
    kernel = started(tmp_path, policy=policy, module="tests.features.limits.never_looking")
    try:
        ran = kernel.run("while True:\n    print('x' * 1000)")
        assert "LimitExceeded" in ran.error
        assert "output" in ran.error
        assert kernel.run("print(1)").text() == "1\n"
    finally:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=True)
