"""Start workers behind walls: the supervisor's side of the warden.

    warden = Warden.start(spec)        # before anything secret is read
    generation = warden.launch()       # at once; the worker's Python is starting meanwhile
    await generation.sealed()          # plan sent, walls tried from inside and outside

Each launch has a socketpair, pipes and a scratch of its own. A worker that is not sealed gets no
cell: `sealed` raises ConfinementFailed with what is missing and how to get it, and kills it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...shared.errors import ConfinementFailed
from . import _sys_linux as linux
from . import environment, mounts, roots
from .bpf import NOTIFY
from .broker import Broker, Door, DoorFactory, Listener
from .places import SCRATCH
from .plan import Facts, Level, SealPlan, choose, seal_plan
from .selftest import Witnesses, judge, judge_descriptors, judge_status
from .spec import WorkerSpec

PACKAGE_ROOT = str(Path(__file__).resolve().parents[3])
TRUSTED = str(Path(__file__).resolve().parents[1])
_WARDEN = (
    "import sys; sys.path.append({root!r});"
    " from sandbox_kernel.trusted.confine.warden import main; main()"
)
_PACKET = 1 << 20
_CONTROL_FD = 3
#: Seconds for the warden's answer to a mount command; it does a few system calls.
MOUNT_ANSWER_SECONDS = 5.0
#: Seconds from the worker's exec to its plan being applied: the imports lie between.
SEAL_SECONDS = 60.0


class MountFailed(OSError):
    """The warden could not carry out a mount command. `errno` is EBUSY for one in use."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(code, text)


