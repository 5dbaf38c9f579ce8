"""Files at level `no-namespaces`: the notify door opens from the items of the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from . import holders
from .calls import Call
from .file_door import FileDoor
from .granted_places import GrantedPlaces
from .mount_items import Granted
from .notify_files import NotifyFiles
from .staged_places import Committed, commit_stage, together
from .staged_review import Spent, StageRule
from .survey import LiveHost
from .taken import Taken
from .worker_processes import processes


class NotifiedFiles(FileDoor):
    """The file door of one generation whose path calls are answered; see `FileDoor`.

    rest: answers calls about paths that are in no granted place.
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
        super().__init__(pid, problem=problem, wait=wait, fault=fault)
        self._places = GrantedPlaces(problem)
        #: Real paths of places that were taken away just now.
        self._gone: set[str] = set()
        self._spent: dict[StageRule, Spent] = {}
        self.door = NotifyFiles(self._places, rest)

    def _host(self) -> LiveHost:
        return LiveHost()

    def _carry_out(self, granted: Iterable[Granted]) -> Taken:
        self._gone |= self._places.set(self._rights, granted, self._items)
        return Taken()

    def _end_holders(self) -> Taken:
        gone, self._gone = self._gone, set()
        if not gone:
            return Taken()
        allows = self._places.allows
        held = holders.end_holders(
            self.pid, lambda pids: holders.find_below(pids, gone, allows), self._wait
        )
        return Taken.after(held)

    def _renew_stages(self) -> None:
        self._places.renew_layers(processes(self.pid))

    def end_cell(self) -> Committed:
        """See `FileDoor`."""
        deny = self._rights.unchangeable
        return together(
            commit_stage(layer.stage, layer.upper, self._spent, deny)
            for layer in self._places.layers.values()
        )

    def staged_bytes(self) -> int:
        """See `FileDoor`."""
        return sum(layer.bytes() for layer in self._places.layers.values())

    def replaced(self, pid: int) -> None:
        """See `FileDoor`."""
        self.pid = pid
        self._places.renew_layers(())

    def close(self) -> None:
        """See `FileDoor`."""
        super().close()
        self._places.close()
