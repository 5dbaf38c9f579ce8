"""The answer of `resolve`: what a notebook or a cell may do, and where each right comes from."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

from . import model
from .kinds import files, sockets
from .kinds.choices import LEVELS, DisplayEntry, ProcessEntry
from .kinds.files import FileEntry
from .kinds.names import EnvironmentEntry, ModuleEntry
from .kinds.paths import Canonical, PathPattern
from .kinds.sockets import SocketEntry
from .problems import Origin, Problem
from .units import Amount

Entry = FileEntry | SocketEntry | ModuleEntry | EnvironmentEntry | DisplayEntry | ProcessEntry

KIND_OF: Mapping[type, str] = {
    FileEntry: "files",
    SocketEntry: "sockets",
    ModuleEntry: "modules",
    EnvironmentEntry: "environment",
    DisplayEntry: "display",
    ProcessEntry: "processes",
}


_KIND = attrgetter("kind")


def _same(path: str) -> str:
    return path


@dataclass(frozen=True)
class Places:
    """Where a notebook stands. All paths are absolute.

    `folder` is the notebook's folder (the working directory where no notebook is known);
    `read_only` are paths that no right may change (the notebook itself is added to them): policy
    files and the folders in which they are looked up; `closed` are paths that no right may open:
    approval store, audit log, runtime files; `closed_ports` are local ports that no right may
    reach: the kernel's own; `once_writable` are folders that cells could write to at some time.
    `canonical` resolves symbolic links (`os.path.realpath`).
    """

    folder: str
    notebook: str | None = None
    home: str = "/nonexistent"
    read_only: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    closed_ports: frozenset[int] = frozenset()
    once_writable: tuple[str, ...] = ()
    canonical: Canonical = _same


@dataclass(frozen=True)
class Rule:
    """A line of a policy, after the system policy has bounded it.

    `bounded_by` is the line of the system policy that it met, if there is a system policy.
    """

    entry: Entry
    tier: str
    origin: Origin
    bounded_by: Origin | None = None

    @property
    def kind(self) -> str:
        return KIND_OF[type(self.entry)]

    @cached_property
    def order(self) -> tuple[str, int, str, int, str, str]:
        """A key that sorts rules the same way however the lines of the policy stood."""
        origin, tier = self.origin, model.TIERS.index(self.tier)
        return (self.kind, tier, origin.file, origin.line, origin.reason, repr(self.entry))

    @cached_property
    def given(self) -> Right:
        """What a line of the tier `given` comes to. Made once: most rights are such."""
        return Right(self.entry, self, "given")


@dataclass(frozen=True)
class Refusal:
    """A line of `[refuse]`, of the chosen policy or of the system's."""

    entry: Entry
    origin: Origin

    @property
    def kind(self) -> str:
        return KIND_OF[type(self.entry)]


@dataclass(frozen=True, order=True)
class Denial:
    """A `deny` of some line that is on: it wins over every right."""

    pattern: PathPattern
    origin: Origin


@dataclass(frozen=True, slots=True)
class _ByText:
    """Sorts entries by their text, which is made where nothing else tells them apart."""

    entry: Entry

    def __lt__(self, other: _ByText) -> bool:
        return repr(self.entry) < repr(other.entry)


@dataclass(frozen=True)
class Right:
    """Something that may be done now.

    `through` says what turned the rule on: `given`, `request` (the notebook's metadata),
    `approval`, `ticket`, `person` or `client`; `grant_id` names the grant in the last four, and
    `grant_ends` tells when that ends (seconds since the epoch).
    """

    entry: Entry
    rule: Rule
    through: str
    grant_id: str | None = None
    grant_ends: float | None = None

    @cached_property
    def order(self) -> tuple[object, ...]:
        """A key that sorts rights the same way however the lines of the policy stood."""
        return (*self.rule.order, _ByText(self.entry), self.through, self.grant_id or "")

    @property
    def ends(self) -> float | None:
        """When this right is over: with its line's or request's `expires`, or its grant."""
        own = getattr(self.entry, "expires_at", None)
        return min((end for end in (own, self.grant_ends) if end is not None), default=None)

    @cached_property
    def kind(self) -> str:
        return self.rule.kind

    @property
    def origin(self) -> Origin:
        return self.rule.origin

    @property
    def tier(self) -> str:
        return self.rule.tier


