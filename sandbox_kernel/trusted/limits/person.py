"""All kernels of one person together: how many there are, and what they use.

Each supervisor holds a place in a file of its person's and writes there what its worker uses, as
the supervisor itself has measured it from outside; each reads what the others have. The file lies
in Jupyter's runtime directory, which is closed to every cell whatever is granted, so no cell can
make its own kernel look smaller or another one larger. Somebody with a shell of their own can: a
wall against them is a control group that root makes (`jupyter/hub_spawner.py`), with the numbers
of the same policy.

Kernels in containers of their own do not see each other's processes, and have a file each.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ...policy.rights import Limit
from ...shared.errors import KernelFault
from .sampling import MonitorFailed, Sample

#: Process id and start of the supervisor; threads, child processes, bytes of memory of its worker.
_PLACE = struct.Struct("=IIQIIQ")
_MOST_PLACES = 1024
#: Seconds to wait for the file, which another kernel holds for microseconds.
_WAIT = 5.0
#: Seconds for which what the others use is not read again.
_FRESH = 0.02


class TooManyKernels(KernelFault):
    """The person has as many kernels as the policy allows."""

    code = "too-many-kernels"


@dataclass(frozen=True)
class Together:
    """What the other kernels of the person use, by the names of limits; `kernels` counts them."""

    kernels: float = 0.0
    memory: float = 0.0
    threads: float = 0.0
    processes: float = 0.0


def file_name(runtime: str) -> str:
    """The file for this boot and this pid namespace: only there do process ids mean anything."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read(8)
    namespace = os.stat("/proc/self/ns/pid").st_ino
    return os.path.join(runtime, f"sandbox-kernels-{boot}-{namespace:x}")


class PersonsKernels:
    """This kernel among all of the person's."""

    def __init__(self, path: str) -> None:
        """`path` as `file_name` gives it. Raises OSError where there can be no such file."""
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            os.close(self._file)
            raise PermissionError(f"{path} is not a file of this person's")
        self._own = -1
        self._read_at = -1.0
        self._others = Together()

    @property
    def place(self) -> int:
        """Number of this kernel's place: the lowest that was free. -1 before `claim`."""
        return self._own

    def claim(self, most: Limit | None) -> None:
        """Take a place. Raises TooManyKernels, naming the rule; OSError."""
        with self._locked():
            taken = {place for place, *_ in self._living()}
            if most is not None and len(taken) >= most.value:
                raise TooManyKernels(
                    f"kernels: {len(taken)} of yours are running, {most.amount} allowed "
                    f"(policy {most.origin.place}, limits.person). Shut one of them down, then "
                    "restart this one."
                )
            free = next((n for n in range(_MOST_PLACES) if n not in taken), None)
            if free is None:
                raise TooManyKernels(f"kernels: {_MOST_PLACES} of yours are running")
            started = _started(os.getpid())
            assert started is not None
            self._own, self._start = free, started
            self._write(0, 0, 0)

    def publish(self, sample: Sample) -> None:
        """Write down what the worker uses. Raises `MonitorFailed`."""
        if self._own >= 0:
            try:
                self._write(sample.threads, sample.children, sample.memory)
            except OSError as error:
                raise MonitorFailed(
                    f"the person's other kernels cannot be told: {error}"
                ) from error

    def others(self, now: Callable[[], float] = time.monotonic) -> Together:
        """What all others use. Raises `MonitorFailed`."""
        if now() - self._read_at >= _FRESH:
            try:
                found = [use for place, *use in self._living() if place != self._own]
            except OSError as error:
                text = f"what the person's other kernels use cannot be read: {error}"
                raise MonitorFailed(text) from error
            self._others = Together(
                kernels=float(len(found)),
                threads=float(sum(use[0] for use in found)),
                processes=float(sum(use[1] for use in found)),
                memory=float(sum(use[2] for use in found)),
            )
            self._read_at = now()
        return self._others

    def close(self) -> None:
        """Give the place up; a kernel that is killed leaves one that counts for nothing."""
        if self._own >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self._file, bytes(_PLACE.size), self._own * _PLACE.size)
            self._own = -1
        os.close(self._file)

    def _write(self, threads: int, processes: int, memory: int) -> None:
        record = _PLACE.pack(os.getpid(), 0, self._start, threads, processes, memory)
        os.pwrite(self._file, record, self._own * _PLACE.size)

    def _living(self) -> Iterator[tuple[int, int, int, int]]:
        """Place, threads, processes and memory of each kernel that runs."""
        data = os.pread(self._file, _MOST_PLACES * _PLACE.size, 0)
        for place in range(len(data) // _PLACE.size):
            pid, _, start, *use = _PLACE.unpack_from(data, place * _PLACE.size)
            if pid and (place == self._own or _started(pid) == start):
                yield (place, *use)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        end = time.monotonic() + _WAIT
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.002)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def joined(runtime: str, limits: Mapping[str, Limit]) -> tuple[PersonsKernels | None, str]:
    """A place among the person's kernels; or None, and why there is none.

    Without a limit for a person there may be none. Raises KernelFault where there is one and it
    cannot be held, TooManyKernels where the place would be one too many.
    """
    try:
        kernels = PersonsKernels(file_name(runtime))
    except OSError as error:
        if limits:
            raise KernelFault(f"limits.person cannot be held: {error}") from error
        return None, f"the person's kernels are not counted: {error}"
    try:
        kernels.claim(limits.get("kernels"))
    except OSError as error:
        kernels.close()
        raise KernelFault(f"limits.person cannot be held: {error}") from error
    except BaseException:
        kernels.close()
        raise
    return kernels, ""


def _started(pid: int) -> int | None:
    """When process `pid` started, in ticks since boot (proc_pid_stat(5)); None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat_line = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat_line[stat_line.rindex(b")") + 2 :].split()[19])
