"""Unix sockets of the worker: among its own processes, and to nobody else.

Landlock does not mediate connecting to a path-named Unix socket, and a granted folder may hold
one of the host's. So a connection is made here, on a duplicate of the worker's socket, to exactly
the file that was looked at, and only below the scratch. Abstract names belong to a network
namespace: with one of its own the worker can only find itself, without one only names that it
bound through this door are reached.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat

from . import _sys_files, worker_descriptors
from .calls import Call
from .sockaddr import UnixAddress

_IN_SCRATCH = (
    _sys_files.RESOLVE_BENEATH
    | _sys_files.RESOLVE_NO_MAGICLINKS
    | _sys_files.RESOLVE_NO_SYMLINKS
    | _sys_files.RESOLVE_NO_XDEV
)


class LocalSockets:
    """Unix sockets of one generation. `scratch` is the scratch's path as the worker sees it."""

    def __init__(self, pid: int, scratch: str, *, own_network: bool) -> None:
        self.pid = pid
        self._scratch = scratch
        self._own_network = own_network
        self._abstract: set[bytes] = set()

    async def connect(self, call: Call, target: UnixAddress) -> None:
        """Connect the worker's socket, or refuse."""
        with worker_descriptors.fetch_socket(call.task, call.int_argument(0)) as inside:
            call.check()  # What was fetched is the caller's, if it still waits.
            if inside.family != socket.AF_UNIX:
                raise OSError(errno.EAFNOSUPPORT, "not a Unix socket")
            if target.abstract:
                if not self._own_network and target.name not in self._abstract:
                    raise PermissionError(errno.EACCES, "not a name of this worker")
                code = await _connect(inside, b"\0" + target.name)
                if code == errno.ECONNREFUSED:
                    code = errno.EACCES  # Nobody inside has this name: it is one of the host's.
            else:
                code = await self._connect_path(call, inside, target.name)
        if code:
            call.refuse(code)
        else:
            call.result()

    def bind(self, call: Call, target: UnixAddress) -> None:
        """Let the worker name its socket.

        A path is bound by the kernel in the worker, where Landlock decides on making a socket
        file. With a network namespace of its own, so is an abstract name; without one, only a
        name that the kernel chooses may be had.
        """
        if not target.abstract or self._own_network:
            call.let_run()
            return
        if target.name:
            # The machine's processes share these names: one may trust whoever has taken it.
            raise PermissionError(errno.EACCES, "a name that the machine's processes can call")
        with worker_descriptors.fetch_socket(call.task, call.int_argument(0)) as inside:
            call.check()
            if inside.family != socket.AF_UNIX:
                raise OSError(errno.EINVAL, "not a Unix socket")
            inside.bind(b"")
            name = inside.getsockname()
            self._abstract.add(name[1:] if isinstance(name, bytes) else os.fsencode(name)[1:])
            call.result()

    async def _connect_path(self, call: Call, inside: socket.socket, path: bytes) -> int:
        text = os.fsdecode(path)
        if not text.startswith("/"):
            here = os.readlink(f"/proc/{call.task}/cwd")
            text = os.path.join(here, text)
        text = os.path.normpath(text)
        if not text.startswith(self._scratch + "/"):
            return errno.EACCES
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        root = os.open(f"/proc/{self.pid}/root{self._scratch}", flags)
        try:
            relative = os.fsencode(text[len(self._scratch) + 1 :])
            found = _sys_files.openat2(
                root, relative, os.O_PATH | os.O_NOFOLLOW, resolve=_IN_SCRATCH
            )
        finally:
            os.close(root)
        try:
            if not stat.S_ISSOCK(os.fstat(found).st_mode):
                return errno.ECONNREFUSED
            return await _connect(inside, f"/proc/self/fd/{found}".encode())
        finally:
            os.close(found)


async def _connect(inside: socket.socket, address: bytes) -> int:
    """Connect in a thread: a full queue of the listener would block the loop.

    Whether the socket blocks is not asked before: the worker shares its flags, and can change them.
    """
    return await asyncio.to_thread(inside.connect_ex, address)
