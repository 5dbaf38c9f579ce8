"""Refusals in words: Python's own calls, told by the supervisor why they met a wall.

The walls answer with bare error numbers: what was not granted does not exist, or is refused. These
wrappers turn that into the exception that a person understands: they let the call fail first (so
that what is granted costs nothing), then ask the supervisor, who words the refusal, or asks the
person and says to try again. They are a courtesy and no wall; native libraries do not pass here.

Which failures are explained: those outside the worker's own places (its scratch, the installed
libraries, `/proc`, `/dev`). What a library merely probes for below the system's directories stays
the plain "no such file" that it expects; a cell that names such a path itself is told.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import functools
import io
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

#: The plain call: the wrapped one would ask the supervisor.
_change_directory = os.chdir

Tell = Callable[[str, str], dict[str, Any]]

#: Errors with which a wall may answer; any other is the call's own.
_WALLS = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENOENT, errno.EROFS, errno.ENOTDIR, errno.EXDEV}
)
_NET_WALLS = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EAFNOSUPPORT}
)
_SYSTEM = ("/etc/", "/usr/", "/lib", "/run/", "/var/", "/sys/", "/opt/", "/bin/", "/sbin/")
_OWN = ("/proc/", "/dev/", "/sandbox/")
_MOST_LOOKED_UP = 256
#: Modules of the standard library through which a cell's own call may come.
_OWN_PACKAGE = "sandbox_kernel."
_PASSES_ON = frozenset(
    {"pathlib", "pathlib._local", "glob", "genericpath", "posixpath", "shutil"}
    # IPython puts a guard of its own before `open`.
    | {"IPython.core.interactiveshell"}
)
#: The same for a child process, by the first part of the name.
_PASSES_PROCESSES_ON = frozenset({"os", "subprocess", "multiprocessing", "concurrent", "asyncio"})


class _Refusal(PermissionError):
    """A PermissionError whose text ends with the remedy; `filename` is an attribute, as always.

    Python's own would print the file's name once more, behind the lines of the remedy.
    """

    def __str__(self) -> str:
        return f"[Errno {self.errno}] {self.strerror}"


# What people see and look up is the exception that the call would raise.
_Refusal.__name__ = _Refusal.__qualname__ = "PermissionError"
_Refusal.__module__ = "builtins"


class Denials:
    """The wrappers of one worker. `tell(action, resource)` asks the supervisor."""

    def __init__(self, tell: Tell, folder: str) -> None:
        self._tell = tell
        self._folder = folder
        self._looked_up: dict[str, str] = {}
        temporary = os.environ.get("TMPDIR", "/tmp")
        self._own = tuple(
            os.path.join(place, "")
            for place in (*_OWN, os.path.dirname(temporary), sys.prefix, sys.base_prefix)
        )

    def install(self) -> None:
        """Wrap the calls. Before any cell, and before anything copies the functions."""
        opener = self._path_call(io.open, _mode_of_open)
        builtins.open = io.open = opener
        for module, name, action in (
            (os, "open", _mode_of_flags),
            (os, "listdir", "read"),
            (os, "scandir", "read"),
            (os, "stat", "read"),
            (os, "chdir", "read"),
            (os, "mkdir", "create"),
            (os, "remove", "write"),
            (os, "unlink", "write"),
            (os, "rmdir", "write"),
            (os, "truncate", "write"),
            (os, "chmod", "write"),
            (os, "utime", "write"),
        ):
            setattr(module, name, self._path_call(getattr(module, name), action))
        for name in ("rename", "replace", "link", "symlink"):
            setattr(os, name, self._second_path_call(getattr(os, name)))
        for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "execv", "execve"):
            setattr(os, name, self._process_call(getattr(os, name), name))
        self._wrap_subprocess()
        self._wrap_sockets()

    # -- files

    def _path_call(self, call: Any, action: Any) -> Any:
        """`call`, whose first argument is a path; `action` is a text or gives one."""

        @functools.wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except OSError as error:
                if error.errno not in _WALLS or not args:
                    raise
                wanted = action if isinstance(action, str) else action(args, kwargs)
                if not self._explain(error, wanted, args[0], kwargs, call.__name__):
                    raise
            _step_in_again()
            return call(*args, **kwargs)

        return wrapper

    def _second_path_call(self, call: Any) -> Any:
        """`call`, which changes what its first and its second argument name."""

        @functools.wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except OSError as error:
                if error.errno not in _WALLS or len(args) < 2:
                    raise
                first = () if call.__name__ == "symlink" else (args[0],)
                again = [self._explain(error, "write", p, kwargs, "") for p in (*first, args[1])]
                if not any(again):
                    raise
            _step_in_again()
            return call(*args, **kwargs)

        return wrapper

    def _explain(
        self, error: OSError, action: str, path: Any, kwargs: dict[str, Any], name: str
    ) -> bool:
        """Raise the worded refusal; True when the call is to be tried again; False: not ours."""
        try:
            shown = os.fsdecode(path)
        except TypeError:
            return False
        whole = _meant(shown, kwargs.get("dir_fd"))
        if whole.startswith(self._own):
            return False
        by_cell = _called_by_cell()
        if name == "stat" and not by_cell:
            return False  # A library that looks around; `exists` is false, as it should be.
        if error.errno == errno.ENOENT and whole.startswith(_SYSTEM) and not by_cell:
            return False
        plain = kwargs.get("dir_fd") is None and not shown.startswith("/proc/")
        resource = shown if plain and (os.path.isabs(shown) or self._at_home()) else whole
        answer = self._tell(action, resource)
        if answer.get("retry"):
            return True
        if answer.get("exception") == "FileNotFoundError":
            if isinstance(error, FileNotFoundError):
                return False
            # The same words at every level, however this one's walls said it.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), shown) from None
        if "text" not in answer:
            return False
        raise _Refusal(errno.EACCES, answer["text"], shown) from None

    def _at_home(self) -> bool:
        try:
            return os.getcwd() == self._folder
        except OSError:
            return False

    # -- processes

    def _process_call(self, call: Any, name: str) -> Any:
        action = "exec" if name.startswith("exec") else "spawn" if "spawn" in name else "fork"

        @functools.wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
                    raise
                # A library that would use a helper program if there were one (matplotlib asks
                # fontconfig for fonts) goes on without; nobody is asked about that.
                if not _process_wanted_by_cell():
                    raise
                self._refuse(error, action, name)
            return call(*args, **kwargs)

        return wrapper

    def _wrap_subprocess(self) -> None:
        import subprocess

        call = subprocess._fork_exec  # type: ignore[attr-defined]
        wrapped = self._process_call(call, "subprocess")
        subprocess._fork_exec = wrapped  # type: ignore[attr-defined]

    def _refuse(self, error: OSError, action: str, resource: str) -> None:
        """Raise the worded refusal; returns when the call is to be tried again."""
        answer = self._tell(action, resource)
        if answer.get("retry"):
            return
        if "text" not in answer:
            raise error
        raise _Refusal(errno.EACCES, answer["text"]) from None

    # -- sockets

    def _wrap_sockets(self) -> None:
        base = socket.socket
        denials = self

        class Socket(base):
            """`socket.socket` whose refusals are worded."""

            __slots__ = ()

            def connect(self, address: Any) -> None:
                denials._net_call(super().connect, "connect", address)

            def connect_ex(self, address: Any) -> int:
                try:
                    self.connect(address)
                except PermissionError:
                    return errno.EACCES
                except OSError as error:
                    return error.errno or errno.EIO
                return 0

            def bind(self, address: Any) -> None:
                denials._net_call(super().bind, "listen", address)

            def sendto(self, data: Any, *rest: Any) -> int:
                sent: int = denials._net_call(
                    lambda address: base.sendto(self, data, *rest[:-1], address), "udp", rest[-1]
                )
                return sent

        Socket.__name__ = Socket.__qualname__ = "socket"
        Socket.__module__ = "socket"
        socket.socket = Socket  # type: ignore[misc]
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
            setattr(socket, name, self._lookup(getattr(socket, name)))

    def _net_call(self, call: Any, action: str, address: Any) -> Any:
        try:
            return call(address)
        except OSError as error:
            if error.errno not in _NET_WALLS or not isinstance(address, tuple):
                raise
            host, port = self._looked_up.get(str(address[0]), address[0]), address[1]
            shown = f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
            self._refuse(error, action, shown)
        return call(address)

    def _remember(self, name: str, found: Any) -> Any:
        """Keep which name led to an address: whoever connects next speaks of the address only."""
        if isinstance(found, list):
            for entry in found:
                address = str(entry[4][0])
                if address != name:
                    self._looked_up[address] = name
            while len(self._looked_up) > _MOST_LOOKED_UP:
                del self._looked_up[next(iter(self._looked_up))]
        return found

    def _lookup(self, call: Any) -> Any:
        @functools.wraps(call)
        def wrapper(host: Any, *args: Any, **kwargs: Any) -> Any:
            name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
            try:
                found = call(host, *args, **kwargs)
                # No host is no name: it means every address, or the loopback.
                return self._remember(name, found) if host else found
            except OSError as error:
                if not host:
                    raise
                port = args[0] if args else kwargs.get("port")
                shown = f"{name}:{port}" if isinstance(port, int) and port else name
                self._refuse(error, "resolve", shown)
            return call(host, *args, **kwargs)

        return wrapper


def _step_in_again() -> None:
    """Go to the working directory by its name: a grant may have been mounted over it just now."""
    with contextlib.suppress(OSError):
        _change_directory(os.getcwd())


def _meant(shown: str, dir_fd: int | None) -> str:
    """The absolute path that a call means, links of `/proc` to other places followed."""
    if dir_fd is not None and not os.path.isabs(shown):
        shown = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), shown)
    parts = shown.split("/")
    if parts[1:3] in (["proc", "self"], ["proc", "thread-self"]) and parts[3:4] != []:
        if parts[3] == "root":
            shown = os.path.join("/", *parts[4:])
        elif parts[3] == "cwd":
            shown = os.path.join(os.getcwd(), *parts[4:])
    return os.path.abspath(shown)


def _called_by_cell() -> bool:
    """Whether the cell itself, or a path helper that it called, made this call."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name == "__main__":
            return True
        if name not in _PASSES_ON and not name.startswith(_OWN_PACKAGE):
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _mode_of_open(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
    if "+" in mode or "w" in mode:
        return "write"
    if "x" in mode:
        return "create"
    return "append" if "a" in mode else "read"


def _mode_of_flags(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    flags = args[1] if len(args) > 1 else kwargs.get("flags", 0)
    if not flags & (os.O_WRONLY | os.O_RDWR):
        return "read"
    if flags & os.O_CREAT and flags & os.O_EXCL:
        return "create"
    return "append" if flags & os.O_APPEND else "write"


def _process_wanted_by_cell() -> bool:
    """Whether a child process is the cell's own wish, through the standard library at most."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name == "__main__":
            return True
        first = name.partition(".")[0]
        if first not in _PASSES_PROCESSES_ON and not name.startswith(_OWN_PACKAGE):
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False
