"""One worker as the supervisor holds it: its launch, the trial of its walls, its end.

What happens in `sealed`, in order: init says that the worker's process runs, and what it found;
the level is chosen and the plan sent; the worker applies it and gives its listener away; it tries
what is forbidden, while witnesses outside watch; only then it is told to go.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...shared.errors import ConfinementFailed
from . import _sys_linux as linux
from . import mounts, roots
from .bpf import KILL, NOTIFY
from .broker import Door, DoorFactory, Listener
from .packets import PACKET
from .places import CPU_FILES, SCRATCH
from .plan import Facts, Level, SealPlan, choose, missing, seal_plan
from .selftest import Witnesses, judge, judge_descriptors, judge_places, judge_status
from .spec import WorkerSpec
from .warden_process import WorkerEnds

#: Ends of other processes that are kept in mind: a copy's may be told before it is adopted.
_MOST_REMEMBERED = 1000
#: Seconds from the worker's exec to its plan being applied: the imports lie between.
SEAL_SECONDS = 60.0


class Generation:
    """One worker, from its launch to its death.

    `channel` and the pipes `stdout_fd`, `stderr_fd` are usable at once. `pid`, `pidfd`, `level`,
    `facts`, `missing` and `listener_fd` are set by `sealed`. `exit_fd` becomes readable when the
    worker has died; then `exit_status` tells how.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        found: roots.Roots,
        environment: Mapping[str, str],
        door: DoorFactory,
        ends: WorkerEnds,
    ) -> None:
        """`environment` is what the policy adds to the one that every worker gets."""
        self.channel = ends.channel
        self.stdout_fd = ends.stdout_fd
        self.stderr_fd = ends.stderr_fd
        self.level = Level.LANGUAGE_ONLY
        self.facts: Facts | None = None
        self.pid = 0
        self.pidfd = -1
        self.listener_fd: int | None = None
        self.door: Door | None = None
        self.scratch = SCRATCH
        self.missing: tuple[str, ...] = ()
        #: Roots that could not be shown to the worker: gone, or closed to this user.
        self.unreadable: tuple[str, ...] = ()
        self._spec, self._roots, self._make_door = spec, found, door
        self._environment = environment
        self._seal, self._status = ends.seal, ends.status
        #: The worker's mount namespace, until the worker has been sent there.
        self._namespace = -1
        self._exit: int | None = None
        #: How processes other than the first worker ended, by their number inside.
        self._others: dict[int, int] = {}
        #: The number inside of a copy that has taken over.
        self._adopted: int | None = None
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        for end in (self._seal, self._status):
            end.setblocking(False)

    @property
    def exit_fd(self) -> int:
        """Readable when there is news of the worker's death."""
        return self._status.fileno()

    def exit_status(self) -> int | None:
        """The exit code once the worker is dead (negative: a signal's number), else None.

        A worker whose init was killed with it counts as killed by SIGKILL.
        """
        while self._exit is None:
            try:
                data = self._status.recv(PACKET)
            except BlockingIOError:
                return None
            except ConnectionResetError:
                data = b""
            if not data:
                self._exit = -signal.SIGKILL
                break
            message = json.loads(data)
            if "gone" in message:
                self._others[message["gone"]] = message["code"]
                if len(self._others) > _MOST_REMEMBERED:
                    del self._others[next(iter(self._others))]
            if self._adopted is not None:
                self._exit = self._others.get(self._adopted)
            else:
                self._exit = message.get("exited")
        return self._exit

    def send_signal(self, number: int) -> None:
        """Signal the worker by its pidfd; one that is dead already is no error."""
        if self.pidfd < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def expect_fork(self, expected: bool) -> None:
        """Let one fork of the worker through, because the supervisor ordered it, or none."""
        if self.door is not None:
            self.door.forks = 1 if expected else 0

    def allow_forks(self, may_fork: Callable[[], bool]) -> None:
        """Cells may start processes as long as `may_fork` says so, asked at each fork."""
        if self.door is not None:
            self.door.may_fork = may_fork

    def adopt(
        self,
        pid: int,
        number: int,
        pidfd: int,
        channel: socket.socket,
        stdout_fd: int,
        stderr_fd: int,
    ) -> None:
        """The worker is dead, and a copy that it left goes on in its place, with these ends.

        Namespaces, scratch, door and the init that reports its death are those of the dead one.
        `number` is the copy's process id in the worker's pid namespace, by which init knows it.
        """
        self._adopted = number
        self._exit = None
        self.channel.close()
        for fd in (self.pidfd, self.stdout_fd, self.stderr_fd):
            if fd >= 0:
                os.close(fd)
        self.pid, self.pidfd, self.channel = pid, pidfd, channel
        self.stdout_fd, self.stderr_fd = stdout_fd, stderr_fd
        if self._listener is not None:
            self._listener.worker_pid = pid

    async def sealed(self) -> None:
        """Drive the worker to the state in which it may run cells.

        Raises ConfinementFailed when it cannot be started or the walls do not hold.
        """
        try:
            async with asyncio.timeout(SEAL_SECONDS):
                await self._sealed()
        except TimeoutError:
            self.close()
            raise ConfinementFailed(
                f"the worker did not seal itself within {SEAL_SECONDS:.0f} s"
            ) from None
        except BaseException:
            self.close()
            raise
        finally:
            self._seal.close()

    async def _sealed(self) -> None:
        started, fds = await self._receive(self._status)
        if "started" not in started:
            raise ConfinementFailed(_why_not_started(started))
        self.pidfd, *namespaces = fds
        self._namespace = namespaces[0] if namespaces else -1
        self.pid = _pid_of(self.pidfd)
        self.facts = gather_facts(started["started"])
        self.scratch = started["started"]["scratch"]
        self.unreadable = tuple(started["started"]["unreadable"])
        self.level = choose(self.facts, self._spec.least_level, self._spec.forced_level)
        await self._apply_plan()
        self.missing = missing(self.facts)
        if self.level is not Level.LANGUAGE_ONLY:
            await self._try_walls()
        else:
            await self._send_seal({"try": None})
            await self._receive(self._seal)
        await self._send_seal({"go": True})

    async def _apply_plan(self) -> None:
        await self._send_seal({**self._plan().message(), "enter": self._place()})
        answer, fds = await self._receive(self._seal)
        if "refused" in answer and self.facts is not None and self.facts.listener:
            # A filter tree has room for one listener: do without.
            why = {**self.facts.why, "listener": answer["text"]}
            self.facts = replace(self.facts, listener=False, why=why)
            self.level = choose(self.facts, self._spec.least_level, self._spec.forced_level)
            await self._send_seal({**self._plan().message(), "again": True})
            answer, fds = await self._receive(self._seal)
        if "threads" in answer:
            raise ConfinementFailed(
                f"the worker has {answer['threads']} threads before it is sealed: a package that"
                " it imports starts one, and that would stay outside the walls"
            )
        if not answer.get("sealed"):
            raise ConfinementFailed(f"the worker could not be sealed: {answer.get('text')}")
        if fds:
            self.listener_fd = fds[0]
            self._attach_door()

    def _place(self) -> dict[str, Any]:
        """Where the worker goes before it applies its plan."""
        return {
            "working_directory": self._spec.working_directory,
            "environment": dict(self._environment),
            "capabilities": self.level is Level.LANGUAGE_ONLY,
        }

    def _plan(self) -> SealPlan:
        assert self.facts is not None
        return seal_plan(
            self.level,
            self.facts,
            trees=(*self._roots.trees, *self._roots.files),
            listed=self._roots.listed,
            scratch=self.scratch,
            writable_points=self._spec.writable_points,
            rlimits=self._spec.rlimits,
            spawn=self._spec.spawn,
        )

    async def _try_walls(self) -> None:
        assert self.facts is not None
        witnesses = Witnesses(self.facts.machine)
        try:
            await self._send_seal({"try": witnesses.order()})
            answer, _ = await self._receive(self._seal)
            found = witnesses.seen()
            tried = answer.get("tried", {})
            found += judge(self.level, tried, witnesses.secret, spawn=self._spec.spawn)
        finally:
            witnesses.close()
        found += judge_status(Path(f"/proc/{self.pid}/status").read_text(), self.level)
        found += judge_descriptors(_descriptors(self.pid))
        if self.level is Level.FULL:
            found += judge_places(_places(self.pid))
        if found:
            raise ConfinementFailed(
                "the worker's walls do not hold, so no cell is run: "
                + "; ".join(found)
                + ". `sandbox-kernel doctor` probes every layer."
            )

    def _attach_door(self) -> None:
        assert self.listener_fd is not None
        assert self.facts is not None
        listener = self._listener = Listener(
            self.listener_fd,
            self.pid,
            self.facts.machine,
            (*self._roots.trees, *self._roots.files),
            self.scratch,
            self._spec.working_directory,
            dict(memory_files(self.scratch)),
            self._roots.listed,
        )
        self.door = self._make_door(listener)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.listener_fd, self._serve_door)

    def _serve_door(self) -> None:
        assert self.door is not None
        if not self.door.serve():
            self._detach_door()

    def _detach_door(self) -> None:
        if self.listener_fd is not None:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(self.listener_fd)
            os.close(self.listener_fd)
            self.listener_fd = None

    async def _send_seal(self, message: dict[str, Any]) -> None:
        namespace, self._namespace = self._namespace, -1
        handles = [] if namespace < 0 else [namespace]
        try:
            socket.send_fds(self._seal, [json.dumps(message).encode()], handles)
        except (BrokenPipeError, ConnectionResetError):
            raise ConfinementFailed(await self._died(self._seal)) from None
        finally:
            for fd in handles:
                os.close(fd)

    async def _receive(self, link: socket.socket) -> tuple[dict[str, Any], list[int]]:
        await _readable(link)
        try:
            data, fds, _, _ = socket.recv_fds(link, PACKET, 4)
        except ConnectionResetError:
            data, fds = b"", []
        if not data:
            raise ConfinementFailed(await self._died(link))
        message: dict[str, Any] = json.loads(data)
        return message, fds

    async def _died(self, link: socket.socket) -> str:
        """Why a worker that closed its end before it was sealed is gone, as far as we can see."""
        if link is not self._status:
            with contextlib.suppress(ConfinementFailed):
                message, _ = await self._receive(self._status)
                if "failed" in message:
                    return _why_not_started(message)
        os.set_blocking(self.stderr_fd, False)
        try:
            text = os.read(self.stderr_fd, 4000).decode(errors="replace")
        except BlockingIOError:
            text = ""
        return "the worker ended before it was sealed" + (f":\n{text}" if text else "")

    def close(self) -> None:
        """Kill the worker and everything in its namespaces, and release every descriptor."""
        if self.pidfd >= 0:
            self.send_signal(signal.SIGKILL)
        self._detach_door()
        self._close_ends()
        self._seal.close()
        self._status.close()

    def _close_ends(self) -> None:
        self.channel.close()
        for name in ("pidfd", "stdout_fd", "stderr_fd", "_namespace"):
            fd: int = getattr(self, name)
            if fd >= 0:
                os.close(fd)
                setattr(self, name, -1)


