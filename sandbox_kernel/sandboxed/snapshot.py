"""Dormant copies of the worker: made between two cells, awake when the worker has died.

The copy is a fork that sleeps on a socket of its own. Rules

- Made only where a fork is safe: no Python threads but those that can simply be started anew, and
  no native threads that outlive the fork. OpenBLAS stops its threads before a fork and starts them
  again, so these are no obstacle; whoever is left (OpenMP's, after a parallel region) would be
  waited for in vain in the copy, so there is no copy then.
- It gives up at once what it may not share with the worker: sockets, pipes, whatever can be
  written to, and files that are locked. In their place stands a socket whose other end is closed,
  so that the numbers stay taken and old objects meet an end, not somebody else's descriptor.
- It takes nothing from the worker's channels when it wakes up: the supervisor hands it new ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import selectors
import signal
import socket
import stat
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .bridge import receive
from .written_pages import WrittenPages

#: Threads that are no obstacle: they hold nothing between two rounds, and whoever needs them
#: starts them again when they are gone. Module and class of the thread, with the reason.
RESTARTED = {
    ("tqdm._monitor", "TMonitor"): "redraws slow bars; tqdm starts another when it is dead",
}
#: Name of the thread that sends output, which is started again with the next text.
FLUSHER = "output flusher"
#: Libraries whose worker threads do not survive a fork, by a part of their file name.
_OPENMP = ("libgomp", "libomp", "libiomp")
_MOST_NAMED = 4
#: Inodes of the sockets that stand where descriptors were given up.
_DEAD: set[int] = set()


@dataclass(frozen=True)
class Woken:
    """What a copy has when it takes over: its channel, and words for what it had to give up."""

    channel: socket.socket
    lost: tuple[str, ...]


class Copies:
    """Makes dormant copies of this process."""

    def __init__(
        self,
        locks: Sequence[Any],
        flush: Callable[[], None],
        own: Callable[[], frozenset[int]],
    ) -> None:
        """`locks` are held during the fork, `flush` empties the output streams before it.

        `own` gives the descriptors that belong to the kernel.
        """
        self._locks = locks
        self._flush = flush
        self._own = own
        self.pages = WrittenPages()
        self._children: list[int] = []
        #: Native threads that were left over by the last fork.
        self._left_over = 0

    def take(
        self, link: socket.socket, harmless: int, *, heeds_threads: bool = True
    ) -> tuple[str, float, Woken | None]:
        """Fork. In this process: why there is no copy (or nothing), and the seconds it took.

        `harmless` is the number of native threads that do not count. Without `heeds_threads`
        Python's own are no obstacle: they end with this process.

        In the copy it returns much later, with `Woken`, or never.
        """
        self.reap()
        begin = time.perf_counter()
        obstacle = self._obstacle(harmless) if heeds_threads else ""
        if obstacle:
            return obstacle, 0.0, None
        self._flush()
        self.pages.before_fork(bool(self._children))
        try:
            child = self._fork()
        except OSError as error:
            return f"the fork was refused: {error.strerror}", 0.0, None
        if child == 0:
            return "", 0.0, _sleep(link, self._own())
        self._children.append(child)
        seconds = time.perf_counter() - begin
        python = threading.active_count() if heeds_threads else len(sys._current_frames())
        self._left_over = max(_native_threads(python) - harmless, 0)
        if self._left_over:
            return _native_obstacle(self._left_over), seconds, None
        return "", seconds, None

    def _fork(self) -> int:
        with contextlib.ExitStack() as held, warnings.catch_warnings():
            for lock in self._locks:
                held.enter_context(lock)
            # Python 3.12 warns of any other thread; `_obstacle` has looked which there are.
            warnings.simplefilter("ignore", DeprecationWarning)
            return os.fork()

    def _obstacle(self, harmless: int) -> str:
        threads = [thread for thread in threading.enumerate() if not _is_harmless(thread)]
        if threads:
            names = ", ".join(thread.name for thread in threads[:_MOST_NAMED])
            more = f" and {len(threads) - _MOST_NAMED} more" if len(threads) > _MOST_NAMED else ""
            return f"threads are running: {names}{more}"
        native = _native_threads(threading.active_count()) - harmless
        if self._left_over and native >= self._left_over:
            return _native_obstacle(self._left_over)
        return ""

    def reap(self) -> int:
        """Take leave of copies that the supervisor has ended; how many there are still."""
        alive = []
        for child in self._children:
            try:
                ended, _ = os.waitpid(child, os.WNOHANG)
            except ChildProcessError:
                continue
            if not ended:
                alive.append(child)
        self._children = alive
        return len(alive)


def _is_harmless(thread: threading.Thread) -> bool:
    kind = type(thread)
    return (
        thread is threading.main_thread()
        or thread.name == FLUSHER
        or (kind.__module__, kind.__name__) in RESTARTED
    )


def _native_threads(python: int) -> int:
    """Threads of this process beside the `python` ones that Python knows of.

    A process that cannot count its threads counts one too many: then there is no copy.
    """
    try:
        with open("/proc/self/status", "rb") as file:
            text = file.read()
        total = int(text.split(b"Threads:", 1)[1].split(None, 1)[0])
    except (OSError, IndexError, ValueError):
        return 1
    return max(total - python, 0)


def _native_obstacle(count: int) -> str:
    loaded = _loaded_openmp()
    if loaded:
        return (
            f"{loaded} has run in parallel and keeps {count} threads, which no copy can have; "
            "with the limit cpus = 1 it runs without"
        )
    return f"a library keeps {count} threads of its own, which no copy can have"


def _loaded_openmp() -> str:
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return ""
    return next((f"OpenMP ({name})" for name in _OPENMP if name in text), "")


# --- in the copy -----------------------------------------------------------------------------


def _sleep(link: socket.socket, own: frozenset[int]) -> Woken:
    """The whole life of a dormant copy; returns when the supervisor wakes it up."""
    for number in (signal.SIGINT, signal.SIGURG, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)
    lost = _give_up(link.fileno(), own)
    try:
        link.send(b"dormant")
        word = bytearray(64)
        size, fds = receive(link, word, 3, socket.MSG_CMSG_CLOEXEC)
    except OSError:
        os._exit(0)
    if word[:size] != b"wake" or len(fds) != 3:
        os._exit(0)
    channel, out, err = fds
    for fd, number in ((out, 1), (err, 2)):
        os.dup2(fd, number)
        os.close(fd)
    return Woken(socket.socket(fileno=channel), lost)


def _give_up(keep: int, own: frozenset[int]) -> tuple[str, ...]:
    """Put a dead socket in the place of each descriptor that must not be shared."""
    dead, other = socket.socketpair()
    other.close()
    _DEAD.add(os.fstat(dead.fileno()).st_ino)
    lost: dict[str, int] = {}
    for number in _descriptors():
        if number in (keep, dead.fileno()) or _is_dead(number):
            continue
        kind = _shared_kind(number)
        if kind:
            os.dup2(dead.fileno(), number, inheritable=number <= 2)
            if number not in own:
                lost[kind] = lost.get(kind, 0) + 1
    dead.close()
    return tuple(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in lost.items())


def _is_dead(number: int) -> bool:
    """Whether a copy of before, which this one descends from, gave this descriptor up already."""
    try:
        return os.fstat(number).st_ino in _DEAD
    except OSError:
        return False


def _descriptors() -> Iterator[int]:
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        yield from range(_most_descriptors())
        return
    yield from (int(name) for name in names)


def _most_descriptors() -> int:
    import resource

    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16)


def _shared_kind(number: int) -> str:
    """What kind of thing a copy must give up; empty for what it may keep, or for nothing."""
    try:
        mode = os.fstat(number).st_mode
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
    except OSError:
        return ""
    if stat.S_ISSOCK(mode):
        return "open connection"
    if stat.S_ISFIFO(mode):
        return "pipe"
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISCHR(mode)):
        return "event descriptor"
    if stat.S_ISREG(mode) and (flags & os.O_ACCMODE != os.O_RDONLY or _is_locked(number)):
        return "file open for writing"
    return ""


def _is_locked(number: int) -> bool:
    try:
        with open(f"/proc/self/fdinfo/{number}", "rb") as file:
            return b"lock:" in file.read()
    except OSError:
        return False


# --- the event loop of a process that was forked -----------------------------------------------


def loop_descriptors(loop: asyncio.AbstractEventLoop) -> tuple[int, ...]:
    """Descriptors that the loop uses for itself: its selector's, and the pair that wakes it."""
    selector: Any = getattr(loop, "_selector")  # noqa: B009  # No public way to any of these.
    pair = (getattr(loop, "_ssock", None), getattr(loop, "_csock", None))
    return (selector.fileno(), *(end.fileno() for end in pair if end is not None))


def renew_loop(loop: asyncio.AbstractEventLoop, channel: int) -> None:
    """Give the running loop a selector and a wake-up pair of its own.

    Those that it had were shared with the process that it was forked from, and stand for nothing
    now. Its tasks and timers go on; readers and writers of descriptors that were given up are gone.
    """
    inner: Any = loop
    old = inner._selector
    inner._selector = selectors.DefaultSelector()
    inner._close_self_pipe()
    inner._make_self_pipe()
    old.close()
    asyncio.set_event_loop(loop)
    asyncio._set_running_loop(loop)
