"""Files at level `no-namespaces`: path calls of the worker, decided and done by the supervisor.

| the path is                        | what happens                                               |
|------------------------------------|------------------------------------------------------------|
| in the installed environment       | the call runs; Landlock decides again on what is opened     |
| in a live grant                    | opened here, beneath the grant's descriptor, and injected   |
| in a staged grant                  | opened here, from its private layer, and injected           |
| the caller's own /proc             | answered here (`own_process`)                               |
| anything else                      | the launcher's minimal door: scratch, own /proc, or EACCES  |

Changes to the tree are made here, on descriptors beneath the grant. No call that could reach a
granted place is left to run with a path that can still change. What `stat` tells of live places is
left to the kernel: without namespaces, that a path exists is no secret (a stated gap).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import ClassVar

from . import _sys_files, _sys_stat, own_process
from .calls import Call
from .file_times import set_times
from .granted_places import Found, GrantedPlaces
from .live_place import CHANGES, KEEP_FLAGS, LivePlace, NotHere, only_files_and_directories, refused
from .path_calls import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_NOFOLLOW,
    CALLS,
    Kind,
    PathCall,
)
from .private_layer import PrivateLayer, no_such_file
from .resolve import BENEATH, canonical

_MOST_HOPS = 8
#: Flags with which opening is left to the way that looks at everything.
_UNUSUAL = CHANGES | os.O_PATH
_LINKS_BENEATH = _sys_files.RESOLVE_BENEATH | _sys_files.RESOLVE_NO_MAGICLINKS


class NotifyFiles:
    """The file door of one generation. `rest` answers what is in no granted place."""

    NAMES = frozenset(CALLS)
    #: Calls that may be answered at once: positions of descriptor (-1: none), path and flags.
    OPENS: ClassVar[dict[str, tuple[int, int, int]]] = {
        name: (shape.directory, shape.path, shape.flags)
        for name, shape in CALLS.items()
        if shape.kind is Kind.OPEN and shape.flags >= 0
    }
    LOOKS: ClassVar[dict[str, tuple[int, int, int]]] = {
        name: (shape.directory, shape.path, shape.flags)
        for name, shape in CALLS.items()
        if shape.kind in (Kind.STATUS, Kind.ACCESS)
    }

    def __init__(self, places: GrantedPlaces, rest: Callable[[Call], None]) -> None:
        self._places = places
        self._rest = rest
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
            Kind.RENAME: self._two_paths,
            Kind.LINK: self._two_paths,
            Kind.TRUNCATE: self._truncate,
            Kind.MODE: self._mode,
            Kind.TIMES: self._times,
        }

    # --- which place -------------------------------------------------------------------------

    def open_for_reading(self, task: int, directory: int, path: bytes, flags: int) -> int | None:
        """A descriptor of what a path leads to in a place that may be read whole, else None.

        The short way for the calls that come by the thousand. Nothing is changed by it, so that it
        need not know whether the caller still waits. Raises OSError as open(2) would.
        """
        if flags & _UNUSUAL or b"/." in path or path.startswith(b".") or b"//" in path:
            return None
        if not path.startswith(b"/"):
            if directory != AT_FDCWD:
                return None
            path = b"%s/%s" % (os.readlink(b"/proc/%d/cwd" % task), path)
        for place in self._places.plain:
            if path.startswith(place[0]):
                break
        else:
            return None
        prefix, descriptor, real = place
        below = path[len(prefix) :] or b"."
        wanted = (flags & KEEP_FLAGS) | os.O_NONBLOCK | os.O_NOCTTY
        self._places.handed.add(real)
        try:
            found = _sys_files.openat2(descriptor, below, wanted, resolve=_LINKS_BENEATH)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return None  # A link leads out of this place, perhaps into another.
            raise
        try:
            only_files_and_directories(found)
        except BaseException:
            os.close(found)
            raise
        return found

    def handle(self, call: Call) -> None:
        """Answer a path call. Raises OSError, Vanished: not answered."""
        shape = CALLS[call.name]
        if not call.arguments[shape.path]:
            if not own_process.answer_without_path(call, shape):
                self._rest(call)
            return
        path = call.path(shape.path)
        flags = self._flags(call, shape)
        if own_process.answer(call, shape, path, flags):
            return
        if not path and flags & AT_EMPTY_PATH:
            call.let_run()  # An open descriptor: it was opened through a door.
            return
        try:
            found = self._place(call, shape.directory, path, self._follows(flags, shape))
            self._do[shape.kind](call, shape, found)
        except NotHere:
            if shape.kind in (Kind.RENAME, Kind.LINK):
                self._check_second(call, shape)
            self._rest(call)

    @staticmethod
    def _flags(call: Call, shape: PathCall) -> int:
        given = call.arguments[shape.flags] & 0xFFFFFFFF if shape.flags >= 0 else 0
        return given | shape.fixed

    @staticmethod
    def _follows(flags: int, shape: PathCall) -> bool:
        if shape.kind is Kind.OPEN:
            return not flags & os.O_NOFOLLOW and not (flags & os.O_CREAT and flags & os.O_EXCL)
        return not flags & AT_SYMLINK_NOFOLLOW

    @staticmethod
    def _spelled(call: Call, directory: int, path: bytes) -> str:
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
        for _ in range(_MOST_HOPS):
            found = self._places.find(spelled)
            if found is None:
                head, name = os.path.split(spelled)
                real = canonical(spelled) if follows else os.path.join(canonical(head), name)
                found = None if real == spelled else self._places.find(real)
                if found is None:
                    raise NotHere
            if isinstance(found.place, LivePlace):
                return found
            target = _link_in_layer(found.place, found.rest, follows)
            if target is None:
                return found
            spelled = target
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    # --- opening -----------------------------------------------------------------------------

    def _open(self, call: Call, shape: PathCall, found: Found) -> None:
        flags = self._flags(call, shape)
        mode = call.arguments[shape.rest] & 0o777
        place = found.place
        if isinstance(place, PrivateLayer):
            real = os.path.join(place.real, found.rest)
            self._places.check(real, change=bool(flags & CHANGES))
            descriptor = place.open(found.rest, flags & KEEP_FLAGS & ~os.O_PATH, mode)
        else:
            descriptor = place.open(found.rest, flags, mode)
        try:
            call.give(descriptor, close_on_exec=bool(flags & os.O_CLOEXEC))
        finally:
            os.close(descriptor)

    # --- looking -----------------------------------------------------------------------------

    def _look(self, layer: PrivateLayer, rest: str) -> int:
        """An O_PATH descriptor of what a staged place shows."""
        self._places.check(os.path.join(layer.real, rest), change=False)
        seen = layer.look(rest)
        if seen is None:
            raise no_such_file()
        flags = os.O_PATH | os.O_NOFOLLOW
        return _sys_files.openat2(seen[0], os.fsencode(rest) or b".", flags, resolve=BENEATH)

    def _run_in_live(self, call: Call, shape: PathCall, found: Found) -> None:
        """Calls that tell of a place and open nothing."""
        place = found.place
        if isinstance(place, PrivateLayer):
            os.close(self._look(place, found.rest))
        elif place.carved:
            self._places.check(os.path.join(place.real, found.rest), change=False)
        call.let_run()

    def _status(self, call: Call, shape: PathCall, found: Found) -> None:
        if not isinstance(found.place, PrivateLayer):
            self._run_in_live(call, shape, found)
            return
        descriptor = self._look(found.place, found.rest)
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

    def _access(self, call: Call, shape: PathCall, found: Found) -> None:
        wants = call.arguments[shape.rest] & 7
        place = found.place
        if isinstance(place, PrivateLayer):
            os.close(self._look(place, found.rest))
        else:
            descriptor = place.reach(found.rest, change=bool(wants & os.W_OK))
            try:
                if wants & os.W_OK and not place.changes:
                    raise refused()
                if not os.access(f"/proc/self/fd/{descriptor}", wants):
                    raise refused()
            finally:
                os.close(descriptor)
        call.result()

    def _read_link(self, call: Call, shape: PathCall, found: Found) -> None:
        if not isinstance(found.place, PrivateLayer):
            self._run_in_live(call, shape, found)
            return
        descriptor = self._look(found.place, found.rest)
        try:
            text = os.readlink(b"", dir_fd=descriptor)
        finally:
            os.close(descriptor)
        own_process.give_text(call, shape, text)

    def _no_attributes(self, call: Call, shape: PathCall, found: Found) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    # --- changing ----------------------------------------------------------------------------

    def _check_change(self, found: Found) -> None:
        """Raise PermissionError where a place may not be changed at `found`."""
        if isinstance(found.place, LivePlace) and not found.place.changes:
            raise refused()
        if not found.rest:
            raise PermissionError(errno.EACCES, "the granted place itself")
        self._places.check(os.path.join(found.place.real, found.rest), change=True)

    def _make_directory(self, call: Call, shape: PathCall, found: Found) -> None:
        place = found.place
        staged = isinstance(place, PrivateLayer) and place.look(found.rest) is not None
        if staged or not found.rest:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._check_change(found)
        place.make_directory(found.rest, call.arguments[shape.rest] & 0o777)
        call.result()

    def _remove(self, call: Call, shape: PathCall, found: Found) -> None:
        self._check_change(found)
        directory = bool(self._flags(call, shape) & AT_REMOVEDIR)
        found.place.remove(found.rest, directory=directory)
        call.result()

    def _symlink(self, call: Call, shape: PathCall, found: Found) -> None:
        text = call.path(shape.rest)
        self._check_change(found)
        found.place.symlink(os.fsdecode(text), found.rest)
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
        self._check_change(old)
        self._check_change(new)
        if old.place is not new.place:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        if shape.kind is Kind.LINK:
            old.place.link(old.rest, new.rest)
        else:
            flags = call.arguments[shape.rest] & 0xFFFFFFFF if shape.rest >= 0 else 0
            old.place.rename(old.rest, new.rest, flags)
        call.result()

    def _target(self, found: Found) -> int:
        self._check_change(found)
        return found.place.writable_copy(found.rest)

    def _truncate(self, call: Call, shape: PathCall, found: Found) -> None:
        descriptor = self._target(found)
        try:
            os.truncate(f"/proc/self/fd/{descriptor}", call.arguments[shape.rest])
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


def _link_in_layer(layer: PrivateLayer, path: str, follows: bool) -> str | None:
    """Where a link on the way through a staged place leads; None when there is none."""
    parts = path.split("/") if path else []
    last = len(parts) if follows else len(parts) - 1
    for count in range(1, last + 1):
        here = "/".join(parts[:count])
        seen = layer.look(here)
        if seen is None or not stat.S_ISLNK(seen[1].st_mode):
            continue
        text = os.fsdecode(os.readlink(os.fsencode(here), dir_fd=seen[0]))
        above = os.path.join(layer.real, *parts[: count - 1])
        return os.path.normpath(os.path.join(above, text, "/".join(parts[count:])))
    return None
