"""The last words of a dead worker are heard; whoever goes on writing to its channel is not."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import pytest

from sandbox_kernel.shared.codec import pack
from sandbox_kernel.shared.messages import Output
from sandbox_kernel.trusted import worker_process
from sandbox_kernel.trusted.worker_process import WorkerProcess


class Ended:
    """A generation whose worker has ended, while another process holds its end of the channel."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.stdout_fd, self._out = os.pipe()
        self.stderr_fd, self._err = os.pipe()
        self.exit_fd, news = os.pipe()
        os.write(news, b"x")
        self._news = news
        self.pid = 0

    def exit_status(self) -> int:
        return -9

    def send_signal(self, number: int) -> None:
        """It has ended."""

    def close(self) -> None:
        for fd in (self.stdout_fd, self._out, self.stderr_fd, self._err, self.exit_fd, self._news):
            os.close(fd)


class Owner:
    def __init__(self) -> None:
        self.messages = 0
        self.gone = asyncio.Event()

    def on_message(self, message: Any, buffers: list[bytes]) -> None:
        self.messages += 1

    def on_text(self, name: str, text: str) -> None:
        """Nothing comes through the pipes here."""

    def on_gone(self, worker: WorkerProcess, reason: str) -> None:
        self.gone.set()


async def _ended(ours: socket.socket) -> tuple[int, int]:
    """Bytes and messages that were taken in after the end."""
    generation, owner = Ended(ours), Owner()
    worker = WorkerProcess(generation, owner)  # type: ignore[arg-type]
    await asyncio.wait_for(owner.gone.wait(), 60)
    worker.close()
    return worker.received_bytes, owner.messages


def _filled() -> tuple[socket.socket, socket.socket, int]:
    """A channel into which no more message fits, and how many are in it."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    message = pack(Output("stream", {"name": "stdout", "text": "x"}))
    sent = 0
    try:
        while theirs.send(message) == len(message):
            sent += 1
    except BlockingIOError:
        return ours, theirs, sent
    raise AssertionError("a part of a message was taken")


def test_the_last_words_of_a_worker_are_heard() -> None:
    ours, theirs, sent = _filled()
    with ours, theirs:
        _, heard = asyncio.run(_ended(ours))
    assert heard == sent > 100


@pytest.mark.parametrize(("rounds", "all_of_it"), [(4, False), (1 << 30, True)])
def test_who_goes_on_writing_does_not_hold_the_supervisor(
    monkeypatch: pytest.MonkeyPatch, rounds: int, all_of_it: bool
) -> None:
    # In small pieces a full channel is more than the bound, as one is that somebody keeps filling.
    monkeypatch.setattr(worker_process, "_READ", 64)
    monkeypatch.setattr(worker_process, "_LAST_ROUNDS", rounds)
    ours, theirs, sent = _filled()
    with ours, theirs:
        taken_in, heard = asyncio.run(_ended(ours))
    bound = 64 * (worker_process._ROUNDS + 4)  # A turn may have come before the end.
    assert (heard == sent) is all_of_it
    assert (taken_in <= bound) is not all_of_it


@pytest.mark.parametrize(("turn", "fair"), [(0.0, True), (60.0, False)])
def test_many_small_messages_leave_the_loop_its_turns(
    monkeypatch: pytest.MonkeyPatch, turn: float, fair: bool
) -> None:
    monkeypatch.setattr(worker_process.WorkerProcess._readable, "__defaults__", (turn, 16))

    async def run(ours: socket.socket, sent: int) -> int:
        generation, owner = Ended(ours), Owner()
        os.read(generation.exit_fd, 1)  # It lives.
        worker = WorkerProcess(generation, owner)  # type: ignore[arg-type]
        turns = 0
        while owner.messages < sent:
            await asyncio.sleep(0)
            turns += 1
        worker.close()
        return turns

    ours, theirs, sent = _filled()
    with ours, theirs:
        turns = asyncio.run(run(ours, sent))
    assert (turns >= sent) is fair
    assert (turns < 10) is not fair
