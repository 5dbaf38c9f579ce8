"""One facade for the supervisor: rights in, access out. See the package's docstring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...policy.rights import Rights
from ..confine.plan import Level
from .file_rights import FileRights, file_rights
from .mount import Committed, Taken, Warden
from .mounted_files import MountedFiles
from .staged_review import Refusal

STAGING_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Problem:
    """A right that could not be opened, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class CommitReport:
    """What the end of a cell wrote to the host.

    written: absolute paths that were made, changed or removed. refused: what did not reach the
    host, and why. bytes, files: for the limits `written` and `created_files`.
    """

    written: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    bytes: int = 0
    files: int = 0


class Generation(Protocol):
    """The launcher's generation, as far as the doors need it."""

    level: Level
    pid: int
    pidfd: int


class FileDoor(Protocol):
    """What both file doors do."""

    def follow(self, rights: FileRights) -> Taken: ...
    def begin_cell(self, rights: FileRights) -> Taken: ...
    def end_cell(self) -> Committed: ...
    def close(self) -> None: ...


class Doors:
    """The doors of one kernel.

    warden: the running warden. staging_bytes: room for staged changes of a grant that has no
    meter of its own. problem: called for a right that could not be opened.
    """

    def __init__(
        self,
        warden: Warden,
        *,
        staging_bytes: int = STAGING_BYTES,
        problem: Callable[[Problem], None] = lambda problem: None,
    ) -> None:
        self._warden = warden
        self._staging_bytes = staging_bytes
        self._problem = problem
        self._files: FileDoor | None = None

    def open_for(self, generation: Generation, rights: Rights) -> None:
        """Called once for a generation that has sealed itself, before its first cell."""
        self.worker_died()
        if generation.level is Level.FULL:
            self._files = MountedFiles(
                self._warden,
                generation.pid,
                staging_bytes=self._staging_bytes,
                problem=self._tell,
            )
        self.follow(rights)

    def follow(self, rights: Rights) -> Taken:
        """Rights have changed: a grant, a revocation, a narrowing. What it took to take away."""
        if self._files is None:
            return Taken()
        return self._files.follow(file_rights(rights))

    def begin_cell(self, rights: Rights) -> Taken:
        """A cell is about to run with these rights."""
        if self._files is None:
            return Taken()
        return self._files.begin_cell(file_rights(rights))

    def end_cell(self) -> CommitReport:
        """The cell has ended by itself: commit what it staged."""
        if self._files is None:
            return CommitReport()
        done = self._files.end_cell()
        return CommitReport(
            tuple(change.path for change in done.changes),
            done.refused,
            done.bytes,
            done.files,
        )

    def worker_died(self) -> None:
        """The worker is gone: what it staged is dropped, connections are closed."""
        if self._files is not None:
            self._files.close()
            self._files = None

    def close(self) -> None:
        """The kernel ends."""
        self.worker_died()

    def _tell(self, what: str, why: str) -> None:
        self._problem(Problem(what, why))
