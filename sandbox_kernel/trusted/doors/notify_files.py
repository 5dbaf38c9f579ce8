"""Files at level `no-namespaces`: path calls of the worker, decided and done by the supervisor.

| the path is                        | what happens                                               |
|------------------------------------|------------------------------------------------------------|
| in the installed environment       | the call runs; Landlock decides again on what is opened     |
| in a live grant                    | opened here, beneath the grant's descriptor, and injected   |
| in a staged grant                  | opened here, from its private layer, and injected           |
| anything else                      | the launcher's minimal door: scratch, own /proc, or EACCES  |

Changes to the tree are made here, on descriptors beneath the grant. No call that could reach a
granted place is left to run with a path that can still change. What `stat` tells of live places is
left to the kernel: without namespaces, that a path exists is no secret (a stated gap).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from typing import ClassVar

from . import _sys_files, _sys_stat, worker_descriptors
from .calls import Call
from .file_times import set_times
from .granted_places import Found, GrantedPlaces, Root
from .path_calls import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_NOFOLLOW,
    CALLS,
    Kind,
    PathCall,
)
from .resolve import canonical

_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_BENEATH = _sys_files.RESOLVE_BENEATH | _sys_files.RESOLVE_NO_MAGICLINKS
_EXACTLY = _BENEATH | _sys_files.RESOLVE_NO_SYMLINKS
_MOST_HOPS = 8
_PROC = b"/proc/"
_OWN_LISTS = frozenset(
    b"/proc/%s/%s" % (own, name) for own in (b"self", b"thread-self") for name in (b"fd", b"task")
)
_OWN_DESCRIPTORS = (b"/proc/self/fd/", b"/proc/thread-self/fd/")
_O_TMPFILE = os.O_TMPFILE & ~os.O_DIRECTORY
_KEEP_FLAGS = ~(os.O_CLOEXEC | os.O_NONBLOCK)


class NotHere(Exception):
    """The path is in no granted place."""


class NotifyFiles:
    """The file door of one generation. `rest` answers what is in no granted place."""

    NAMES = frozenset(CALLS)
    #: Calls that run as they are on the installed environment: position of path and flags.
    OPENS: ClassVar[dict[str, tuple[int, int]]] = {
        name: (shape.path, shape.flags)
        for name, shape in CALLS.items()
        if shape.kind is Kind.OPEN and shape.flags >= 0
    }
    LOOKS: ClassVar[dict[str, tuple[int, int]]] = {
        name: (shape.path, shape.flags)
        for name, shape in CALLS.items()
        if shape.kind in (Kind.STATUS, Kind.ACCESS)
    }

    def __init__(self, places: GrantedPlaces, rest: Callable[[Call], None]) -> None:
        self._places = places
        self._rest = rest
        self._slash = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._do: dict[Kind, Callable[[Call, PathCall, Found], None]] = {
            Kind.OPEN: self._open,
            Kind.STATUS: self._status,
            Kind.ACCESS: self._access,
            Kind.READ_LINK: self._read_link,
            Kind.FILE_SYSTEM: self._run_in_live,
            Kind.CHANGE_DIRECTORY: self._run_in_live,
            Kind.ATTRIBUTES: self._no_attributes,
            Kind.MAKE_DIRECTORY: self._make_directory,
            Kind.REMOVE: self._remove,
            Kind.SYMLINK: self._symlink,
            Kind.TRUNCATE: self._truncate,
            Kind.MODE: self._mode,
            Kind.TIMES: self._times,
        }

    def close(self) -> None:
        """The worker is gone."""
        os.close(self._slash)

    # --- which place -------------------------------------------------------------------------

    def handle(self, call: Call) -> None:
        """Answer a path call. Raises OSError, Vanished: not answered."""
        shape = CALLS[call.name]
        pointer = call.arguments[shape.path]
        if not pointer:
            self._without_path(call, shape)
            return
        path = call.path(shape.path)
        if path.startswith(_PROC) and path[len(_PROC) :][:1].isdigit():
            path = self._as_self(call, path)
        if shape.kind is Kind.OPEN and path.rstrip(b"/") in _OWN_LISTS:
            self._own_list(call, shape, path)
            return
        if shape.kind is Kind.READ_LINK and path.startswith(_OWN_DESCRIPTORS):
            self._own_link(call, shape, path)
            return
        if not path and self._flags(call, shape) & AT_EMPTY_PATH:
            call.let_run()  # An open descriptor: it was opened through a door.
            return
        try:
            found = self._place(call, shape.directory, path, self._follows(call, shape))
            if shape.kind in (Kind.RENAME, Kind.LINK):
                self._two_paths(call, shape, found)
            else:
                self._do[shape.kind](call, shape, found)
        except NotHere:
            if shape.kind in (Kind.RENAME, Kind.LINK):
                self._check_second(call, shape)
            self._rest(call)

    def _flags(self, call: Call, shape: PathCall) -> int:
        given = call.arguments[shape.flags] & 0xFFFFFFFF if shape.flags >= 0 else 0
        return given | shape.fixed

    def _follows(self, call: Call, shape: PathCall) -> bool:
        flags = self._flags(call, shape)
        if shape.kind is Kind.OPEN:
            return not flags & os.O_NOFOLLOW and not (flags & os.O_CREAT and flags & os.O_EXCL)
        return not flags & AT_SYMLINK_NOFOLLOW

    def _spelled(self, call: Call, directory: int, path: bytes) -> str:
        """The absolute path that a call means, `.` and plain `..` taken out."""
        text = os.fsdecode(path)
        if not text.startswith("/"):
            number = AT_FDCWD if directory < 0 else call.int_argument(directory)
            link = "cwd" if number == AT_FDCWD else f"fd/{number}"
            text = f"{os.readlink(f'/proc/{call.task}/{link}')}/{text}"
        if text.startswith(("/proc/", "/dev/")):
            raise NotHere
        if "/.." in text:
            # As the kernel does: `..` of where a link leads.
            head, _, name = text.rstrip("/").rpartition("/")
            text = canonical(text) if name == ".." else f"{canonical(head)}/{name}"
        if "//" in text or "/." in text or text.endswith("/"):
            return "/" + os.path.normpath(text).lstrip("/")
        return text

    def _place(self, call: Call, directory: int, path: bytes, follows: bool) -> Found:
        """The granted place of a path, links followed to where it really is. Raises NotHere."""
        spelled = self._spelled(call, directory, path)
        found = self._places.find(spelled)
        if found is not None and found.layer is None:
            return found
        for _ in range(_MOST_HOPS):
            if found is None:
                head, name = os.path.split(spelled)
                real = canonical(spelled) if follows else os.path.join(canonical(head), name)
                if real == spelled:
                    raise NotHere
                spelled, found = real, self._places.find(real)
                if found is None:
                    raise NotHere
                continue
            if found.layer is None:
                return found
            target = self._link_in_layer(found, follows)
            if target is None:
                return found
            spelled = target
            found = self._places.find(spelled)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _link_in_layer(self, found: Found, follows: bool) -> str | None:
        """Where a link on the way through a staged place leads; None when there is none."""
        assert found.layer is not None
        parts = found.rest.split("/") if found.rest else []
        last = len(parts) if follows else len(parts) - 1
        base = found.layer.stage.destination
        for count in range(1, last + 1):
            here = "/".join(parts[:count])
            seen = found.layer.look(here)
            if seen is None or not stat.S_ISLNK(seen[1].st_mode):
                continue
            text = os.fsdecode(os.readlink(os.fsencode(here), dir_fd=seen[0]))
            above = os.path.join(base, *parts[: count - 1])
            rest = "/".join(parts[count:])
            return os.path.normpath(os.path.join(above, text, rest))
        return None

    # --- opening -----------------------------------------------------------------------------

    def _open(self, call: Call, shape: PathCall, found: Found) -> None:
        flags = self._flags(call, shape)
        mode = call.arguments[shape.rest] & 0o777
        close_on_exec = bool(flags & os.O_CLOEXEC)
        if found.layer is not None:
            descriptor = self._open_staged(found, flags, mode)
        else:
            assert found.root is not None
            descriptor = self._open_live(call, found.root, found.rest, flags, mode)
        try:
            call.give(descriptor, close_on_exec=close_on_exec)
        finally:
            os.close(descriptor)

    def _open_staged(self, found: Found, flags: int, mode: int) -> int:
        assert found.layer is not None
        real = os.path.join(found.layer.stage.destination, found.rest)
        self._places.check(real, change=bool(flags & _CHANGES))
        return found.layer.open(found.rest, flags & _KEEP_FLAGS & ~os.O_PATH, mode)

    def _open_live(self, call: Call, root: Root, rest: str, flags: int, mode: int) -> int:
        change = flags & (_CHANGES | _O_TMPFILE)
        if change and not root.writable:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        # The kernel injects no O_PATH descriptor; a readable one serves for all that it does.
        wanted = (flags & _KEEP_FLAGS & ~os.O_PATH) | os.O_NONBLOCK | os.O_NOCTTY
        if change & os.O_TRUNC and root.carved:
            wanted &= ~os.O_TRUNC  # Not before it is clear which file this is.
        create = flags & (os.O_CREAT | _O_TMPFILE)
        if root.carved and flags & os.O_CREAT:
            self._places.check(os.path.join(root.real, rest), change=True)
        descriptor = self._beneath(root, rest, wanted, mode if create else 0)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                raise PermissionError(errno.EACCES, "neither a regular file nor a directory")
            if root.carved:
                real = os.readlink(f"/proc/self/fd/{descriptor}")
                self._places.check(real, change=bool(change))
                if change & os.O_TRUNC:
                    os.ftruncate(descriptor, 0)
            if change and not flags & os.O_NONBLOCK and not flags & os.O_PATH:
                fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & os.O_APPEND)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _beneath(self, root: Root, rest: str, flags: int, mode: int = 0) -> int:
        """Open in a live place; a link that leads out of it is followed into another place."""
        for _ in range(_MOST_HOPS):
            try:
                if root.descriptor < 0:
                    encoded = os.fsencode(root.real[1:])
                    return _sys_files.openat2(self._slash, encoded, flags, resolve=_EXACTLY)
                encoded = os.fsencode(rest) or b"."
                return _sys_files.openat2(
                    root.descriptor, encoded, flags, mode=mode, resolve=_BENEATH
                )
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
            real = canonical(os.path.join(root.real, rest))
            found = self._places.find(real)
            if found is None:
                raise NotHere
            if found.root is None:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if flags & _CHANGES and not found.root.writable:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            root, rest = found.root, found.rest
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    # --- looking -----------------------------------------------------------------------------

    def _status(self, call: Call, shape: PathCall, found: Found) -> None:
        if found.layer is None:
            self._run_in_live(call, shape, found)
            return
        descriptor = self._look(found)
        try:
            if call.name == "statx":
                data = _sys_stat.statx_bytes(descriptor, call.arguments[3])
            else:
                data = _sys_stat.stat_bytes(descriptor)
        finally:
            os.close(descriptor)
        call.check()
        _sys_stat.write_memory(call.task, call.arguments[shape.rest], data)
        call.result()

    def _look(self, found: Found) -> int:
        """An O_PATH descriptor of what a staged place shows."""
        assert found.layer is not None
        self._places.check(os.path.join(found.layer.stage.destination, found.rest), change=False)
        seen = found.layer.look(found.rest)
        if seen is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        flags = os.O_PATH | os.O_NOFOLLOW
        return _sys_files.openat2(seen[0], os.fsencode(found.rest) or b".", flags, resolve=_EXACTLY)

    def _access(self, call: Call, shape: PathCall, found: Found) -> None:
        wants = call.arguments[shape.rest] & 7
        if found.layer is not None:
            descriptor = self._look(found)
            os.close(descriptor)
        else:
            assert found.root is not None
            descriptor = self._beneath(found.root, found.rest, os.O_PATH)
            try:
                if found.root.carved:
                    here = os.readlink(f"/proc/self/fd/{descriptor}")
                    self._places.check(here, change=bool(wants & os.W_OK))
                if wants & os.W_OK and not found.root.writable:
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                if not os.access(f"/proc/self/fd/{descriptor}", wants):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            finally:
                os.close(descriptor)
        call.result()

    def _read_link(self, call: Call, shape: PathCall, found: Found) -> None:
        if found.layer is None:
            self._run_in_live(call, shape, found)
            return
        descriptor = self._look(found)
        try:
            text = os.readlink(b"", dir_fd=descriptor)
        finally:
            os.close(descriptor)
        size = call.arguments[shape.rest + 1]
        call.check()
        _sys_stat.write_memory(call.task, call.arguments[shape.rest], text[:size])
        call.result(min(len(text), size))

    @staticmethod
    def _as_self(call: Call, path: bytes) -> bytes:
        """`/proc/PID/…` of the caller's own process (psutil's spelling) as `/proc/self/…`."""
        number, _, rest = path[len(_PROC) :].partition(b"/")
        own = number.isdigit() and int(number) == worker_descriptors.process_of(call.task)
        return b"/proc/self/" + rest if own else path

    def _own_list(self, call: Call, shape: PathCall, path: bytes) -> None:
        """The list of the caller's own descriptors or tasks; what is in it comes to the door."""
        if self._flags(call, shape) & _CHANGES:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        name = os.fsdecode(path.rstrip(b"/").rpartition(b"/")[2])
        process = worker_descriptors.process_of(call.task)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        descriptor = os.open(f"/proc/{process}/{name}", flags)
        try:
            call.check()
            call.give(descriptor, close_on_exec=True)
        finally:
            os.close(descriptor)

    def _own_link(self, call: Call, shape: PathCall, path: bytes) -> None:
        """What one of the caller's own descriptors is, as its own /proc would tell."""
        number = path.rpartition(b"/")[2]
        if not number.isdigit():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        text = os.readlink(b"/proc/%d/fd/%s" % (call.task, number))
        size = call.arguments[shape.rest + 1]
        call.check()
        _sys_stat.write_memory(call.task, call.arguments[shape.rest], text[:size])
        call.result(min(len(text), size))

    def _run_in_live(self, call: Call, shape: PathCall, found: Found) -> None:
        """Calls that tell of a place and open nothing."""
        if found.root is not None and found.root.carved:
            self._places.check(os.path.join(found.root.real, found.rest), change=False)
        elif found.layer is not None:
            self._look_and_close(found)
        call.let_run()

    def _look_and_close(self, found: Found) -> None:
        os.close(self._look(found))

    def _no_attributes(self, call: Call, shape: PathCall, found: Found) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def _without_path(self, call: Call, shape: PathCall) -> None:
        """A null path: `utimensat` then means the descriptor itself."""
        if shape.kind is not Kind.TIMES or shape.directory < 0:
            self._rest(call)
            return
        number = call.int_argument(shape.directory)
        writable = worker_descriptors.flags_of(call.task, number) & os.O_ACCMODE
        if not writable:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        descriptor = worker_descriptors.fetch(call.task, number)
        try:
            set_times(call, shape.rest, descriptor)
        finally:
            os.close(descriptor)
        call.result()

    # --- changing ----------------------------------------------------------------------------

    def _changed(self, found: Found) -> None:
        """Raise PermissionError where a place may not be changed at `found`."""
        if found.layer is not None:
            real = os.path.join(found.layer.stage.destination, found.rest)
        else:
            assert found.root is not None
            if not found.root.writable:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            real = os.path.join(found.root.real, found.rest)
        if not found.rest:
            raise PermissionError(errno.EACCES, "the granted place itself")
        self._places.check(real, change=True)

    def _parent(self, found: Found) -> tuple[int, bytes]:
        """A descriptor of the directory in which a change happens, and the name there."""
        assert found.root is not None
        head, _, name = found.rest.rpartition("/")
        directory = self._beneath(found.root, head, os.O_PATH | os.O_DIRECTORY)
        try:
            if found.root.carved:
                real = os.readlink(f"/proc/self/fd/{directory}")
                self._places.check(os.path.join(real, name), change=True)
        except BaseException:
            os.close(directory)
            raise
        return directory, os.fsencode(name)

    def _make_directory(self, call: Call, shape: PathCall, found: Found) -> None:
        mode = call.arguments[shape.rest] & 0o777
        if found.layer is None and not found.rest:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if found.layer is not None and found.layer.look(found.rest) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._changed(found)
        if found.layer is not None:
            found.layer.make_directory(found.rest, mode)
        else:
            directory, name = self._parent(found)
            try:
                os.mkdir(name, mode, dir_fd=directory)
            finally:
                os.close(directory)
        call.result()

    def _remove(self, call: Call, shape: PathCall, found: Found) -> None:
        is_directory = bool(self._flags(call, shape) & AT_REMOVEDIR)
        self._changed(found)
        if found.layer is not None:
            found.layer.remove(found.rest, directory=is_directory)
        else:
            directory, name = self._parent(found)
            try:
                if is_directory:
                    os.rmdir(name, dir_fd=directory)
                else:
                    os.unlink(name, dir_fd=directory)
            finally:
                os.close(directory)
        call.result()

    def _symlink(self, call: Call, shape: PathCall, found: Found) -> None:
        text = call.path(shape.rest)
        self._changed(found)
        if found.layer is not None:
            found.layer.symlink(os.fsdecode(text), found.rest)
        else:
            directory, name = self._parent(found)
            try:
                os.symlink(text, name, dir_fd=directory)
            finally:
                os.close(directory)
        call.result()

    def _check_second(self, call: Call, shape: PathCall) -> None:
        """The first path is in no granted place: the second must not be in one either."""
        directory, position = shape.second
        path = call.path(position)
        try:
            self._place(call, directory, path, False)
        except NotHere:
            return
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def _two_paths(self, call: Call, shape: PathCall, old: Found) -> None:
        directory, position = shape.second
        try:
            new = self._place(call, directory, call.path(position), False)
        except NotHere:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV)) from None
        linked = shape.kind is Kind.LINK
        self._changed(old)
        self._changed(new)
        if old.layer is not None or new.layer is not None:
            if old.layer is not new.layer or old.layer is None:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            if linked:
                old.layer.link(old.rest, new.rest)
            else:
                old.layer.rename(old.rest, new.rest)
        else:
            flags = call.arguments[shape.rest] & 0xFFFFFFFF if shape.rest >= 0 else 0
            self._move_live(old, new, linked, flags)
        call.result()

    def _move_live(self, old: Found, new: Found, linked: bool, flags: int) -> None:
        if old.root is not new.root:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        self._nothing_carved_below(old)
        self._nothing_carved_below(new)
        old_directory, old_name = self._parent(old)
        try:
            new_directory, new_name = self._parent(new)
            try:
                if linked:
                    os.link(
                        old_name,
                        new_name,
                        src_dir_fd=old_directory,
                        dst_dir_fd=new_directory,
                        follow_symlinks=False,
                    )
                else:
                    _sys_files.renameat2(old_directory, old_name, new_directory, new_name, flags)
            finally:
                os.close(new_directory)
        finally:
            os.close(old_directory)

    def _nothing_carved_below(self, found: Found) -> None:
        """A directory with something carved out below it does not move: the carving is by name."""
        assert found.root is not None
        if not found.root.carved:
            return
        real = os.path.join(found.root.real, found.rest) + "/"
        for pattern in (*self._places.rights.deny, *self._places.rights.read_only):
            if (pattern.fixed_prefix + "/").startswith(real) or (
                pattern.is_glob
                and real.startswith(pattern.fixed_prefix + "/")
                and os.path.isdir(real)
            ):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def _target(self, found: Found) -> int:
        """An O_PATH descriptor of the file to be changed."""
        self._changed(found)
        if found.layer is not None:
            return found.layer.writable(found.rest)
        assert found.root is not None
        descriptor = self._beneath(found.root, found.rest, os.O_PATH)
        try:
            self._places.check(os.readlink(f"/proc/self/fd/{descriptor}"), change=True)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _truncate(self, call: Call, shape: PathCall, found: Found) -> None:
        length = call.arguments[shape.rest]
        descriptor = self._target(found)
        try:
            os.truncate(f"/proc/self/fd/{descriptor}", length)
        finally:
            os.close(descriptor)
        call.result()

    def _mode(self, call: Call, shape: PathCall, found: Found) -> None:
        descriptor = self._target(found)
        try:
            os.chmod(f"/proc/self/fd/{descriptor}", call.arguments[shape.rest] & 0o777)
        finally:
            os.close(descriptor)
        call.result()

    def _times(self, call: Call, shape: PathCall, found: Found) -> None:
        descriptor = self._target(found)
        try:
            set_times(call, shape.rest, f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        call.result()
