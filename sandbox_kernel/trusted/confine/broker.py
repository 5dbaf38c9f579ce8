"""The least door behind a listener: answers at once, grants nothing.

`Door` is what the launcher needs of any door; a fuller one takes this one's place.

- A path below the readable roots or the scratch: the call runs. That is safe because Landlock
  decides again, in the kernel, on what is really opened.
- Some files that libraries read and that must not come from the host: served from memory.
- Shared memory and semaphores live in /dev/shm, which belongs to everybody: these names lead to a
  folder in the scratch, opened here.
- Any other path, a connection, a second process that nobody ordered: refused.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from . import _sys_notify as notify
from .callers_paths import as_own, real_path
from .places import DEVICES, MACHINE_FILES, PROCESS_FILES
from .syscall_numbers import TABLES


class Door(Protocol):
    """Answers the system calls that the filter sends to the supervisor.

    `forks` is how many forks the supervisor has ordered and not yet seen; `may_fork` says whether
    a cell may start one more process now, and is None where cells may start none.
    """

    forks: int
    may_fork: Callable[[], bool] | None

    def serve(self) -> bool:
        """Answer what waits now, without blocking. False: the listener is dead for good."""


@dataclass
class Listener:
    """What a door is made from."""

    fd: int
    worker_pid: int
    machine: str
    trees: tuple[str, ...]
    scratch: str
    working_directory: str
    memory_files: Mapping[str, str] = field(default_factory=dict)
    #: Directories whose own names may be listed, and nothing below them but what is in `trees`.
    listed: tuple[str, ...] = ()


DoorFactory = Callable[[Listener], Door]

_CWD = 0xFFFFFF9C


@dataclass(frozen=True)
class _Path:
    """Where a path call has its directory descriptor (None: the current one) and its path."""

    directory: int | None
    path: int
    follows: bool = True


def _plain(names: str, *, follows: bool = True) -> dict[str, tuple[_Path, ...]]:
    return {name: (_Path(None, 0, follows),) for name in names.split()}


def _at(names: str, *, follows: bool = True) -> dict[str, tuple[_Path, ...]]:
    return {name: (_Path(0, 1, follows),) for name in names.split()}


_READS = {
    **_plain("open creat stat access statfs chdir getxattr listxattr"),
    **_plain("lstat readlink lgetxattr llistxattr", follows=False),
    **_at("openat newfstatat statx faccessat faccessat2 getxattrat listxattrat"),
    **_at("readlinkat", follows=False),
}
_CHANGES = {
    **_plain("mkdir rmdir unlink", follows=False),
    **_plain("truncate"),
    **_at("mkdirat unlinkat", follows=False),
    "rename": (_Path(None, 0, False), _Path(None, 1, False)),
    "link": (_Path(None, 0, False), _Path(None, 1, False)),
    "symlink": (_Path(None, 1, False),),
    "renameat": (_Path(0, 1, False), _Path(2, 3, False)),
    "renameat2": (_Path(0, 1, False), _Path(2, 3, False)),
    "linkat": (_Path(0, 1, False), _Path(2, 3, False)),
    "symlinkat": (_Path(1, 2, False),),
}
_EMPTY_PATH, _NO_FOLLOW = 0x1000, 0x100
#: Which argument carries AT_* flags.
_AT_FLAGS = {"newfstatat": 3, "statx": 2, "faccessat2": 3}


class Broker:
    """The minimal door; `forks` and `may_fork` as in `Door`."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._names = {number: name for name, number in TABLES[listener.machine].items()}
        self._poll = select.poll()
        self._poll.register(listener.fd, select.POLLIN)
        self._readable = (*listener.trees, listener.scratch, *_DEVICES)
        self._writable = (listener.scratch, *_DEVICES)
        self._known = _ancestors((*self._readable, *listener.listed, listener.working_directory))
        self.forks = 0
        self.may_fork: Callable[[], bool] | None = None

    def serve(self) -> bool:
        """See `Door.serve`."""
        for _ in range(_MOST_AT_ONCE):
            events = self._poll.poll(0)
            if not events:
                return True
            if events[0][1] & (select.POLLHUP | select.POLLERR):
                return False  # All filtered processes are dead; a read would fail for ever.
            call = notify.receive(self._listener.fd)
            if call is None:
                return True
            self.answer(call)
        return True  # Many threads could keep us here for ever: the loop has other work.

    def answer(self, call: notify.Notification) -> None:
        """Answer one waiting call."""
        name = self._names[call.number]
        try:
            code = self._decide(name, call)
        except OSError as error:
            code = error.errno or errno.EACCES
        if code is None:
            notify.let_run(self._listener.fd, call.id)
        elif code:
            notify.refuse(self._listener.fd, call.id, code)

    def _decide(self, name: str, call: notify.Notification) -> int | None:
        """None: let it run. 0: it was answered. Else the errno."""
        if name in ("clone", "fork", "vfork"):
            if self.forks > 0:
                self.forks -= 1
                return None
            if self.may_fork is None:
                return errno.EPERM
            return None if self.may_fork() else errno.EAGAIN
        if name in ("kill", "tgkill", "tkill"):
            own = name != "tkill" and call.arguments[0] == self._listener.worker_pid
            return None if own else errno.EPERM
        if name in _READS:
            return self._read(name, call)
        if name in _CHANGES:
            return self._change(name, call)
        if name in _ATTRIBUTES:
            return self._set_attributes(name, call)
        return errno.EACCES

    def _read(self, name: str, call: notify.Notification) -> int | None:
        (where,) = _READS[name]
        flags = call.arguments[_AT_FLAGS[name]] if name in _AT_FLAGS else 0
        text = self._text(call, where)
        if not text and flags & _EMPTY_PATH:
            return None  # An open descriptor: it was opened through the door.
        path = os.path.normpath(self._spelled(call, where, text))
        if path.startswith(_SHARED_MEMORY):
            if name in ("open", "openat"):
                return self._open_shared(call, where, path)
            own = f"{self._listener.scratch}/shm/{self._shared(path)}"
            return errno.EACCES if os.path.lexists(own) else errno.ENOENT
        if name in ("open", "openat"):
            content = self._from_memory(path, call.pid)
            if content is not None:
                return self._serve_text(call, content)
        real = self._real(call, where, follows=where.follows and not flags & _NO_FOLLOW)
        if name == "creat" or (name in ("open", "openat") and self._writes(call, where)):
            return None if _below(real, self._writable) else _EACCES
        if _below(real, self._readable):
            return None
        if name in ("open", "openat"):
            return None if real in self._listener.listed else _EACCES
        if real in self._known:
            return None
        # As at `full`, where what is not granted does not exist: `exists` says no and goes on.
        return _EACCES if name == "chdir" else errno.ENOENT

    @staticmethod
    def _writes(call: notify.Notification, where: _Path) -> bool:
        return bool(call.arguments[where.path + 1] & (os.O_ACCMODE | os.O_CREAT | os.O_TRUNC))

    def _from_memory(self, path: str, pid: int) -> bytes | None:
        path = as_own(path, pid)
        if path.startswith(_SELF) and path[len(_SELF) :] in PROCESS_FILES:
            with open(f"/proc/{pid}/{path[len(_SELF) :]}", "rb") as file:
                return file.read()
        if path.startswith(_FDINFO) and path[len(_FDINFO) :].isdecimal():
            # A dormant copy looks for locks that it must not keep.
            with open(f"/proc/{pid}/fdinfo/{path[len(_FDINFO) :]}", "rb") as file:
                return file.read()
        if path in MACHINE_FILES:
            with open(path, "rb") as file:
                return file.read()
        text = self._listener.memory_files.get(path)
        return None if text is None else text.encode("utf-8", "surrogateescape")

    def _change(self, name: str, call: notify.Notification) -> int | None:
        places = _CHANGES[name]
        spelled = [
            os.path.normpath(self._spelled(call, where, self._text(call, where)))
            for where in places
        ]
        if any(path.startswith(_SHARED_MEMORY) for path in spelled):
            return self._change_shared(name, call, spelled)
        inside = (self._real(call, where, follows=False) for where in places)
        return None if all(_below(p, (self._listener.scratch,)) for p in inside) else _EACCES

    def _shared(self, path: str) -> str:
        """Where a name of /dev/shm leads. Raises OSError for one that is not directly in it."""
        name = path[len(_SHARED_MEMORY) :]
        if "/" in name or name in ("", ".", ".."):
            raise OSError(errno.EACCES, "not a name in /dev/shm")
        return name

    def _open_shared(self, call: notify.Notification, where: _Path, path: str) -> int:
        flags = call.arguments[where.path + 1] & 0xFFFFFFFF
        mode = call.arguments[where.path + 2] & 0o700
        folder = os.open(f"{self._listener.scratch}/shm", os.O_RDONLY | os.O_NOFOLLOW)
        try:
            own = (flags & _OPEN_FLAGS) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(self._shared(path), own, mode, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return errno.EACCES
            notify.inject(self._listener.fd, call.id, fd, close_on_exec=True)
        finally:
            os.close(fd)
        return 0

    def _change_shared(self, name: str, call: notify.Notification, paths: list[str]) -> int:
        folder = os.open(f"{self._listener.scratch}/shm", os.O_RDONLY | os.O_NOFOLLOW)
        try:
            names = [self._shared(path) for path in paths]
            if name in ("unlink", "unlinkat"):
                os.unlink(names[0], dir_fd=folder)
            elif name in ("link", "linkat") and all(p.startswith(_SHARED_MEMORY) for p in paths):
                # Not what a symbolic link leads to: that would bring any file into the scratch.
                os.link(*names, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            else:
                return errno.EACCES
        finally:
            os.close(folder)
        notify.answer(self._listener.fd, call.id, 0)
        return 0

    def _serve_text(self, call: notify.Notification, content: bytes) -> int:
        memory = os.memfd_create("file", os.MFD_CLOEXEC)
        try:
            os.write(memory, content)
            readable = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                notify.inject(self._listener.fd, call.id, readable, close_on_exec=True)
            finally:
                os.close(readable)
        finally:
            os.close(memory)
        return 0

    def _set_attributes(self, name: str, call: notify.Notification) -> int:
        """Done here, on our own descriptor: Landlock would not look at them in the worker."""
        where = _ATTRIBUTES[name]
        real = self._real(call, where, follows=True)
        if not _below(real, (self._listener.scratch,)):
            return errno.EACCES
        fd = os.open(real, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            here = os.readlink(f"/proc/self/fd/{fd}")
            if not _below(here, (self._listener.scratch,)):
                return errno.EACCES
            if "chmod" in name:
                os.chmod(f"/proc/self/fd/{fd}", call.arguments[where.path + 1] & 0o777)
            else:
                self._set_times(name, call, fd)
        finally:
            os.close(fd)
        notify.answer(self._listener.fd, call.id, 0)
        return 0

    def _set_times(self, name: str, call: notify.Notification, fd: int) -> None:
        address = call.arguments[1 if name in ("utime", "utimes") else 2]
        times = _times(name, notify.read_memory(call.pid, address, 32)) if address else None
        os.utime(f"/proc/self/fd/{fd}", ns=times) if times else os.utime(f"/proc/self/fd/{fd}")

    def _text(self, call: notify.Notification, where: _Path) -> str:
        path = notify.read_path(call.pid, call.arguments[where.path])
        if not notify.still_waiting(self._listener.fd, call.id):
            raise OSError(errno.EINTR, "the caller is gone")
        return os.fsdecode(path)

    def _spelled(self, call: notify.Notification, where: _Path, text: str) -> str:
        """The path from the root. Not normalised: ".." after a link means its target's parent."""
        if text.startswith("/"):
            return text
        directory = _CWD if where.directory is None else call.arguments[where.directory] & _CWD_MASK
        link = "cwd" if directory == _CWD else f"fd/{directory}"
        base = os.readlink(f"/proc/{call.pid}/{link}")
        return f"{base}/{text}"

    def _real(self, call: notify.Notification, where: _Path, *, follows: bool) -> str:
        path = self._spelled(call, where, self._text(call, where))
        parent, base = os.path.split(path)
        # A slash or a dot at the end makes the kernel follow a link before it.
        if follows or base in ("", ".", ".."):
            return real_path(path, call.pid)
        return os.path.join(real_path(parent, call.pid), base)


_SELF = "/proc/self/"
_FDINFO = "/proc/self/fdinfo/"
_CWD_MASK = 0xFFFFFFFF
#: Calls answered before the loop gets its turn.
_MOST_AT_ONCE = 64
_DEVICES = tuple(f"/dev/{name}" for name in DEVICES)
_SHARED_MEMORY = "/dev/shm/"
_OPEN_FLAGS = os.O_ACCMODE | os.O_CREAT | os.O_EXCL | os.O_TRUNC
_EACCES = errno.EACCES
_ATTRIBUTES = {
    **{name: _Path(None, 0) for name in ("chmod", "utime", "utimes")},
    **{name: _Path(0, 1) for name in ("fchmodat", "fchmodat2", "utimensat", "futimesat")},
}


def _times(name: str, raw: bytes) -> tuple[int, int]:
    """(access, modification) time in ns since 1970 from what the call points at."""
    words = [int.from_bytes(raw[i : i + 8], "little", signed=True) for i in range(0, 32, 8)]
    if name == "utime":
        return words[0] * 10**9, words[1] * 10**9
    unit = 1 if name == "utimensat" else 1000
    return words[0] * 10**9 + words[1] * unit, words[2] * 10**9 + words[3] * unit


def _below(path: str, trees: tuple[str, ...]) -> bool:
    return any(path == tree or path.startswith(tree + "/") for tree in trees)


def _ancestors(paths: tuple[str, ...]) -> frozenset[str]:
    """Directories on the way to `paths`, and these: that they exist is no secret."""
    found: set[str] = set()
    for path in paths:
        while path not in found:
            found.add(path)
            path = os.path.dirname(path)
    return frozenset((*found, "/"))
