"""From file rights to the places that they lead to just now, and the host as the plan sees it."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from ...policy.kinds.files import FileEntry
from ...policy.kinds.paths import PathPattern
from .holders import Mounted, mounts_at
from .mount_items import Granted, Listed
from .resolve import Place, Unresolvable, expand, resolve


@dataclass(frozen=True, slots=True)
class Surveyed:
    """Places that can be granted, and rights that lead nowhere, each with the reason."""

    granted: tuple[Granted, ...]
    problems: tuple[tuple[FileEntry, Unresolvable], ...] = ()


def survey(entries: Iterable[tuple[FileEntry, str]]) -> Surveyed:
    """Resolve each right. The text beside it names it in reports.

    A pattern gives every place that it matches now; a right whose path cannot be granted (a
    device, a loop of links) is listed as a problem and the rest goes on.
    """
    granted: list[Granted] = []
    problems: list[tuple[FileEntry, Unresolvable]] = []
    found: dict[PathPattern, tuple[Place, ...]] = {}
    for entry, name in entries:
        pattern = entry.place
        places = found.get(pattern)
        if places is None:
            path = pattern.path
            try:
                places = expand(path, "/") if pattern.is_glob else (resolve(path, "/"),)
            except Unresolvable as problem:
                problems.append((entry, problem))
                continue
            found[pattern] = places  # Several lines may allow the same.
        granted += [Granted(entry, p, name) for p in places if entry.includes(p.real)]
    return Surveyed(tuple(granted), tuple(problems))


class HostMounts:
    """The mounts of this host, read again only after one was made or taken away."""

    def __init__(self) -> None:
        self._table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        # "A change is an exceptional condition" there: proc_pid_mounts(5).
        self._changes = select.poll()
        self._changes.register(self._table, select.POLLPRI)
        self._known: tuple[Mounted, ...] | None = None

    def now(self) -> tuple[Mounted, ...]:
        """All of them, as they are now."""
        if self._changes.poll(0) or self._known is None:
            self._known = mounts_at("self", "")
        return self._known

    def close(self) -> None:
        """Not looked at any more."""
        os.close(self._table)


class LiveHost:
    """The real file system, looked at without following links. One for each plan."""

    def __init__(self, mounts: HostMounts | None = None) -> None:
        """Without `mounts` it knows of none."""
        self._mounts = mounts

    def mounts_below(self, path: str) -> tuple[int, ...]:
        """See mount_items.Host."""
        if self._mounts is None:
            return ()
        below = path.rstrip("/") + "/"
        return tuple(m.mount_id for m in self._mounts.now() if m.point.startswith(below))

    def entries(self, directory: str) -> Iterable[Listed]:
        """See mount_items.Host."""
        try:
            with os.scandir(directory) as found:
                names = sorted(entry.name for entry in found)
        except OSError:
            return ()
        return [listed for name in names if (listed := _listed(directory, name)) is not None]

    def look(self, path: str) -> Place | None:
        """See mount_items.Host."""
        try:
            found = os.lstat(path)
        except OSError:
            return None
        if stat.S_ISDIR(found.st_mode):
            return Place(path, path, "directory", found.st_dev, found.st_ino)
        if stat.S_ISREG(found.st_mode):
            return Place(path, path, "file", found.st_dev, found.st_ino, found.st_nlink)
        return None


def _listed(directory: str, name: str) -> Listed | None:
    path = os.path.join(directory, name)
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            return Listed(name, "link", found.st_dev, found.st_ino, os.readlink(path))
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return Listed(name, "directory", found.st_dev, found.st_ino)
    if stat.S_ISREG(found.st_mode):
        return Listed(name, "file", found.st_dev, found.st_ino)
    return Listed(name, "other", found.st_dev, found.st_ino)
