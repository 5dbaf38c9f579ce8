"""The warden's process: started before anything else, by importing as little as can be.

Its Python comes up while the supervisor reads the policy; `launch.Warden` then tells it what to do.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from typing import NamedTuple

#: Most bytes in one packet between supervisor and warden.
PACKET = 1 << 20
_CONTROL_FD = 3
_CODE = (
    "import sys; sys.path.append({root!r});"
    " from sandbox_kernel.trusted.confine.warden import main; main()"
)


class StartedWarden(NamedTuple):
    """A warden that waits for its plan on the other end of `control`."""

    control: socket.socket
    pid: int


def start_process(python: str = sys.executable) -> StartedWarden:
    """Start it; returns before it is ready. Raises OSError when it cannot be run."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * PACKET)
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


def _warden_environment() -> dict[str, str]:
    """What a Python needs to start at all, and nothing else."""
    names = ("LD_LIBRARY_PATH", "TMPDIR")
    return {name: os.environ[name] for name in names if name in os.environ}