@dataclass(frozen=True)
class Unmet:
    """Something that was asked for and not granted.

    `askable` is true where a person's yes would grant it; `why` is for people.
    """

    kind: str
    written: Mapping[str, object]
    why: str
    askable: bool


@dataclass(frozen=True)
class Limit:
    """One limit as it holds: `amount` now, `most` that a request may raise it to."""

    name: str
    amount: Amount
    most: Amount
    origin: Origin

    @property
    def value(self) -> float:
        """Bytes, seconds or pieces; `math.inf` for no limit."""
        return self.amount.value


@dataclass(frozen=True)
class Settings:
    """Settings of a policy that are no rights; times in seconds.

    `issuers` are those whose tickets count.
    """

    language: model.Language
    isolation: model.Isolation
    background: model.Background
    yields_after: float
    question_timeout: float
    remember: float
    snapshots: model.SnapshotMode
    snapshot_budget: float
    preload: tuple[str, ...]
    issuers: tuple[model.Issuer, ...]


@dataclass(frozen=True)
class Rights(Settings):
    """All that a notebook or a cell may do.

    `rules` are all lines that could allow something, whatever their tier: what is not among them
    no answer of a person can grant.  `denials` are carved out of every right already and stand
    here for messages.  `carved_out` are the places that are closed to every right, and those that
    none may change, by policy or as the kernel's own.  `system_file` names the system policy, if
    there is one.  `limits` has every limit that holds; a name that is absent is unlimited.
    `in_part` are the ids of the grants of which some thing lies in no line as it was asked for.
    `next_expiry` is when the first of these rights ends (seconds since the epoch): resolve again
    then.  `rights` are sorted, by kind first.
    """

    policy: str
    policy_file: str
    system_file: str | None
    digest: str
    rights: tuple[Right, ...]
    rules: tuple[Rule, ...]
    refusals: tuple[Refusal, ...]
    denials: tuple[Denial, ...]
    limits: Mapping[str, Limit]
    session_limits: Mapping[str, Limit]
    person_limits: Mapping[str, Limit]
    places: Places
    carved_out: tuple[tuple[PathPattern, ...], tuple[PathPattern, ...]]
    now: float
    in_part: frozenset[str] = frozenset()
    next_expiry: float | None = None
    problems: tuple[Problem, ...] = ()
    unmet: tuple[Unmet, ...] = ()

    def of(self, kind: str) -> tuple[Right, ...]:
        """The rights of one kind."""
        first = bisect_left(self.rights, kind, key=_KIND)
        return self.rights[first : bisect_right(self.rights, kind, first, key=_KIND)]

    @cached_property
    def file_entries(self) -> tuple[FileEntry, ...]:
        return tuple(r.entry for r in self.of("files") if isinstance(r.entry, FileEntry))

    @property
    def socket_entries(self) -> tuple[SocketEntry, ...]:
        return tuple(r.entry for r in self.of("sockets") if isinstance(r.entry, SocketEntry))

    @property
    def modules(self) -> frozenset[str]:
        """Names of the modules that may be imported, each with all below it."""
        return frozenset(r.entry.name for r in self.rights if isinstance(r.entry, ModuleEntry))

    @property
    def environment(self) -> frozenset[str]:
        """Names of the variables that may be seen; a `*` at the end covers a prefix."""
        return frozenset(r.entry.name for r in self.rights if isinstance(r.entry, EnvironmentEntry))

    @cached_property
    def spawn(self) -> bool:
        """Whether child processes may be made."""
        entries = (right.entry for right in self.of("processes"))
        return any(isinstance(entry, ProcessEntry) and entry.spawn for entry in entries)

    @cached_property
    def display(self) -> Mapping[str, str]:
        """The level of each display setting: html, javascript, widgets."""
        levels = {what: order[0] for what, order in LEVELS.items()}
        for right in self.of("display"):
            if isinstance(right.entry, DisplayEntry):
                order = LEVELS[right.entry.what]
                level = max(levels[right.entry.what], right.entry.level, key=order.index)
                levels[right.entry.what] = level
        return levels


def written(entry: Entry, places: Places) -> dict[str, object]:
    """An entry in the vocabulary of `metadata.sandbox`."""
    if isinstance(entry, FileEntry):
        return files.written(entry, places.folder)
    if isinstance(entry, SocketEntry):
        return sockets.written(entry)
    if isinstance(entry, DisplayEntry):
        return {entry.what: entry.level}
    if isinstance(entry, ProcessEntry):
        return {"spawn": entry.spawn}
    return {"name": entry.name}
