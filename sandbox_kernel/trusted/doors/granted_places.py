"""The places that the notify door opens from: which grant a path belongs to. No call to answer.

A directory is held by descriptor, as a bind mount would hold it; a single file by its name. What
is carved out holds for the resolved path. Paths that belong to no place are not this door's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...policy.kinds.paths import PathPattern, is_below
from .file_rights import FileRights
from .live_place import LivePlace, refused
from .mount_items import Bind, Granted, Item, Skeleton, Stage
from .private_layer import PrivateLayer
from .resolve import Place, Unresolvable, open_place, resolve


@dataclass(frozen=True)
class Found:
    """Where a path leads: a place, live or staged, and the rest below it."""

    rest: str
    place: LivePlace | PrivateLayer


class GrantedPlaces:
    """All places of one generation. `problem` is told of a place that cannot be opened."""

    def __init__(self, problem: Callable[[str, str], None]) -> None:
        self._problem = problem
        self.rights = FileRights()
        self._roots: dict[str, LivePlace] = {}
        self._layers: dict[str, PrivateLayer] = {}
        self.aliases: dict[str, str] = {}
        #: Real paths of the live places of which the worker ever got a descriptor.
        self.handed: set[str] = set()
        #: For names that are opened from the root.
        self.slash = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        #: Directories all of which may be read as it is on the host: path with a slash, descriptor,
        #: real path.
        self.plain: tuple[tuple[bytes, int, str], ...] = ()

    def set(
        self, rights: FileRights, granted: Iterable[Granted], items: Iterable[Item]
    ) -> set[str]:
        """Change to these, of which `items` is the plan. Gives the real paths of live places that
        are gone or became narrower, or of which a part is closed now, and of which somebody may
        hold something.

        A place that moved meanwhile is told to `problem` and left out.
        """
        closed = {
            pattern.fixed_prefix for pattern in rights.deny if pattern not in self.rights.deny
        }
        self.rights = rights
        items = tuple(items)
        self._set_layers({item.destination: item for item in items if isinstance(item, Stage)})
        self.aliases = {
            g.place.spelled: g.place.real
            for g in granted
            if g.place.spelled != g.place.real and rights.closed(g.place.real) is None
        }
        before, self._roots = self._roots, {}
        for item in items:  # Parents before what stands in them.
            if isinstance(item, Bind | Skeleton) and not self._given_by_another(item):
                self._add_root(item)
        gone = closed | {real for real, root in before.items() if not self._still(root)}
        for root in before.values():
            root.close()
        self._find_plain()
        return {real for real in gone if any(_meet(real, other) for other in self.handed)}

    def _find_plain(self) -> None:
        staged = [place for layer in self._layers.values() for place in layer.occupies]
        self.plain = tuple(
            (os.fsencode(f"{root.real}/"), root.descriptor, root.real)
            for root in self._roots.values()
            if root.descriptor >= 0
            and root.real != "/"
            and not any(_touches(pattern, root.real) for pattern in self.rights.deny)
            and not any(_meet(s, root.real) for s in staged)
        )

    def _set_layers(self, wanted: dict[str, Stage]) -> None:
        for destination in list(self._layers):
            stage = wanted.get(destination)
            if stage is None or not _same_place(self._layers[destination].stage, stage):
                self._layers.pop(destination).close()
        for destination, stage in wanted.items():
            if destination in self._layers:
                self._layers[destination].stage = stage
                continue
            try:
                self._layers[destination] = PrivateLayer(stage, _directory(stage))
            except Unresolvable as moved:
                self._problem(destination, str(moved))

    def _given_by_another(self, item: Bind | Skeleton) -> bool:
        """Whether a directory around it gives what it gives, or has what is protected in it."""
        writable = isinstance(item, Bind) and item.writable
        return any(
            root.descriptor >= 0
            and is_below(item.destination, root.real)
            and (root.writable or not writable)
            and not self._hidden_from(item.destination, root.real)
            for root in self._roots.values()
        )

    def _hidden_from(self, real: str, above: str) -> bool:
        """Whether a staged place lies between a directory and what is in it."""
        return any(is_below(real, d) and is_below(d, above) for d in self._layers)

    def _add_root(self, item: Bind | Skeleton) -> None:
        try:
            self._roots[item.destination] = self._root(item)
        except Unresolvable as moved:
            self._problem(item.destination, str(moved))

    def allows(self, real: str, *, change: bool) -> bool:
        """Whether what lies at a real path may be had from a live place."""
        return self.rights.closed(real) is None and any(
            (root.writable or not change)
            and (root.real == real or (root.descriptor >= 0 and is_below(real, root.real)))
            for root in self._roots.values()
        )

    def _still(self, old: LivePlace) -> bool:
        """Whether what a live place gave is given still, by itself or by a wider place."""
        if any(layer.stage.visible and is_below(old.real, d) for d, layer in self._layers.items()):
            return not old.writable
        return any(
            (root.writable or not old.writable)  # One that is held is closed for a moment only.
            and (root.real == old.real or (root.descriptor >= 0 and is_below(old.real, root.real)))
            for root in self._roots.values()
        )

    def _root(self, item: Bind | Skeleton) -> LivePlace:
        real = item.destination
        if isinstance(item, Bind) and not item.directory:
            return LivePlace(real, -1, False, False, self)
        carved = [*self.rights.deny, *self.rights.read_only]
        touched = any(_touches(pattern, real) for pattern in carved)
        if isinstance(item, Skeleton):
            return LivePlace(real, open_place(resolve(real, "/")), False, touched, self)
        place = Place(real, real, "directory", item.device, item.inode)
        return LivePlace(real, open_place(place), item.writable, touched, self, item.held)

    def renew_layers(self, pids: Iterable[int]) -> None:
        """Every staged place shows the host's present content again.

        One of which a process has something open keeps its layer: what is open stays usable.
        """
        for destination, layer in list(self._layers.items()):
            if layer.in_use(pids):
                continue
            stage = layer.stage
            layer.close()
            try:
                self._layers[destination] = PrivateLayer(stage, _directory(stage))
            except Unresolvable:
                del self._layers[destination]
        self._find_plain()

    @property
    def layers(self) -> dict[str, PrivateLayer]:
        """The staged places by real path."""
        return self._layers

    def close(self) -> None:
        """Drop everything."""
        self.plain = ()
        for root in self._roots.values():
            root.close()
        for layer in self._layers.values():
            layer.close()
        self._roots, self._layers = {}, {}
        os.close(self.slash)

    def find(self, path: str) -> Found | None:
        """The place that an absolute, normalised path belongs to by its text."""
        for layer in self._layers.values():
            rest = layer.behind_view(path)
            if rest is not None:
                return Found(rest, layer)
        head, rest = path, ""
        while True:
            found = self._at(head, rest)
            if found is not None:
                return found
            if head == "/":
                return None
            head, _, part = head.rpartition("/")
            head = head or "/"
            rest = f"{part}/{rest}" if rest else part

    def _at(self, head: str, rest: str) -> Found | None:
        real = self.aliases.get(head, head)
        layer = self._layers.get(real)
        if layer is not None:
            return Found(rest, layer)
        root = self._roots.get(real)
        if root is None or (rest and root.descriptor < 0):
            return None
        return Found(rest, root)

    def check(self, real: str, *, change: bool) -> None:
        """Raise PermissionError where a resolved path is carved out."""
        if self.rights.closed(real) is not None or (
            change and self.rights.unchangeable(real) is not None
        ):
            raise refused()

    def check_below(self, real: str) -> None:
        """Raise PermissionError where something is carved out below a resolved path.

        A directory with such in it does not move: the carving is by name.
        """
        inside = real + "/"
        for pattern in (*self.rights.deny, *self.rights.read_only):
            prefix = pattern.fixed_prefix + "/"
            reaches = pattern.is_glob and inside.startswith(prefix) and os.path.isdir(real)
            if prefix.startswith(inside) or reaches:
                raise refused()


def _directory(stage: Stage) -> int:
    place = Place(stage.destination, stage.destination, "directory", stage.device, stage.inode)
    path_only = open_place(place)
    try:
        return os.open(f"/proc/self/fd/{path_only}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(path_only)


def _same_place(a: Stage, b: Stage) -> bool:
    return (a.device, a.inode, a.visible, a.rules) == (b.device, b.inode, b.visible, b.rules)


def _touches(pattern: PathPattern, directory: str) -> bool:
    return _meet(pattern.fixed_prefix, directory)


def _meet(path: str, other: str) -> bool:
    """Whether one lies in the other."""
    return is_below(path, other) or is_below(other, path)
