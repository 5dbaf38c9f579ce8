"""Files at level `no-namespaces`: rights to places that the notify door opens from.

The same plan decides what is staged, the same review commits it; see `mounted_files`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from . import holders
from .calls import Call
from .file_rights import FileRights
from .granted_places import GrantedPlaces
from .mount_items import Item, Running
from .mount_table import TooMany, plan
from .notify_files import NotifyFiles
from .protected_names import ProtectedNames
from .staged_places import Committed, commit_stage, together
from .staged_review import Spent, StageRule
from .survey import LiveHost, Surveyed, survey
from .taken import Taken
from .watch import NameWatch
from .worker_processes import processes


class NotifiedFiles:
    """The file door of one generation, with `pid` the worker's process id on this host.

    rest: answers calls about paths that are in no granted place. problem: called with a right's
    name and the reason when what it names cannot be opened. wait: lets seconds pass while the
    worker's calls are answered. fault: called, with what went wrong, when it is not known what the
    worker can change.
    """

    def __init__(
        self,
        pid: int,
        *,
        rest: Callable[[Call], None],
        problem: Callable[[str, str], None],
        wait: Callable[[float], None],
        fault: Callable[[str], None],
    ) -> None:
        self._pid = pid
        self._wait, self._fault = wait, fault
        self._rights = FileRights()
        self._watch = NameWatch(self._moved)
        self._protected = ProtectedNames(wait)
        self._items: tuple[Item, ...] = ()
        self._places = GrantedPlaces(problem)
        self._problem = problem
        self._spent: dict[StageRule, Spent] = {}
        self.door = NotifyFiles(self._places, rest)

    def follow(self, rights: FileRights) -> Taken:
        """Open from what `rights` say, as the host is now."""
        return self._follow(rights, self._running())

    def _follow(self, rights: FileRights, running: Running) -> Taken:
        self._rights = rights
        taken = self._open(running)
        self._watch.watch(self._protected.watched)
        return taken

    def _running(self) -> Running:
        return Running(self._items, self._protected.single)

    def _open(self, running: Running, changed: Collection[str] = ()) -> Taken:
        """`changed`: names that may have led elsewhere meanwhile."""
        rights = self._rights
        found = survey(rights.entries)
        for entry, problem in found.problems:
            self._problem(entry.place.written, str(problem))
        try:
            self._items = plan(
                found.granted,
                LiveHost(),
                deny=rights.deny,
                read_only=rights.read_only,
                running=running,
            )
        except TooMany as problem:
            self._problem("files", str(problem))
            self._items, found = (), Surveyed(())
        gone = self._places.set(rights, found.granted, self._items)
        taken = self._protected.follow(
            rights, self._items, self._pid, changed=changed, kept_by=lambda names: None
        )
        if not gone:
            return taken
        allows = self._places.allows
        held = holders.end_holders(
            self._pid, lambda pids: holders.find_below(pids, gone, allows), self._wait
        )
        return taken.with_more(Taken.after(held))

    def _moved(self, paths: set[str]) -> None:
        """Protected names lead elsewhere by now, as far as is known."""
        try:
            taken = self._open(self._running(), paths)
        except Exception:
            self._fault("a protected file that was replaced could not be followed")
            raise
        for why in taken.killed:
            self._problem(
                ", ".join(sorted(paths)), f"it was replaced; who held it was ended: {why}"
            )

    def begin_cell(self, rights: FileRights) -> Taken:
        """As `follow`; staged places show the host's present content again."""
        taken = self._follow(rights, Running())
        self._places.renew_layers(processes(self._pid))
        return taken

    def end_cell(self) -> Committed:
        """Review and commit what the cell changed in staged places."""
        deny = self._places.rights.unchangeable
        return together(
            commit_stage(layer.stage, layer.upper, self._spent, deny)
            for layer in self._places.layers.values()
        )

    def staged_bytes(self) -> int:
        """Bytes that staged places take of the host's disk until the cell ends."""
        return sum(layer.bytes() for layer in self._places.layers.values())

    def replaced(self, pid: int) -> None:
        """A copy with this process id goes on; what the dead worker staged is dropped."""
        self._pid = pid
        self._places.renew_layers(())

    def close(self) -> None:
        """The worker is dead; staged changes are dropped."""
        self._watch.close()
        self._places.close()
