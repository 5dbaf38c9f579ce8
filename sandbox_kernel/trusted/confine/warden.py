"""The warden: owns user and mount namespace A, starts init per generation, opens the mount door.

Exec'd by the supervisor with `python -I -S`, before anything secret is read. It never sees the
connection file, has no network of its own use, and runs no code of a cell. Its mounts are slaves
of the host's: what appears there later appears here. It is not landlocked: a Landlock domain may
not mount.

Commands, one JSON object a packet on descriptor 3:
- `begin`: first. What a worker's process is: program, arguments, environment; and the level.
- `launch` with descriptors channel, seal, out, err, status: no answer here; init reports on status.
- `plan`: what the worker's root is made of. A worker that was launched before waits for it.
- `door`, answered with the same `re`: an operation of the mount door; see door_mounts.
- `rouse`: a `door` comes within a millisecond; to be waited for awake. With `source`: it may be to
  mount that.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sys
import time

from . import _sys_linux as linux
from . import init
from .descendants import end_descendants
from .packets import Receiver, send
from .places import SCRATCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from .door_mounts import DoorMounts
    from .host_scratch import HostScratch

CONTROL_FD = 3
#: Seconds to stay awake for an order that is announced.
AWAKE_SECONDS = 0.002


class Stop(BaseException):
    """The supervisor died (its death signal arrived)."""


class Warden:
    """State of the one warden process."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.pid = os.getpid()
        #: Init of the present generation; unreaped, so that its number means nobody else.
        self.child = 0
        self.beginning: dict[str, Any] = {}
        #: The plan of the worker's root, as it arrived.
        self.tree = b""
        #: To an init that waits for a plan, and hands over the handles of the root for it.
        self.link: socket.socket | None = None
        self.namespaces = False
        self.why = ""
        self.door: DoorMounts | None = None
        self.scratch: HostScratch | None = None

    def serve(self) -> None:
        """Until the supervisor closes its end."""
        orders = Receiver(self.control, 8)
        awake = False
        while True:
            data, fds = self._soon(orders) if awake else orders.receive()
            if not data:
                return
            message = json.loads(data)
            do = message["do"]
            awake = do == "rouse"
            if self.door and do not in ("rouse", "door"):
                self.door.rest()
            if awake:
                self._get_ready(message.get("source"))
            elif do == "begin":
                self._prepare(message)
            elif do == "plan":
                self.tree = json.dumps(message["tree"]).encode()
                self._adopt()
            elif do == "launch":
                self._launch(fds)
            else:
                self._answer(message)

    def _soon(self, orders: Receiver) -> tuple[bytes, list[int]]:
        """The next order, waited for awake at first."""
        end = time.monotonic() + AWAKE_SECONDS
        while time.monotonic() < end:
            try:
                return orders.receive(socket.MSG_DONTWAIT)
            except BlockingIOError:
                os.sched_yield()  # Whoever writes the order may need this very processor.
        if self.door:
            self.door.rest()
        return orders.receive()

    def _get_ready(self, source: str | None) -> None:
        if self.door:
            try:  # noqa: SIM105  # contextlib would make every start longer.
                self.door.prepare(source)
            except OSError:
                pass  # The order meets it again.

    def end(self) -> None:
        """Leave nothing behind."""
        self._end_generation()

    def _prepare(self, beginning: dict[str, Any]) -> None:
        self.beginning = beginning
        if self.namespaces or beginning["level"] not in (None, "full"):
            return
        self.why = try_namespaces()
        if not self.why:
            self.namespaces, self.why = enter_namespaces()

    def _launch(self, fds: list[int]) -> None:
        named = dict(zip(("channel", "seal", "out", "err", "status"), fds, strict=True))
        self._end_generation()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        named["link"] = theirs.fileno()
        pid = -1
        if self.namespaces:
            try:
                pid = linux.clone_process(init.NAMESPACES)
            except OSError as error:
                # Too many namespaces, or some kinds are forbidden.
                self.namespaces, self.why = False, str(error)
        order = {**self.beginning, "why": self.why}
        if not self.namespaces:
            try:
                order = self._without_mounts(order)
                pid = os.fork()
            except OSError as error:
                self._tell_failure(named, error)
        if pid == 0:
            ours.close()
            self._child(order, named)
        theirs.close()
        for name in ("channel", "seal", "out", "err", "status"):
            os.close(named[name])
        if pid > 0:
            self.child = pid
        if pid > 0 and self.namespaces:
            self.link = ours
            self._adopt()
        else:
            ours.close()

    @staticmethod
    def _tell_failure(named: dict[str, int], error: OSError) -> None:
        status = socket.socket(fileno=named["status"])
        stage = "making room for the worker"
        init.send(status, {"failed": str(error), "stage": stage, "errno": error.errno or 0})
        named["status"] = status.detach()

    def _child(self, order: dict[str, Any], fds: dict[str, int]) -> None:
        """Init's process: never returns into the warden's loop."""
        code = 1
        try:
            os.close(self.control.fileno())
            code = init.run(order, fds, namespaces=self.namespaces, warden=self.pid)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _adopt(self) -> None:
        """Give a waiting init the plan, and take its handles of the worker's root.

        Nothing comes when building failed.
        """
        if self.link is None or not self.tree:
            return
        with self.link as link:
            self.link = None
            try:
                send(link, self.tree)
                data, fds, _, _ = socket.recv_fds(link, 16, 1)
            except (BrokenPipeError, ConnectionResetError):
                return  # It died, which is told on its status channel.
        if not data:
            return
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            namespace = os.open(f"/proc/{self.child}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            root = os.open(f"/proc/{self.child}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # It died meanwhile, which is told on its status channel.
        from .door_mounts import DoorMounts  # The worker's Python is starting meanwhile.

        self.door = DoorMounts(own, namespace, root, fds[0])

    def _without_mounts(self, order: dict[str, Any]) -> dict[str, Any]:
        """The same order with a scratch directory of the host's in place of the private one."""
        from .host_scratch import HostScratch  # Needed at this level only.

        self.scratch = HostScratch(order["scratch_parent"])
        path = self.scratch.path
        environment = {
            name: path + value[len(SCRATCH) :]
            if value == SCRATCH or value.startswith(SCRATCH + "/")
            else value
            for name, value in order["environment"].items()
        }
        return {**order, "environment": environment, "scratch": path}

    def _end_generation(self) -> None:
        """Kill what is left of the last worker, wait for it, remove its scratch."""
        if self.door:
            self.door.close()
            self.door = None
        if self.link:
            self.link.close()
            self.link = None
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
            self.child = 0
        end_descendants()
        if self.scratch:
            self.scratch.remove()
            self.scratch = None

    def _answer(self, message: dict[str, Any]) -> None:
        given: list[int] = []
        try:
            if message["do"] != "door":
                raise OSError(errno.EINVAL, f"unknown command {message['do']!r}")
            if self.door is None:
                raise OSError(errno.ESRCH, "no worker with its own mounts is running")
            answer, given = self.door.handle(message)
        except OSError as error:
            answer = {"error": str(error), "errno": error.errno or errno.EIO}
        packet = json.dumps({"re": message.get("re"), **answer}).encode()
        send(self.control, packet, given)
        for fd in given:
            os.close(fd)
        if self.door:
            self.door.rest()


def try_namespaces() -> str:
    """Enter them in a process of its own; empty, or what the kernel said.

    A security module may let a user namespace be made and refuse everything in it (Ubuntu's
    AppArmor rule): the warden must not be in one then.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _, why = enter_namespaces()
            if not why:
                flags = linux.MS_NOSUID | linux.MS_NODEV
                linux.mount("tmpfs", "/", "tmpfs", flags, "size=4k")
        except OSError as error:
            why = str(error)
        os.write(writer, why.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as report:
        why = report.read()
    os.waitpid(pid, 0)
    return why


def enter_namespaces() -> tuple[bool, str]:
    """Become the owner of user and mount namespace A; on failure, what the kernel said."""
    uid, gid = os.getuid(), os.getgid()
    try:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        init.write_maps(proc, uid, gid)
        os.close(proc)
        linux.mount(None, "/", None, linux.MS_REC | linux.MS_SLAVE)
    except OSError as error:
        return False, str(error)
    return True, ""


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stop


def main() -> None:
    """Entry point of the warden's process."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What the supervisor's own parent left open for everybody is not for us.
    os.closerange(CONTROL_FD + 1, 1 << 20)
    linux.die_with_parent(signal.SIGTERM)
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    warden = Warden(socket.socket(fileno=CONTROL_FD))
    try:
        warden.serve()
    except (Stop, ConnectionResetError):
        pass  # The supervisor is gone: what is left is to clean up.
    finally:
        try:  # noqa: SIM105  # contextlib would make every start longer.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        except Stop:
            pass  # The signal came just now.
        warden.end()
