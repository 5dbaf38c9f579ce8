"""Connecting one of the worker's Unix sockets never holds the loop, whatever its flags become."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.trusted.doors.local_sockets import _connect


@pytest.fixture
def full(tmp_path: Path):
    """The path of a listener whose queue is full, and the listener."""
    path = str(tmp_path / "listener")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        yield path, listener


async def _turns_while(work: Coroutine[Any, Any, int]) -> int:
    """Turns of a hundredth of a second that the loop had until `work` was done."""
    loop = asyncio.get_running_loop()
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        loop.call_later(0.01, turn)

    loop.call_soon(turn)
    await work
    return turns


def _socket() -> socket.socket:
    """One that waits half a second for room in the queue."""
    made = socket.socket(socket.AF_UNIX)
    made.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDTIMEO, b"\0" * 8 + (500_000).to_bytes(8, "little")
    )
    return made


def test_a_socket_that_blocks_only_after_it_was_looked_at_does_not_hold_the_loop(
    full, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = full
    # A thread of the worker shares the flags and changes them between the look and the connect.
    monkeypatch.setattr(os, "get_blocking", lambda descriptor: False)
    with _socket() as inside:
        turns = asyncio.run(_turns_while(_connect(inside, path.encode())))
    assert turns > 10


def test_without_a_thread_the_loop_stands_still(full) -> None:
    path, _ = full

    async def trusting_the_flags(inside: socket.socket) -> int:
        return inside.connect_ex(path)

    with _socket() as inside:
        turns = asyncio.run(_turns_while(trusting_the_flags(inside)))
    assert turns <= 2


def test_a_socket_is_connected(tmp_path: Path) -> None:
    path = str(tmp_path / "listener")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as inside:
        listener.bind(path)
        listener.listen(1)
        assert asyncio.run(_connect(inside, path.encode())) == 0
        assert asyncio.run(_connect(inside, b"\0nobody")) != 0
