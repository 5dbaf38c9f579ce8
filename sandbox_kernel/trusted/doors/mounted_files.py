"""Files at level `full`: rights to mounts, and single files that follow their names.

Binds the pure plan, the host and the mount door together for one generation of the worker.
"""

from __future__ import annotations

from collections.abc import Callable

from .file_rights import FileRights
from .mount import MountDoor, Warden
from .mount_items import Bind, Item
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
        self._protected = ProtectedNames(problem, wait)

    def follow(self, rights: FileRights) -> Taken:
        """Make the worker's file tree show what `rights` say, as the host is now."""
        self._rights = rights
        items = self._items()
        taken = self._bring(items)
        self._watch.watch(i.source for i in items if isinstance(i, Bind) and not i.directory)
        return taken

    def _bring(self, items: tuple[Item, ...]) -> Taken:
        taken = self._door.bring(items)
        return taken.with_more(self._protected.follow(items, self._door.pid))

    def begin_cell(self, rights: FileRights) -> Taken:
        """As `follow`; staged places show the host's present content again."""
        taken = self.follow(rights)
        self._door.renew_stages()
        return taken

    def end_cell(self) -> Committed:
        """Review and commit what the cell changed in staged places."""
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

    def _items(self) -> tuple[Item, ...]:
        found = survey(self._rights.entries)
        for entry, problem in found.problems:
            self._problem(entry.place.written, str(problem))
        rights = self._rights
        try:
            host = LiveHost(self._host)
            return plan(found.granted, host, deny=rights.deny, read_only=rights.read_only)
        except TooMany as problem:
            self._problem("files", str(problem))
            return ()

    def _moved(self) -> None:
        """A name in a watched directory leads elsewhere now.

        In the middle of a save the name may lead nowhere: the next event comes at once.
        """
        try:
            self._bring(self._items())
        except Exception:
            self._fault("a file that was replaced could not be followed")
            raise
