"""Kernels of one person take turns at a file that they share: a lock file beside it.

Whoever holds the lock may be stopped or hang.  So nobody waits for it longer than `PATIENCE`: a
supervisor that waits answers nothing and watches no limit.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 1.0
"""Seconds to wait for another kernel."""
_STEP = 0.01


@contextlib.contextmanager
def turn(lock: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock file `lock`, which is made where it is missing, its folder too.

    Raises OSError, with ETIMEDOUT when somebody else held it all the time.
    """
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(lock, flags, 0o600)
    try:
        _take(descriptor, lock, time.monotonic() + patience)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, lock: Path, end: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                text = "another kernel holds it and does not let go"
                raise OSError(errno.ETIMEDOUT, text, str(lock)) from None
        time.sleep(_STEP)
