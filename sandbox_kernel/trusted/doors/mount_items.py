"""What a table of mounts is made of, and what making it asks of the host. Data only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ...policy.kinds.files import FileEntry
from .resolve import Place
from .staged_review import StageRule


@dataclass(frozen=True, slots=True)
class Granted:
    """A right and one place that it leads to. `name` is what reports call it."""

    entry: FileEntry
    place: Place
    name: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a host directory."""

    name: str
    kind: str  # "file", "directory", "link" or "other"
    device: int
    inode: int
    target: str = ""


class Host(Protocol):
    """What the plan asks of the file system."""

    def entries(self, directory: str) -> Iterable[Listed]:
        """The entries of a directory, by real path; empty when it cannot be read."""

    def look(self, path: str) -> Place | None:
        """The file or directory at a real path; None for nothing or anything else."""

    def mounts_below(self, path: str) -> tuple[int, ...]:
        """The ids of the mounts that are below a directory now."""


@dataclass(frozen=True, slots=True)
class Bind:
    """A place of the host, mounted at `destination`.

    source: its real path. below: ids of the mounts below it, which come along: one that is made
    on the host later appears when this has changed, and then with the attributes of the grant.
    held: a place for writing in which nothing may be written for now.
    """

    destination: str
    source: str
    device: int
    inode: int
    directory: bool
    writable: bool = False
    below: tuple[int, ...] = ()
    held: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A read-only directory of our own, in which other items stand."""

    destination: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory inside a skeleton."""

    destination: str


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link of our own."""

    destination: str
    target: str


@dataclass(frozen=True, slots=True)
class Seed:
    """A file that is copied into a staged place of which nothing else is visible."""

    path: str
    source: str
    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A staged place.

    destination: real path of a directory on the host, and where it appears.
    device, inode: of that directory.
    visible: the worker sees what is in it (else only `seeds`).
    rules: grants, paths relative to `destination`.
    masks: relative paths that stay closed, with True for directories.
    points: relative paths that other items are mounted on, with True for directories.
    links: relative paths of symbolic links of our own, with what each says.
    """

    destination: str
    device: int
    inode: int
    visible: bool
    rules: tuple[StageRule, ...]
    masks: tuple[tuple[str, bool], ...] = ()
    seeds: tuple[Seed, ...] = ()
    points: tuple[tuple[str, bool], ...] = ()
    links: tuple[tuple[str, str], ...] = ()


Item = Bind | Skeleton | Folder | Link | Stage


@dataclass(frozen=True)
class Running:
    """What there is, in which a place for writing stays live or staged until the next cell.

    items: those in force. files: device and inode of each protected file, by path, as far as it is
    known that no cell can change it by another name.
    """

    items: tuple[Item, ...] = ()
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def protections(item: Item, items: Iterable[Item]) -> list[Bind]:
    """Of a place for writing, the mounts that keep what is protected in it."""
    if not isinstance(item, Bind) or not item.writable or not item.directory:
        return []
    inside = item.destination.rstrip("/") + "/"
    return [
        other
        for other in items
        if isinstance(other, Bind) and not other.writable and other.destination.startswith(inside)
    ]
