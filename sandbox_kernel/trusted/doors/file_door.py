"""What both file doors do: rights to a plan, and the plan followed as the host changes.

Which places a right means, what is staged and what is protected does not depend on how a door gives
access; `mounted_files` mounts the items of the plan, `notified_files` opens from them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable

from .file_rights import FileRights
from .mount_items import Granted, Host, Item, Running
from .mount_table import TooMany, plan
from .protected_names import ProtectedNames
from .staged_places import Committed
from .survey import survey
from .taken import Taken
from .watch import NameWatch


class FileDoor(ABC):
    """The file door of one generation, with `pid` the worker's process id on this host.

    problem: called with a right's name and the reason when what it names cannot be opened. wait:
    lets seconds pass while the worker's calls are answered. fault: called, with what went wrong,
    when it is not known what the worker can reach.
    """

    def __init__(
        self,
        pid: int,
        *,
        problem: Callable[[str, str], None],
        wait: Callable[[float], None],
        fault: Callable[[str], None],
    ) -> None:
        self.pid = pid
        self._problem, self._wait, self._fault = problem, wait, fault
        self._rights = FileRights()
        self._items: tuple[Item, ...] = ()
        self._protected = ProtectedNames(wait)
        self._watch = NameWatch(self._moved)

    # --- what a door does its own way --------------------------------------------------------

    @abstractmethod
    def _host(self) -> Host:
        """The host as the plan sees it."""

    @abstractmethod
    def _carry_out(self, granted: Iterable[Granted]) -> Taken:
        """Give access to the items in force and take all other access away; what that took.

        granted: what they were planned from.
        """

    def _end_holders(self) -> Taken:
        """End whoever holds what was taken away just now, where that is yet to be done."""
        return Taken()

    def _lost(self) -> Collection[str]:
        """Protected names that may have led elsewhere until the items were carried out."""
        return ()

    def _kept_by(self, names: Collection[str]) -> Collection[int] | None:
        """The ids of the mounts at protected names through which nothing is written; None where
        such names are kept in another way.
        """
        return None

    def _watched(self) -> Iterable[str]:
        """Paths of which it must be heard that they lead elsewhere, beside protected ones."""
        return ()

    @abstractmethod
    def _renew_stages(self) -> None:
        """Have staged places show the host's present content again."""

    @abstractmethod
    def end_cell(self) -> Committed:
        """Review and commit what the cell changed in staged places."""

    @abstractmethod
    def staged_bytes(self) -> int:
        """Bytes that staged places take of the host's disk until the cell ends."""

    @abstractmethod
    def replaced(self, pid: int) -> None:
        """A copy with this process id goes on; what the dead worker staged is dropped."""

    def close(self) -> None:
        """The worker is dead; staged changes are dropped."""
        self._watch.close()

    # --- following ---------------------------------------------------------------------------

    def follow(self, rights: FileRights) -> Taken:
        """Give access to what `rights` say, as the host is now."""
        return self._follow(rights, self._running())

    def begin_cell(self, rights: FileRights) -> Taken:
        """As `follow`; staged places show the host's present content again."""
        taken = self._follow(rights, Running())
        self._renew_stages()
        return taken

    def _follow(self, rights: FileRights, running: Running) -> Taken:
        self._rights = rights
        taken = self._bring(running)
        self._watch.watch((*self._watched(), *self._protected.watched))
        return taken

    def _running(self) -> Running:
        return Running(self._items, self._protected.single)

    def _bring(self, running: Running, changed: Collection[str] = ()) -> Taken:
        """`changed`: names that may have led elsewhere meanwhile."""
        granted = self._plan(running)
        taken = self._carry_out(granted).with_more(
            self._protected.follow(
                self._rights,
                self._items,
                self.pid,
                changed={*changed, *self._lost()},
                kept_by=self._kept_by,
            )
        )
        return taken.with_more(self._end_holders())

    def _plan(self, running: Running) -> tuple[Granted, ...]:
        rights = self._rights
        found = survey(rights.entries)
        for entry, problem in found.problems:
            self._problem(entry.place.written, str(problem))
        try:
            self._items = plan(
                found.granted,
                self._host(),
                deny=rights.deny,
                read_only=rights.read_only,
                running=running,
            )
        except TooMany as problem:
            self._problem("files", str(problem))
            self._items = ()
            return ()
        return found.granted

    def _moved(self, paths: set[str]) -> None:
        """Watched names lead elsewhere by now, as far as is known.

        In the middle of a save a name may lead nowhere: the next event comes at once.
        """
        try:
            taken = self._bring(self._running(), paths)
        except Exception:
            self._fault("a file that was replaced could not be followed")
            raise
        for why in taken.killed:
            self._problem(
                ", ".join(sorted(paths)), f"it was replaced; who held it was ended: {why}"
            )
