"""What the notify door tells a process of itself: its descriptors and tasks in /proc.

`/proc/self` would mean the supervisor here, so it is read under the caller's own number.
"""

from __future__ import annotations

import errno
import os

from . import _sys_stat, worker_descriptors
from .calls import Call
from .file_times import set_times
from .live_place import CHANGES, refused
from .path_calls import Kind, PathCall

_PROC = b"/proc/"
_LISTS = frozenset(
    b"/proc/%s/%s" % (own, name) for own in (b"self", b"thread-self") for name in (b"fd", b"task")
)
_DESCRIPTORS = (b"/proc/self/fd/", b"/proc/thread-self/fd/")


def _as_self(call: Call, path: bytes) -> bytes:
    """`/proc/PID/…` of the caller's own process (psutil's spelling) as `/proc/self/…`."""
    if not path.startswith(_PROC) or not path[len(_PROC) :][:1].isdigit():
        return path
    number, _, rest = path[len(_PROC) :].partition(b"/")
    own = number.isdigit() and int(number) == worker_descriptors.process_of(call.task)
    return b"/proc/self/" + rest if own else path


def answer(call: Call, shape: PathCall, path: bytes, flags: int) -> bool:
    """Answer a call about the caller's own lists; False for any other path."""
    if not path.startswith(_PROC):
        return False
    path = _as_self(call, path)
    if shape.kind is Kind.OPEN and path.rstrip(b"/") in _LISTS:
        _open_list(call, path, flags)
    elif shape.kind is Kind.READ_LINK and path.startswith(_DESCRIPTORS):
        number = path.rpartition(b"/")[2]
        if not number.isdigit():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        give_text(call, shape, os.readlink(b"/proc/%d/fd/%s" % (call.task, number)))
    else:
        return False
    return True


def _open_list(call: Call, path: bytes, flags: int) -> None:
    """What is named in a list comes to the door again when it is opened."""
    if flags & CHANGES:
        raise refused()
    name = os.fsdecode(path.rstrip(b"/").rpartition(b"/")[2])
    process = worker_descriptors.process_of(call.task)
    descriptor = os.open(f"/proc/{process}/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call.check()
        call.give(descriptor, close_on_exec=True)
    finally:
        os.close(descriptor)


def answer_without_path(call: Call, shape: PathCall) -> bool:
    """A null path: `utimensat` then means the descriptor itself; False for other calls."""
    if shape.kind is not Kind.TIMES or shape.directory < 0:
        return False
    number = call.int_argument(shape.directory)
    if not worker_descriptors.flags_of(call.task, number) & os.O_ACCMODE:
        raise refused()
    descriptor = worker_descriptors.fetch(call.task, number)
    try:
        set_times(call, shape.rest, descriptor)
    finally:
        os.close(descriptor)
    call.result()
    return True


def give_text(call: Call, shape: PathCall, text: bytes) -> None:
    """Answer readlink(2): as much of the text as there is room for."""
    size = call.arguments[shape.rest + 1]
    call.check()
    _sys_stat.write_memory(call.task, call.arguments[shape.rest], text[:size])
    call.result(min(len(text), size))
