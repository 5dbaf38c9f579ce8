"""The warden's process: started before anything else, by importing as little as can be.

    warden = start_process()
    begin(warden, beginning)       # what a worker's process is
    ends = order_worker(warden)    # its Python comes up, and waits to be sealed

All this while the supervisor's own modules are imported and the policy is read; `launch.Warden`
goes on with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
from typing import NamedTuple

from .packets import PACKET, send

_CONTROL_FD = 3
_CODE = (
    "import sys; sys.path.append({root!r});"
    " from sandbox_kernel.trusted.confine.warden import main; main()"
)


class StartedWarden(NamedTuple):
    """A warden that waits for orders on the other end of `control`."""

    control: socket.socket
    pid: int


class Beginning(NamedTuple):
    """What a worker's process is before it is sealed. `level` is None for the best one."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    level: str | None
    host_name: str


class WorkerEnds(NamedTuple):
    """The supervisor's ends of a worker: sockets, and the descriptors of two pipes."""

    channel: socket.socket
    seal: socket.socket
    status: socket.socket
    stdout_fd: int
    stderr_fd: int

    def close(self) -> None:
        """Release every one of them; the worker then ends."""
        for end in (self.channel, self.seal, self.status):
            end.close()
        os.close(self.stdout_fd)
        os.close(self.stderr_fd)


def start_process(python: str = sys.executable) -> StartedWarden:
    """Start it; returns before it is ready. Raises OSError when it cannot be run."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child_end = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 16)
    root = os.path.realpath(__file__)
    for _ in range(4):
        root = os.path.dirname(root)
    try:
        pid = os.posix_spawn(
            python,
            [python, "-I", "-S", "-c", _CODE.format(root=root)],
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
    return StartedWarden(ours, pid)


def end_process(warden: StartedWarden) -> None:
    """End it, and with it every worker; their scratch is removed. Idempotent."""
    if warden.control.fileno() < 0:
        return
    warden.control.close()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(warden.pid, 0)


def begin(warden: StartedWarden, beginning: Beginning) -> None:
    """Tell it what a worker's process is; before the first `order_worker`."""
    scratch_parent = os.environ.get("TMPDIR") or "/tmp"
    message = {"do": "begin", **beginning._asdict(), "scratch_parent": scratch_parent}
    send(warden.control, json.dumps(message).encode())


def order_worker(warden: StartedWarden) -> WorkerEnds:
    """Order a fresh worker; what is left of the last one is killed first. Raises OSError."""
    channel, worker_channel = socket.socketpair()
    seal, worker_seal = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    status, init_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    seal.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * PACKET)
    out, worker_out = os.pipe()
    err, worker_err = os.pipe()
    handed = [
        worker_channel.fileno(),
        worker_seal.fileno(),
        worker_out,
        worker_err,
        init_status.fileno(),
    ]
    ends = WorkerEnds(channel, seal, status, out, err)
    try:
        socket.send_fds(warden.control, [b'{"do": "launch"}'], handed)
    except OSError:
        ends.close()
        raise
    finally:
        for end in (worker_channel, worker_seal, init_status):
            end.close()
        os.close(worker_out)
        os.close(worker_err)
    return ends


def _warden_environment() -> dict[str, str]:
    """What a Python needs to start at all, and nothing else."""
    names = ("LD_LIBRARY_PATH", "TMPDIR")
    return {name: os.environ[name] for name in names if name in os.environ}