def gather_facts(started: dict[str, Any]) -> Facts:
    """What init found out by doing it, and what the kernel says when asked.

    Only the listener is taken on trust here; installing it is the proof.
    """
    why = {"namespaces": started["why"]} if started["why"] else {}
    abi = linux.landlock_abi()
    return Facts(
        machine=os.uname().machine,
        namespaces=started["namespaces"],
        landlock_abi=abi,
        seccomp=linux.seccomp_knows(KILL),
        listener=linux.seccomp_knows(NOTIFY),
        own_proc=started["own_proc"],
        why=why,
    )


def memory_files(scratch: str = SCRATCH) -> tuple[tuple[str, str], ...]:
    """/etc files from memory for this user, and how many processors there are."""
    found = list(mounts.etc_files(os.getuid(), os.getgid(), "sandbox", scratch))
    for path in CPU_FILES:
        with contextlib.suppress(OSError):
            found.append((path, Path(path).read_text(encoding="ascii")))
    return tuple(found)


def _why_not_started(message: dict[str, Any]) -> str:
    text, stage = message.get("failed", "no reason given"), message.get("stage", "starting")
    return f"the worker could not be started ({stage}): {text}"


def _pid_of(pidfd: int) -> int:
    """The process's number in our own pid namespace (pidfd_open(2): fdinfo)."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    raise ConfinementFailed("the kernel does not tell which process a pidfd means")


def _descriptors(pid: int) -> dict[int, str]:
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def _places(pid: int) -> dict[str, int]:
    """Flags of the file systems on which a process's root and program lie (statvfs(3))."""
    return {name: os.statvfs(f"/proc/{pid}/{name}").f_flag for name in ("root", "exe")}


def _inner_pid(pid: int) -> int:
    """A process's number in its innermost pid namespace, as its init sees it (NSpid)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    return next(int(line.split()[-1]) for line in status.splitlines() if line[:6] == "NSpid:")


async def _readable(link: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def arrived() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(link.fileno(), arrived)
    try:
        await ready
    finally:
        loop.remove_reader(link.fileno())
