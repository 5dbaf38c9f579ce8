"""Which mounts a set of file rights means: the plan of the mount door. Pure but for `Host`.

The worker sees each granted place at its own absolute path. The plan is a table of items, each
with its destination; the door compares the wanted table with what is there and changes the
difference. What becomes of a right:

| right                                            | items                                        |
|--------------------------------------------------|----------------------------------------------|
| read, directory                                  | read-only bind                               |
| read, directory with a deny inside               | a read-only skeleton that binds the rest     |
| read, file                                       | read-only bind, mounted anew when replaced   |
| write, directory, nothing carved out             | live read-write bind                         |
| write, directory, protected files directly in it | the same, and a read-only bind on each       |
| create, append; any meter; any other carving;    | an overlay whose upper side is reviewed      |
|   single writable files; what does not exist yet |   and committed when the cell ends           |

A place that is spelled through symbolic links appears at its real path, and the link beside it.

What a cell has staged must not be lost while it runs, nor what it has open. So until the next cell
begins, a live place stays so and a staged one staged, whatever the host does with the notebook;
where a protected file is gone, or could be changed by another name, the place is held: nothing is
written in it until that is over.
"""

from __future__ import annotations

import os.path
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from ...policy.kinds.paths import PathPattern, is_below, ordered
from .mount_items import (
    Bind,
    Folder,
    Granted,
    Host,
    Item,
    Link,
    Running,
    Seed,
    Skeleton,
    Stage,
)
from .resolve import Place, PlaceKind
from .staged_review import Mode, StageRule

MOST_SKELETON_ITEMS = 20_000


class TooMany(Exception):
    """A deny makes a skeleton with more entries than can be mounted one by one."""


def plan(
    granted: Iterable[Granted],
    host: Host,
    *,
    deny: Iterable[PathPattern] = (),
    read_only: Iterable[PathPattern] = (),
    running: Running | None = None,
) -> tuple[Item, ...]:
    """The table for these rights, parents before what stands in them.

    `deny` and `read_only` are those of all lines: they hold whichever line they stand in.
    Raises TooMany.
    """
    return _Plan(tuple(granted), host, tuple(deny), tuple(read_only), running or Running()).items()


