"""A granted place as it is on the host, for the notify door: all is done beneath its descriptor.

The operations are those of `PrivateLayer`, which is a place whose changes are staged. Paths are
relative to the place, without `..`; "" is the place itself. A link in it may lead into another
granted place, and then means that one, by that one's rights: whether it may be changed and what is
carved out of it (denied, or never to be changed) is asked of the place that was really reached, and
compared with the path of what was reached there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _sys_files
from .resolve import BENEATH, canonical

if TYPE_CHECKING:
    from .granted_places import GrantedPlaces

CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
#: What is not asked of the supervisor's own descriptor.
KEEP_FLAGS = ~(os.O_CLOEXEC | os.O_NONBLOCK)
_MOST_HOPS = 8
_LINKS_BENEATH = _sys_files.RESOLVE_BENEATH | _sys_files.RESOLVE_NO_MAGICLINKS
_O_TMPFILE = os.O_TMPFILE & ~os.O_DIRECTORY


class NotHere(Exception):
    """The path is in no granted place."""


def refused() -> OSError:
    """EACCES."""
    return PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@dataclass(frozen=True, eq=False)
class LivePlace:
    """A directory, by descriptor, or a single file, by name (`descriptor` is -1).

    places: all of them, for links that lead out of this one and for what is carved out. held: that
    nothing is written in it for now.
    """

    real: str
    descriptor: int
    writable: bool
    carved: bool
    places: GrantedPlaces
    held: bool = False

    @property
    def changes(self) -> bool:
        """Whether it can be changed now."""
        return self.writable and not self.held

    def close(self) -> None:
        """Let go of the directory."""
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def _reach(self, rest: str, flags: int, mode: int = 0, *, change: bool = False) -> Reached:
        """Open what lies here; a link that leads out is followed into another live place.

        `change`: only in places that may be changed. Raises NotHere where it leads out of all of
        them, OSError as open(2) would.
        """
        place = self
        for _ in range(_MOST_HOPS):
            if change and not place.changes:
                raise refused()
            if place.carved and flags & os.O_CREAT:
                self.places.check(os.path.join(place.real, rest), change=True)
            try:
                return Reached(place._open_exactly(rest, flags, mode), place)
            except OSError as error:
                real = place._led_on(error, rest, flags)
            found = self.places.find(real)
            if found is None:
                raise NotHere
            if not isinstance(found.place, LivePlace):
                raise refused()
            place, rest = found.place, found.rest
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _open_exactly(self, rest: str, flags: int, mode: int) -> int:
        if self.descriptor < 0:
            name = os.fsencode(self.real[1:])
            return _sys_files.openat2(self.places.slash, name, flags, resolve=BENEATH)
        # What is made must not be made where a link leads: only that path was looked at.
        resolve = BENEATH if self.carved and flags & os.O_CREAT else _LINKS_BENEATH
        path = os.fsencode(rest) or b"."
        return _sys_files.openat2(self.descriptor, path, flags, mode=mode, resolve=resolve)

    def _led_on(self, error: OSError, rest: str, flags: int) -> str:
        """Where a path leads that did not open because of a link in it; else raises the error."""
        by_link = error.errno == errno.ELOOP and self.carved and flags & os.O_CREAT
        if error.errno != errno.EXDEV and not by_link:
            raise error
        spelled = os.path.join(self.real, rest)
        if flags & (os.O_NOFOLLOW | os.O_EXCL):
            head, name = os.path.split(spelled)
            real = os.path.join(canonical(head), name)
        else:
            real = canonical(spelled)
        if real == spelled:
            raise error
        return real

    def open(self, rest: str, flags: int, mode: int) -> int:
        """A descriptor for the worker. Raises NotHere, OSError as open(2) would."""
        change = flags & (CHANGES | _O_TMPFILE)
        if change and not self.changes:
            raise refused()
        # The kernel injects no O_PATH descriptor; a readable one serves for all that it does.
        wanted = (flags & KEEP_FLAGS & ~os.O_PATH) | os.O_NONBLOCK | os.O_NOCTTY
        wanted &= ~os.O_TRUNC  # Not before it is clear which file this is.
        create = flags & (os.O_CREAT | _O_TMPFILE)
        reached = self._reach(rest, wanted, mode if create else 0, change=bool(change))
        self.places.handed.add(reached.place.real)
        descriptor = reached.descriptor
        try:
            only_files_and_directories(descriptor)
            reached.check(change=bool(change))
            if flags & os.O_TRUNC:
                os.ftruncate(descriptor, 0)
            if change and not flags & os.O_NONBLOCK and not flags & os.O_PATH:
                fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & os.O_APPEND)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def reach(self, rest: str, *, change: bool) -> int:
        """An O_PATH descriptor of what lies here and is not carved out."""
        reached = self._reach(rest, os.O_PATH, change=change)
        try:
            reached.check(change=change)
        except BaseException:
            os.close(reached.descriptor)
            raise
        return reached.descriptor

    # --- changing ----------------------------------------------------------------------------

    @contextmanager
    def _parent(self, rest: str) -> Iterator[tuple[int, bytes]]:
        """The directory in which a change happens, and the name there."""
        head, _, name = rest.rpartition("/")
        reached = self._reach(head, os.O_PATH | os.O_DIRECTORY, change=True)
        try:
            reached.check(change=True, name=name)
            yield reached.descriptor, os.fsencode(name)
        finally:
            os.close(reached.descriptor)

    @contextmanager
    def _moving(self, rest: str) -> Iterator[tuple[int, bytes]]:
        """As `_parent`, for what is moved away or replaced: nothing is carved out below it."""
        with self._parent(rest) as (directory, name):
            here = os.readlink(f"/proc/self/fd/{directory}")
            self.places.check_below(os.path.join(here, os.fsdecode(name)))
            yield directory, name

    def make_directory(self, rest: str, mode: int) -> None:
        """mkdir(2)."""
        with self._parent(rest) as (directory, name):
            os.mkdir(name, mode, dir_fd=directory)

    def remove(self, rest: str, *, directory: bool) -> None:
        """unlink(2) or rmdir(2)."""
        with self._parent(rest) as (parent, name):
            if directory:
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)

    def symlink(self, text: str, rest: str) -> None:
        """symlink(2)."""
        with self._parent(rest) as (directory, name):
            os.symlink(os.fsencode(text), name, dir_fd=directory)

    def link(self, old: str, new: str) -> None:
        """link(2), of a symbolic link itself."""
        with self._moving(old) as (here, name), self._moving(new) as (there, new_name):
            os.link(name, new_name, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        """renameat2(2)."""
        with self._moving(old) as (here, name), self._moving(new) as (there, new_name):
            _sys_files.renameat2(here, name, there, new_name, flags)

    def writable_copy(self, rest: str) -> int:
        """An O_PATH descriptor of what is to be changed, for chmod, utimes and truncate."""
        return self.reach(rest, change=True)


@dataclass(frozen=True, slots=True)
class Reached:
    """An open descriptor, and the live place in which it was found."""

    descriptor: int
    place: LivePlace

    def check(self, *, change: bool, name: str = "") -> None:
        """Raise PermissionError where this, or `name` in it, is carved out of its place."""
        if self.place.carved:
            here = os.readlink(f"/proc/self/fd/{self.descriptor}")
            self.place.places.check(os.path.join(here, name) if name else here, change=change)


def only_files_and_directories(descriptor: int) -> None:
    """Raise PermissionError for anything else: opening a FIFO waits, opening a device acts."""
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise PermissionError(errno.EACCES, "neither a regular file nor a directory")
