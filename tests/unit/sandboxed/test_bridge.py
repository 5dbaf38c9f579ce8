"""The worker's end of the channel, where there is no memory for what arrives."""

import socket

import pytest

from sandbox_kernel.sandboxed.bridge import Guard, Link
from sandbox_kernel.shared import codec
from sandbox_kernel.shared.messages import Interrupted, Settings

SENT = [Settings({"modules": {"numpy": "policy.toml:3"}}), Interrupted("cell")]


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Link(ours, Guard()), theirs


def full(times, function):
    """The function, failing for want of memory so many times."""
    left = [None] * times

    def call(*arguments):
        if left:
            left.pop()
            raise MemoryError
        return function(*arguments)

    return call


@pytest.mark.parametrize("part", ["feed", "_take"])
def test_what_arrives_at_a_full_worker_is_not_lost(ends, part):
    link, other = ends
    setattr(link._unpacker, part, full(2, getattr(link._unpacker, part)))
    other.sendall(b"".join(map(codec.pack, SENT)))
    for _ in range(2):
        with pytest.raises(MemoryError):
            link.poll()
    link.poll()
    assert [message for message, _ in link.take((Settings, Interrupted))] == SENT


def test_many_messages_and_large_ones_come_in_their_order(ends):
    link, other = ends
    sent = [Interrupted(str(number)) for number in range(50)] + [Interrupted("x" * 300_000)]
    other.settimeout(10)
    data = b"".join(map(codec.pack, sent))
    for start in range(0, len(data), 50_000):
        other.sendall(data[start : start + 50_000])
        link.poll()
    assert [message for message, _ in link.take(Interrupted)] == sent