class _Plan:
    def __init__(
        self,
        granted: tuple[Granted, ...],
        host: Host,
        deny: tuple[PathPattern, ...],
        read_only: tuple[PathPattern, ...],
        running: Running,
    ) -> None:
        self.host = host
        self.known = running.files
        self.was_live = {i.destination for i in running.items if isinstance(i, Bind) and i.writable}
        self.were_staged = tuple(i for i in running.items if isinstance(i, Stage))
        self.deny = _joined(deny, (g.entry.deny for g in granted))
        self.read_only = _joined(read_only, (g.entry.read_only for g in granted))
        self.granted = tuple(g for g in granted if self.closed(g.place.real) is None)
        self.live: list[Granted] = []
        self.read: list[Granted] = []
        self.staged: list[Granted] = []
        for g in self.granted:
            self._sort(g)

    def closed(self, real: str) -> PathPattern | None:
        """The deny that closes a path, whichever line it stands in: a deny wins over all."""
        return next((d for d in self.deny if d.covers_any_spelling(real)), None)

    def protects(self, real: str) -> PathPattern | None:
        return next((r for r in self.read_only if r.covers_any_spelling(real)), None)

    def _sort(self, g: Granted) -> None:
        mode = g.entry.mode
        if mode == "read" or self.protects(g.place.real) is not None:
            if g.place.kind != "missing":
                self.read.append(g)
            return
        metered = g.entry.max_bytes is not None or g.entry.max_count is not None
        plain = mode == "write" and not metered and g.place.kind == "directory"
        if plain and not self._carved(g.place.real) and self._may_be_live(g.place.real):
            self.live.append(g)
        else:
            self.staged.append(g)

    def _may_be_live(self, directory: str) -> bool:
        if directory in self.was_live:
            return True
        if any(_wrote(stage, directory) for stage in self.were_staged):
            return False
        return self._guards(directory)[1]

    def _carved(self, directory: str) -> bool:
        return any(_touches(d, directory) for d in self.deny)

    def _guards(self, directory: str) -> tuple[tuple[Place, ...], bool]:
        """The protected files directly in a directory, and whether mounts on them keep all that is
        protected in it.

        A mount point cannot be renamed, but a directory above it can: then the protected name
        could be made anew. One that does not exist yet could be made. A file with another name
        could be changed by that.
        """
        found: list[Place] = []
        all_kept = True
        for pattern in self.read_only:
            if not _touches(pattern, directory):
                continue
            if pattern.is_glob or os.path.dirname(pattern.real) != directory:
                all_kept = False
                continue
            place = self.host.look(pattern.real)
            if place is None or place.kind != "file":
                all_kept = False
                continue
            known = self.known.get(pattern.real) == (place.device, place.inode)
            all_kept = all_kept and (place.links == 1 or known)
            found.append(place)
        return tuple(found), all_kept

    # --- items -----------------------------------------------------------------------------

    def items(self) -> tuple[Item, ...]:
        stages = self._stages()
        made: list[Item] = [*stages]
        for number, g in enumerate(self.live):
            # The same place twice: the first stands for both.
            others = (h for i, h in enumerate(self.live) if i < number or not _same(h, g))
            if not any(h is not g and _covers(h, g.place.real) for h in others):
                guards, all_kept = self._guards(g.place.real)
                made.append(replace(self._bind(g.place, writable=True), held=not all_kept))
                made += map(self._bind, guards)
        for g in self.read:
            if not self._seen_otherwise(g, stages):
                made += self._read_items(g.place, {stage.destination for stage in stages})
        made += self._links()
        unique = {item.destination: item for item in reversed(made)}
        ordered = sorted(unique.values(), key=lambda item: item.destination.split("/"))
        return tuple(self._with_points(ordered))

    def _seen_otherwise(self, g: Granted, stages: list[Stage]) -> bool:
        real = g.place.real
        if any(stage.visible and is_below(real, stage.destination) for stage in stages):
            return self.protects(real) is None or g.place.kind == "directory"
        if any(_covers(h, real) for h in self.live):
            return True
        # The same place twice: the first stands for both.
        earlier = self.read[: next(i for i, h in enumerate(self.read) if h is g)]
        return any(h.place.real == real for h in earlier) or any(
            h.place.real != real and _covers(h, real) for h in self.read
        )

    def _read_items(self, place: Place, staged: Collection[str]) -> Iterator[Item]:
        if place.kind == "directory" and self._carved(place.real):
            yield from self._skeleton(place.real, staged)
        else:
            yield self._bind(place)

    def _skeleton(self, top: str, staged: Collection[str]) -> Iterator[Item]:
        """`staged` places in it show what is in them."""
        yield Skeleton(top)
        todo = [top]
        count = 0
        while todo:
            directory = todo.pop()
            for entry in self.host.entries(directory):
                path = os.path.join(directory, entry.name)
                if path in staged or self.closed(path) is not None:
                    continue
                count += 1
                if count > MOST_SKELETON_ITEMS:
                    raise TooMany(
                        f"{top}: the deny lines leave more than {MOST_SKELETON_ITEMS} entries to"
                        " mount one by one; move what is denied into a folder of its own"
                    )
                if entry.kind == "link":
                    yield Link(path, entry.target)
                elif entry.kind == "directory" and self._carved(path):
                    yield Folder(path)
                    todo.append(path)
                elif entry.kind == "file" or entry.kind == "directory":
                    kind: PlaceKind = "file" if entry.kind == "file" else "directory"
                    yield self._bind(Place(path, path, kind, entry.device, entry.inode))

    def _bind(self, place: Place, *, writable: bool = False) -> Bind:
        directory = place.kind == "directory"
        below = self.host.mounts_below(place.real) if directory else ()
        real = place.real
        return Bind(real, real, place.device, place.inode, directory, writable, below)

    def _links(self) -> Iterator[Link]:
        for g in self.granted:
            spelled, real = g.place.spelled, g.place.real
            if spelled == real:
                continue
            # The first component that differs is the link; below it both paths run alike.
            done = ""
            for part in spelled.strip("/").split("/"):
                done = f"{done}/{part}"
                target = os.path.realpath(done)
                if target != done:
                    if not any(_covers(h, os.path.dirname(done)) for h in self.granted):
                        yield Link(done, target)
                    break

    # --- staged places ---------------------------------------------------------------------

    def _stages(self) -> list[Stage]:
        groups: dict[str, list[Granted]] = {}
        for g in self.staged:
            if not any(_covers(h, g.place.real) for h in self.live):
                groups.setdefault(self._stage_place(g.place), []).append(g)
        for inner in sorted(groups, key=len, reverse=True):
            outer = next(
                (p for p in groups if p != inner and is_below(inner, p) and self._visible(p)), None
            )
            if outer is not None:
                groups[outer] += groups.pop(inner)
        return [stage for place, gs in groups.items() if (stage := self._stage(place, gs))]

    def _stage_place(self, place: Place) -> str:
        if place.kind == "directory":
            return place.real
        directory = os.path.dirname(place.real)
        while directory != "/" and self.host.look(directory) is None:
            directory = os.path.dirname(directory)
        return directory

    def _visible(self, directory: str) -> bool:
        return any(_covers(g, directory) for g in self.granted)

    def _stage(self, directory: str, gs: list[Granted]) -> Stage | None:
        place = self.host.look(directory)
        if place is None or place.kind != "directory":
            return None
        visible = self._visible(directory)
        rules = tuple(
            StageRule(
                _relative(g.place.real, directory),
                g.place.kind != "file",
                Mode(g.entry.mode),
                g.entry.max_bytes,
                g.entry.max_count,
                g.name,
            )
            for g in sorted(gs, key=lambda g: g.place.real)
        )
        seeds = {
            _relative(g.place.real, directory): g.place
            for g in gs
            if not visible and g.place.kind == "file"
        }
        masks = _outermost(self._masks(directory)) if visible else ()
        copied = tuple(Seed(path, p.real, p.device, p.inode) for path, p in seeds.items())
        return Stage(directory, place.device, place.inode, visible, rules, masks, copied)

    def _masks(self, directory: str) -> Iterator[tuple[str, bool]]:
        """What is closed inside a visible staged place: every name that a deny says, and what its
        patterns match now."""
        todo: list[str] = []
        for pattern in self.deny:
            if not _touches(pattern, directory):
                continue
            if pattern.is_glob:
                todo = [directory]
                continue
            for path in {pattern.real, pattern.path}:
                if path != directory and is_below(path, directory):
                    parent = self.host.look(os.path.dirname(path))
                    found = self.host.look(path)
                    if parent is not None and parent.kind == "directory":
                        kind = None if found is None else found.kind
                        yield _relative(path, directory), kind == "directory"
        count = 0
        while todo:
            here = todo.pop()
            for entry in self.host.entries(here):
                path = os.path.join(here, entry.name)
                count += 1
                if count > MOST_SKELETON_ITEMS:
                    raise TooMany(
                        f"{directory}: a deny pattern has more than {MOST_SKELETON_ITEMS} entries"
                        " to look at"
                    )
                if self.closed(path) is not None:
                    yield _relative(path, directory), entry.kind == "directory"
                elif entry.kind == "directory":
                    todo.append(path)

    @staticmethod
    def _with_points(items: list[Item]) -> Iterator[Item]:
        """Give each staged place without a visible lower side what stands in it: mount points for
        other items, and the links themselves.
        """
        links = {i: holder for i in items if isinstance(i, Link) and (holder := _holder(i, items))}
        for item in items:
            if isinstance(item, Stage) and not item.visible:
                yield replace(
                    item,
                    points=tuple(sorted(_points(item, items))),
                    links=tuple(
                        (_relative(link.destination, item.destination), link.target)
                        for link, holder in links.items()
                        if holder is item
                    ),
                )
            elif item not in links:
                yield item


