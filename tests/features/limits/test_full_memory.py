"""A worker that is full to the last byte: the error is told, and the next cell can clean up."""

import pytest

from tests.features.kernel.conftest import FULL_LANGUAGE, start_kernel

__all__ = ["start_kernel"]  # A fixture.

#: What is left when the last block does not fit any more is less than one block.
BLOCKS = [20_000_000, 1_000_000, 300_000, 100_000, 40_000]


@pytest.fixture(scope="module", params=["full", "no-namespaces"])
def kernel(request, start_kernel):
    policy = FULL_LANGUAGE + '[limits]\nmemory = "300 MB"\n'
    return start_kernel(level=request.param, policy=policy)


@pytest.mark.parametrize("size", BLOCKS)
def test_the_error_is_told_and_the_session_goes_on(kernel, size):
    kernel.run("kept = 45")
    full = kernel.run(f"blocks = []\nwhile True: blocks.append(bytearray({size}))")
    assert full.reply["content"]["ename"] in ("MemoryError", "LimitExceeded"), full.error
    assert "memory:" in full.error
    for _ in range(3):
        assert kernel.run("print(kept)").text() == "45\n"
    assert kernel.run("print(len(blocks) > 5)").text() == "True\n"
    assert kernel.run("del blocks; print('freed')").text() == "freed\n"