class Warden:
    """The running warden process."""

    def __init__(self, spec: WorkerSpec, control: socket.socket, pid: int) -> None:
        self.spec = spec
        self.pid = pid
        self._control = control
        self._counter = 0
        self._roots = _roots(spec)
        self.warnings = self._roots.warnings
        self._send(_plan_message(spec, self._roots))

    @classmethod
    def start(cls, spec: WorkerSpec) -> Warden:
        """Start the warden; returns before it is ready. Raises OSError when it cannot be run."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * _PACKET)
        child_end = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 16)
        try:
            code = _WARDEN.format(root=PACKAGE_ROOT)
            pid = os.posix_spawn(
                spec.python,
                [spec.python, "-I", "-S", "-c", code],
                _warden_environment(),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, child_end, _CONTROL_FD),
                ],
                setsigmask=(),
                setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE),
                setpgroup=0,
            )
        finally:
            os.close(child_end)
            theirs.close()
        return cls(spec, ours, pid)

    def launch(self, door: DoorFactory = Broker) -> Generation:
        """Order a fresh worker; what is left of the last one is killed first."""
        channel, worker_channel = socket.socketpair()
        seal, worker_seal = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        status, init_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        seal.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * _PACKET)
        out, worker_out = os.pipe()
        err, worker_err = os.pipe()
        handed = [
            worker_channel.fileno(),
            worker_seal.fileno(),
            worker_out,
            worker_err,
            init_status.fileno(),
        ]
        try:
            socket.send_fds(self._control, [b'{"do": "launch"}'], handed)
        finally:
            for end in (worker_channel, worker_seal, init_status):
                end.close()
            os.close(worker_out)
            os.close(worker_err)
        return Generation(self.spec, self._roots, door, channel, seal, status, out, err)

    def grant(
        self, source: str, target: str, *, readonly: bool, beneath: bool = False
    ) -> dict[str, Any]:
        """Mount the host's `source` (a real path) at `target` in the live worker.

        Returns the mount: target, source, readonly, mount_id (as in /proc/PID/fdinfo). Raises
        MountFailed.
        """
        witness = os.open(source, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            order = {"source": source, "target": target, "readonly": readonly, "beneath": beneath}
            mount: dict[str, Any] = self._ask({"do": "grant", **order}, [witness])["mount"]
        finally:
            os.close(witness)
        return mount

    def revoke(self, target: str, *, detach: bool = False) -> dict[str, Any]:
        """Unmount a granted target. Raises MountFailed, with EBUSY while something holds it."""
        mount: dict[str, Any] = self._ask({"do": "revoke", "target": target, "detach": detach})[
            "mount"
        ]
        return mount

    def granted(self) -> list[dict[str, Any]]:
        """The mounts of the present generation."""
        found: list[dict[str, Any]] = self._ask({"do": "mounts"})["mounts"]
        return found

    def door(
        self, message: Mapping[str, object], fds: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """Have an operation of `door_mounts` carried out; its answer and descriptors.

        Raises MountFailed, which is an OSError with the number that the warden met.
        """
        given: list[int] = []
        answer = self._ask({**message, "do": "door"}, list(fds), given)
        return answer, given

    def close(self) -> None:
        """End the warden and with it every worker; their scratch is removed. Idempotent."""
        if self._control.fileno() < 0:
            return
        self._control.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _send(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        socket.send_fds(self._control, [json.dumps(message).encode()], fds or [])

    def _ask(
        self,
        message: dict[str, Any],
        fds: list[int] | None = None,
        given: list[int] | None = None,
    ) -> dict[str, Any]:
        self._counter += 1
        self._send({**message, "re": self._counter}, fds)
        readable, _, _ = select.select([self._control], [], [], MOUNT_ANSWER_SECONDS)
        if not readable:
            raise MountFailed("the warden does not answer", 110)
        data, got, _, _ = socket.recv_fds(self._control, _PACKET, 8)
        (given if given is not None else []).extend(got)
        if not data:
            raise MountFailed("the warden is gone", 32)
        answer: dict[str, Any] = json.loads(data)
        if answer.get("re") != self._counter:
            raise MountFailed("the warden answered something else", 71)
        if "error" in answer:
            raise MountFailed(answer["error"], answer["errno"])
        return answer


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
        door: DoorFactory,
        channel: socket.socket,
        seal: socket.socket,
        status: socket.socket,
        stdout_fd: int,
        stderr_fd: int,
    ) -> None:
        self.channel = channel
        self.stdout_fd = stdout_fd
        self.stderr_fd = stderr_fd
        self.level = Level.LANGUAGE_ONLY
        self.facts: Facts | None = None
        self.pid = 0
        self.pidfd = -1
        self.listener_fd: int | None = None
        self.door: Door | None = None
        self.scratch = SCRATCH
        self._spec, self._roots, self._make_door = spec, found, door
        self._seal, self._status = seal, status
        self._exit: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        for end in (seal, status):
            end.setblocking(False)

    @property
    def exit_fd(self) -> int:
        """Readable when there is news of the worker's death."""
        return self._status.fileno()

    def exit_status(self) -> int | None:
        """The wait status once the worker is dead (os.waitstatus_to_exitcode), else None.

        A worker whose init was killed with it counts as killed by SIGKILL.
        """
        while self._exit is None:
            try:
                data = self._status.recv(_PACKET)
            except BlockingIOError:
                return None
            except ConnectionResetError:
                data = b""
            if not data:
                self._exit = signal.SIGKILL
                break
            message = json.loads(data)
            if "exited" in message:
                self._exit = message["exited"]
        return self._exit

    def send_signal(self, number: int) -> None:
        """Signal the worker by its pidfd; one that is dead already is no error."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def expect_fork(self, expected: bool) -> None:
        """Let one fork of the worker through, because the supervisor ordered it, or none."""
        if self.door is not None:
            self.door.forks = 1 if expected else 0

    def adopt(
        self, pid: int, pidfd: int, channel: socket.socket, stdout_fd: int, stderr_fd: int
    ) -> None:
        """The worker is dead, and a copy that it left goes on in its place, with these ends.

        Namespaces, scratch, door and the init that reports its death are those of the dead one.
        """
        self.channel.close()
        for fd in (self.pidfd, self.stdout_fd, self.stderr_fd):
            if fd >= 0:
                os.close(fd)
        self.pid, self.pidfd, self.channel = pid, pidfd, channel
        self.stdout_fd, self.stderr_fd = stdout_fd, stderr_fd
        self._exit = None

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
        (self.pidfd,) = fds
        self.pid = _pid_of(self.pidfd)
        self.facts = gather_facts(started["started"])
        self.scratch = started["started"]["scratch"]
        self.level = choose(self.facts, self._spec.least_level, self._spec.forced_level)
        await self._apply_plan()
        if self.level is not Level.LANGUAGE_ONLY:
            await self._try_walls()
        else:
            await self._send_seal({"try": None})
            await self._receive(self._seal)
        await self._send_seal({"go": True})

    async def _apply_plan(self) -> None:
        await self._send_seal(self._plan().message())
        answer, fds = await self._receive(self._seal)
        if "refused" in answer and self.facts is not None and self.facts.listener:
            # A filter tree has room for one listener: do without.
            self.facts = _without_listener(self.facts, answer["text"])
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

    def _plan(self) -> SealPlan:
        assert self.facts is not None
        return seal_plan(
            self.level,
            self.facts,
            trees=(*self._roots.trees, *self._roots.files, *self._roots.listed),
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
            found += judge(self.level, answer.get("tried", {}), witnesses.secret)
        finally:
            witnesses.close()
        found += judge_status(Path(f"/proc/{self.pid}/status").read_text(), self.level)
        found += judge_descriptors(_descriptors(self.pid))
        if found:
            raise ConfinementFailed(
                "the worker's walls do not hold, so no cell is run: "
                + "; ".join(found)
                + ". `sandbox-kernel doctor` probes every layer."
            )

    def _attach_door(self) -> None:
        assert self.listener_fd is not None and self.facts is not None
        listener = Listener(
            self.listener_fd,
            self.pid,
            self.facts.machine,
            (*self._roots.trees, *self._roots.files, *self._roots.listed),
            self.scratch,
            self._spec.working_directory,
            dict(memory_files()),
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
        try:
            self._seal.send(json.dumps(message).encode())
        except (BrokenPipeError, ConnectionResetError):
            raise ConfinementFailed(self._died()) from None

    async def _receive(self, link: socket.socket) -> tuple[dict[str, Any], list[int]]:
        await _readable(link)
        try:
            data, fds, _, _ = socket.recv_fds(link, _PACKET, 4)
        except ConnectionResetError:
            data, fds = b"", []
        if not data:
            raise ConfinementFailed(self._died())
        message: dict[str, Any] = json.loads(data)
        return message, fds

    def _died(self) -> str:
        """Why a worker that closed its end before it was sealed is gone, as far as we can see."""
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
            os.close(self.pidfd)
            self.pidfd = -1
        self._detach_door()
        for end in (self._seal, self._status, self.channel):
            end.close()
        for name in ("stdout_fd", "stderr_fd"):
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
        seccomp=linux.seccomp_knows(0x80000000),
        listener=linux.seccomp_knows(NOTIFY),
        own_proc=started["own_proc"],
        why=why,
    )


def memory_files() -> tuple[tuple[str, str], ...]:
    """/etc files from memory for this user."""
    return mounts.etc_files(os.getuid(), os.getgid(), "sandbox")


def _without_listener(facts: Facts, why: str) -> Facts:
    return Facts(
        facts.machine,
        facts.namespaces,
        facts.landlock_abi,
        facts.seccomp,
        False,
        facts.own_proc,
        {**facts.why, "listener": why},
    )


def _roots(spec: WorkerSpec) -> roots.Roots:
    return roots.find_roots(
        roots.Interpreter.running(),
        home=os.path.expanduser("~"),
        library_path=os.environ.get("LD_LIBRARY_PATH", ""),
        extra=spec.read_roots,
        programs=spec.spawn,
    )


def _plan_message(spec: WorkerSpec, found: roots.Roots) -> dict[str, Any]:
    tree = mounts.tree(
        found,
        working_directory=spec.working_directory,
        writable_points=spec.writable_points,
        masks=(TRUSTED,),
        memory_files=memory_files(),
        scratch_bytes=spec.scratch_bytes,
        shared_memory_bytes=spec.shared_memory_bytes,
    )
    full_environment = environment.complete(
        spec.environment,
        home=f"{SCRATCH}/home",
        temporary=f"{SCRATCH}/tmp",
        python_path=_python_path(found),
        library_path=os.environ.get("LD_LIBRARY_PATH", ""),
    )
    level = spec.forced_level.value if spec.forced_level else None
    return {
        "do": "plan",
        "level": level,
        "tree": vars(tree),
        "argv": [spec.python, "-P", *spec.entry, "3", "4"],
        "environment": full_environment,
        "working_directory": spec.working_directory,
        "host_name": spec.host_name,
        "scratch_parent": os.environ.get("TMPDIR") or "/tmp",
    }


def _python_path(found: roots.Roots) -> list[str]:
    """The entries of our own PYTHONPATH that the worker can read."""
    readable = (*found.trees, *found.files, *found.listed)
    entries = [os.path.abspath(e) for e in os.environ.get("PYTHONPATH", "").split(":") if e]
    return [
        entry
        for entry in entries
        if any((os.path.realpath(entry) + "/").startswith(tree + "/") for tree in readable)
    ]


def _warden_environment() -> dict[str, str]:
    """What a Python needs to start at all, and nothing else."""
    names = ("LD_LIBRARY_PATH", "TMPDIR")
    return {name: os.environ[name] for name in names if name in os.environ}


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
