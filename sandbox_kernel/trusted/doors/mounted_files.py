"""Files at level `full`: the items of the plan are mounts, and single files follow their names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from .file_door import FileDoor
from .mount import MountDoor, Warden
from .mount_items import Bind, Granted
from .staged_places import Committed
from .survey import HostMounts, LiveHost
from .taken import Taken


class MountedFiles(FileDoor):
    """The file door of one generation that has mounts of its own; see `FileDoor`."""

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
        super().__init__(pid, problem=problem, wait=wait, fault=fault)
        self._door = MountDoor(warden, pid, problem, wait, staging_bytes)
        self._mounts = HostMounts()

    def _host(self) -> LiveHost:
        return LiveHost(self._mounts)

    def _carry_out(self, granted: Iterable[Granted]) -> Taken:
        return self._door.bring(self._items)

    def _lost(self) -> Collection[str]:
        return self._door.lost

    def _kept_by(self, names: Collection[str]) -> Collection[int]:
        return self._door.mounts_on(names)

    def _watched(self) -> Iterable[str]:
        return (i.source for i in self._items if isinstance(i, Bind) and not i.directory)

    def _renew_stages(self) -> None:
        self._door.renew_stages()

    def end_cell(self) -> Committed:
        """See `FileDoor`. Places that were held are told."""
        for place in self._door.held():
            self._problem(place, "what is protected there is gone, or has another name: read-only")
        return self._door.commit(self._rights.unchangeable)

    def staged_bytes(self) -> int:
        """None of the host's disk: staged places are file systems in memory, of limited size."""
        return 0

    def replaced(self, pid: int) -> None:
        """See `FileDoor`."""
        self.pid = self._door.pid = pid
        self._door.drop_stages()

    def close(self) -> None:
        """See `FileDoor`."""
        super().close()
        self._mounts.close()
        self._door.close()
