"""PID 1 of the worker's namespaces: start the worker, build its root, reap, report.

The worker's Python comes up, and imports what is installed, while its root is still being planned
and built: until it is sealed it runs nothing else. It sees the host's tree then, read-only and from
a mount namespace that is gone once it has entered its own (`sandboxed.seal`).

The worker never holds the channel on which this process reports. At the levels without namespaces
the same code runs as an ordinary process that adopts orphans (PR_SET_CHILD_SUBREAPER).

What it sends, one JSON object a packet:
- `{"started": {...}}` with a pidfd of the worker, and with its mount namespace where it has one;
  facts for the plan.
- `{"exited": exit code}` for the worker (negative: a signal's number), `{"gone": pid, "code": ...}`
  for any other child: orphans of cells, and the dormant copy when it has taken over.
- `{"failed": text, "stage": ...}` when the worker could not be started.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import struct

from . import _sys_linux as linux
from . import worker_root
from .descendants import end_descendants
from .packets import Receiver
from .places import SCRATCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMESPACES = (
    linux.CLONE_NEWNS
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWCGROUP
)
#: Descriptors of the worker after its exec: channel and seal.
CHANNEL_FD, SEAL_FD = 3, 4


def run(order: dict[str, Any], fds: dict[str, int], *, namespaces: bool, warden: int) -> int:
    """The whole life of init. `fds`: channel, seal, out, err, status, link (to the warden).

    Returns the exit code; does not return in the worker's process.
    """
    status = socket.socket(fileno=fds["status"])
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, _note)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    linux.die_with_parent(signal.SIGKILL)
    if not namespaces:
        if os.getppid() != warden:
            return 1  # It died before the line above.
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    stage = "starting the worker's process"
    root = None
    try:
        if namespaces:
            _loopback_up()
            socket.sethostname(order["host_name"])
            # What the worker runs from stays reachable for it, as /proc/self/exe.
            attributes = linux.ATTR_RDONLY | linux.ATTR_NOSUID
            linux.set_mount_attributes(-1, "/", attributes, recursive=True)
            linux.make_writable("/proc")  # For the maps of its user namespace.
        worker = os.fork()
        if worker == 0:
            _become_worker(order, fds, namespaces=namespaces)
        for name in ("channel", "seal", "out", "err"):
            os.close(fds[name])
        handles = [os.pidfd_open(worker)]
        if namespaces:
            stage = "building the worker's file tree"
            root = _build(fds["link"], handles[0])
            if root is None:
                return 1  # The warden is gone, or gave this start up.
            handles.append(root.namespace)
        os.close(fds["link"])
    except OSError as error:
        send(status, {"failed": str(error), "stage": stage, "errno": error.errno or 0})
        return 1
    facts = {
        "namespaces": namespaces,
        "why": order["why"],
        "own_proc": root.own_proc if root else True,
        "unreadable": root.unreadable if root else [],
        "scratch": order.get("scratch", SCRATCH),
    }
    try:
        socket.send_fds(status, [json.dumps({"started": facts}).encode()], handles)
    except BrokenPipeError:
        return 1  # The supervisor is gone or wants nothing more.
    for fd in handles:
        os.close(fd)
    _watch(status, wake, worker)
    if not namespaces:
        # With a pid namespace, the kernel does this when its PID 1 ends.
        end_descendants()
    return 0


def _note(number: int, frame: object) -> None:
    """The wakeup descriptor carries the news; a handler must exist for it to be written."""


def _watch(status: socket.socket, wake: int, worker: int) -> None:
    """Reap until nobody is left or the supervisor has closed its end."""
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(status, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd != wake:
                return  # The supervisor is gone or wants nothing more: all die with PID 1.
            os.read(wake, 4096)
        while True:
            try:
                pid, code = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                break
            ended = os.waitstatus_to_exitcode(code)
            send(status, {"exited": ended} if pid == worker else {"gone": pid, "code": ended})


def send(status: socket.socket, message: dict[str, Any]) -> None:
    """One packet to the supervisor; when that is gone, so are we."""
    try:
        status.send(json.dumps(message).encode())
    except BrokenPipeError:
        os._exit(1)


def _build(link: int, worker: int) -> worker_root.Root | None:
    """Build the root in a mount namespace of its own; None when no plan for it comes.

    `worker` is the worker's pidfd.
    """
    with socket.socket(fileno=os.dup(link)) as channel:
        plan, _ = Receiver(channel, 0).receive()
        if not plan:
            return None
        linux.unshare(linux.CLONE_NEWNS)
        root = worker_root.build(json.loads(plan), _process_folder(worker))
        socket.send_fds(channel, [b"root"], [root.writable])
    os.close(root.writable)
    return root


def _process_folder(pidfd: int) -> str:
    """The process's folder in the procfs that is mounted here (pidfd_open(2): fdinfo)."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as lines:
        number = next(line.split()[1] for line in lines if line.startswith("Pid:"))
    return f"/proc/{number}"


def _loopback_up() -> None:
    """Set IFF_UP on `lo` of the new network namespace (netdevice(7))."""
    set_flags, up = 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, set_flags, struct.pack("16sH14x", b"lo", up))


def _become_worker(order: dict[str, Any], fds: dict[str, int], *, namespaces: bool) -> None:
    """In the forked child: become the worker's Python. Never returns.

    It gives up every right when it seals itself. For entering its mount namespace it needs two
    capabilities in user namespace A, which are no power over anything of the host's.
    """
    try:
        os.setsid()
        linux.die_with_parent(signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if int(number) < 32:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if namespaces:
            linux.keep_over_exec((linux.CAP_SYS_ADMIN, linux.CAP_SYS_CHROOT))
        if order["level"] != "language-only":
            linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        os.chdir("/")
        _place_descriptors(fds)
        os.execve(order["argv"][0], order["argv"], order["environment"])
    except BaseException as error:
        with socket.socket(fileno=fds["status"]) as status:
            code = getattr(error, "errno", 0) or 0
            text = f"{type(error).__name__}: {error}"
            send(status, {"failed": text, "stage": "starting the worker", "errno": code})
        os._exit(127)


def write_maps(proc: int, uid: int, gid: int) -> None:
    """Identity maps of one uid and gid for the calling process (user_namespaces(7))."""
    _write(proc, "self/setgroups", "deny")
    _write(proc, "self/uid_map", f"{uid} {uid} 1")
    _write(proc, "self/gid_map", f"{gid} {gid} 1")


def _write(directory: int, path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _place_descriptors(fds: dict[str, int]) -> None:
    """0: nothing to read, 1 and 2: pipes, 3: channel, 4: seal; everything else closes at exec."""
    # Away from the targets first: a source may sit on another one's target.
    names = ("out", "err", "channel", "seal", "status")
    away = {name: fcntl.fcntl(fds[name], fcntl.F_DUPFD_CLOEXEC, 64) for name in names}
    fds["status"] = away["status"]
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(away["out"], 1)
    os.dup2(away["err"], 2)
    os.dup2(away["channel"], CHANNEL_FD)
    os.dup2(away["seal"], SEAL_FD)
    # Only the report of a failed exec stays, and that closes on success.
    os.closerange(SEAL_FD + 1, away["status"])
    os.closerange(away["status"] + 1, 1 << 20)
