"""Files at level `full`: rights to mounts, and single files that follow their names.

Binds the pure plan, the host and the mount door together for one generation of the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from .file_rights import FileRights
from .mount import MountDoor, Warden
from .mount_items import Bind, Item, Running
from .mount_table import TooMany, plan
from .protected_names import ProtectedNames
from .staged_places import Committed
from .survey import HostMounts, LiveHost, survey
from .taken import Taken
from .watch import NameWatch


class MountedFiles:
    """The file door of one generation, with `pid` the worker's process id on this host.

    problem: called with a right's name and the reason when what it names cannot be opened. wait:
    lets seconds pass while the worker's calls are answered. fault: called, with what went wrong,
    when it is not known what the worker can reach.
    """

    def __init__(
        self,
        warden: Warden,
        pid: int,
        *,
        staging_bytes: int,
        problem: Callable[[str, str], None],
        wait: Callable[[float], None],
        fault: Callable[[str], None],
    ) -> None:
        self._door = MountDoor(warden, pid, problem, wait, staging_bytes)
        self._rights = FileRights()
        self._problem, self._fault = problem, fault
        self._watch = NameWatch(self._moved)
        self._host = HostMounts()
        self._protected = ProtectedNames(wait)
        self._items: tuple[Item, ...] = ()

    def follow(self, rights: FileRights) -> Taken:
        """Make the worker's file tree show what `rights` say, as the host is now."""
        return self._follow(rights, self._running())

    def _follow(self, rights: FileRights, running: Running) -> Taken:
        self._rights = rights
        taken = self._bring(running)
        files = (i.source for i in self._items if isinstance(i, Bind) and not i.directory)
        self._watch.watch((*files, *self._protected.watched))
        return taken

    def _running(self) -> Running:
        return Running(self._items, self._protected.single)

    def _bring(self, running: Running, changed: Collection[str] = ()) -> Taken:
        """`changed`: names that may have led elsewhere meanwhile."""
        self._items = self._planned(running)
        taken = self._door.bring(self._items)
        return taken.with_more(
            self._protected.follow(
                self._rights,
                self._items,
                self._door.pid,
                changed={*changed, *self._door.lost},
                kept_by=self._door.mounts_on,
            )
        )

    def begin_cell(self, rights: FileRights) -> Taken:
        """As `follow`; staged places show the host's present content again."""
        taken = self._follow(rights, Running())
        self._door.renew_stages()
        return taken

    def end_cell(self) -> Committed:
        """Review and commit what the cell changed in staged places."""
        for place in self._door.held():
            self._problem(place, "what is protected there is gone, or has another name: read-only")
        return self._door.commit(self._rights.unchangeable)

    def staged_bytes(self) -> int:
        """None of the host's disk: staged places are file systems in memory, of limited size."""
        return 0

    def replaced(self, pid: int) -> None:
        """A copy with this process id goes on; what the dead worker staged is dropped."""
        self._door.pid = pid
        self._door.drop_stages()

    def close(self) -> None:
        """The worker is dead; staged changes are dropped."""
        self._watch.close()
        self._host.close()
        self._door.close()

    def _planned(self, running: Running) -> tuple[Item, ...]:
        found = survey(self._rights.entries)
        for entry, problem in found.problems:
            self._problem(entry.place.written, str(problem))
        rights = self._rights
        try:
            return plan(
                found.granted,
                LiveHost(self._host),
                deny=rights.deny,
                read_only=rights.read_only,
                running=running,
            )
        except TooMany as problem:
            self._problem("files", str(problem))
            return ()

    def _moved(self, paths: set[str]) -> None:
        """Names in watched directories lead elsewhere now.

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