def _wrote(stage: Stage, directory: str) -> bool:
    """Whether a staged place stood for the right to write to this directory."""
    if not is_below(directory, stage.destination):
        return False
    path = _relative(directory, stage.destination)
    return any(rule.path == path and rule.mode is Mode.WRITE for rule in stage.rules)


def _points(stage: Stage, items: list[Item]) -> Iterator[tuple[str, bool]]:
    for other in items:
        inside = other is not stage and is_below(other.destination, stage.destination)
        if inside and not isinstance(other, Link):
            yield _relative(other.destination, stage.destination), _is_directory(other)


def _holder(link: Link, items: list[Item]) -> Stage | None:
    """The staged place without a visible lower side that a link stands in, if it is in one."""
    around = [
        item
        for item in items
        if item is not link
        and not isinstance(item, (Link, Folder))
        and is_below(link.destination, item.destination)
    ]
    nearest = max(around, key=lambda item: len(item.destination), default=None)
    return nearest if isinstance(nearest, Stage) and not nearest.visible else None


def _joined(
    patterns: tuple[PathPattern, ...], others: Iterable[tuple[PathPattern, ...]]
) -> tuple[PathPattern, ...]:
    more = [pattern for each in others for pattern in each if pattern not in patterns]
    return ordered((*patterns, *more)) if more else patterns


def _is_directory(item: Item) -> bool:
    return item.directory if isinstance(item, Bind) else True


def _same(a: Granted, b: Granted) -> bool:
    return a.place.real == b.place.real


def _covers(g: Granted, real: str) -> bool:
    """Whether a grant of a directory shows `real`."""
    return g.place.kind == "directory" and is_below(real, g.place.real)


def _touches(pattern: PathPattern, directory: str) -> bool:
    """Whether a pattern may cover something in or below a directory."""
    for path in (pattern.fixed_prefix, pattern.path if not pattern.is_glob else ""):
        if path and is_below(path, directory):
            return True
    return pattern.is_glob and is_below(directory, pattern.fixed_prefix)


def _outermost(masks: Iterable[tuple[str, bool]]) -> tuple[tuple[str, bool], ...]:
    """Each name once, and none that lies in a closed folder."""
    kept: dict[str, bool] = {}
    for path, directory in sorted(masks):
        if not any(is_below(path, other) for other in kept):
            kept[path] = directory
    return tuple(kept.items())


def _relative(path: str, directory: str) -> str:
    return "" if path == directory else path[len(directory.rstrip("/")) + 1 :]


def writable_points(places: Iterable[Place], host: Host) -> tuple[str, ...]:
    """Directories at which these places may ever be mounted writable, for the seal's Landlock.

    A file, or what does not exist yet, is staged in the nearest directory above it that exists.
    """
    found: set[str] = set()
    for place in places:
        found.add(place.real)
        if place.kind != "directory":
            directory = os.path.dirname(place.real)
            while directory != "/" and host.look(directory) is None:
                directory = os.path.dirname(directory)
            found.add(directory)
    return tuple(sorted(found))
