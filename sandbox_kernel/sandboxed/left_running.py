"""What cells have left running in the worker, and how it is ended.

Under the policy's `background = "ended"` nothing that a cell started outlives it. A thread cannot
be made to end: it may catch whatever is raised in it. But a fork has the thread that forked and
no other one, so the worker's copy takes its place (`snapshot.py`), and what the event loop still
had to do is dropped in the copy.

| left by a cell                   | in the copy                                            |
|----------------------------------|--------------------------------------------------------|
| threads                          | are not there                                          |
| tasks, callbacks of the loop     | dropped                                                |
| readers and writers of the loop  | gone with its selector                                 |
| timers, trace functions, hooks   | taken off after each cell, with or without a copy      |
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterable
from typing import Any

_MOST_NAMED = 4


def left_running(
    loop: asyncio.AbstractEventLoop,
    own_threads: Iterable[int],
    own_tasks: Iterable[asyncio.Task[Any]],
    own_callbacks: Iterable[object],
    own_descriptors: frozenset[int],
) -> str:
    """What runs on beside the kernel's own, in words; empty for nothing.

    `own_threads` are idents of threads, `own_callbacks` objects whose methods are callbacks.
    """
    parts = (
        _named("thread", _threads(own_threads)),
        _named("task", _tasks(loop, own_tasks)),
        _named("callback", _callbacks(loop, own_tasks, own_callbacks)),
        _named("watched descriptor", _watched(loop, own_descriptors)),
    )
    return ", ".join(part for part in parts if part)


def drop_pending(loop: asyncio.AbstractEventLoop) -> None:
    """Forget all that the loop still had to do; for a copy, which has nothing of its own in it."""
    inner: Any = loop
    for handle in (*inner._scheduled, *inner._ready):
        handle.cancel()  # Not taken out: the loop is in the middle of its round.
    for task in asyncio.all_tasks(loop):
        # It is pending for ever, which is what was meant. What wakes it again is seen by itself.
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # no public way
        asyncio.tasks._unregister_task(task)


def take_off_hooks(loop: asyncio.AbstractEventLoop) -> None:
    """Take off what runs code of a cell's in the kernel's own steps."""
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    sys.settrace(None)
    sys.setprofile(None)
    threading.settrace(None)  # type: ignore[arg-type]  # None takes it off
    threading.setprofile(None)
    loop.set_task_factory(None)
    loop.set_exception_handler(None)


def _named(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(sorted({name for name in names if name})[:_MOST_NAMED])
    text = f"{len(names)} {kind}{'s' if len(names) > 1 else ''}"
    return f"{text} ({shown})" if shown else text


def _threads(own: Iterable[int]) -> list[str]:
    """All threads that can run Python, also those that `threading` does not know."""
    known = {thread.ident: thread.name for thread in threading.enumerate()}
    return [known.get(each, "") for each in sys._current_frames().keys() - set(own)]


def _tasks(loop: asyncio.AbstractEventLoop, own: Iterable[asyncio.Task[Any]]) -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks(loop) - set(own)]


def _callbacks(
    loop: asyncio.AbstractEventLoop,
    own_tasks: Iterable[asyncio.Task[Any]],
    own: Iterable[object],
) -> list[str]:
    inner: Any = loop
    mine = [*own, *own_tasks]
    return [
        getattr(handle._callback, "__name__", "")
        for handle in (*inner._scheduled, *inner._ready)
        if not handle._cancelled
        and not any(getattr(handle._callback, "__self__", None) is each for each in mine)
    ]


def _watched(loop: asyncio.AbstractEventLoop, own: frozenset[int]) -> list[str]:
    inner: Any = loop
    return [str(number) for number in inner._selector.get_map() if number not in own]
