"""Judge whether the walls hold, from what a sealed worker could do and from what was seen outside.

A worker before its first cell runs installed code only, so what it tells of its attempts is honest;
still, wherever something outside shows the truth (a canary file, a listener, /proc), that decides.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import tempfile
from collections.abc import Mapping
from typing import Any

from .plan import Level
from .syscall_numbers import TABLES

#: Errors by which a wall answers. Others mean that the kernel got as far as looking at arguments.
HELD = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAFNOSUPPORT, errno.ENOENT, errno.ESRCH}
    | {errno.EROFS, errno.EPROTONOSUPPORT}
)
#: What a level is known not to stop.
KNOWN_GAPS: Mapping[Level, frozenset[str]] = {
    Level.LANDLOCK_ONLY: frozenset({"ask about a file of the host's"}),
}
#: What the `processes` capability gives on purpose.
SPAWNING = frozenset({"fork", "run a program"})
#: Bytes of sun_path (unix(7)), less a NUL.
_LONGEST_SOCKET_PATH = 107
_CALLS = (
    *("execveat", "unshare", "mount", "ptrace", "process_vm_readv", "open_by_handle_at"),
    *("setuid", "io_uring_setup", "bpf"),
)


class Witnesses:
    """Things outside every root that a worker must not reach; a context manager."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self.secret = secrets.token_hex(16)
        self._folder = tempfile.mkdtemp(prefix="sandbox-kernel-canary-")
        self.canary = f"{self._folder}/canary"
        with open(self.canary, "w", encoding="ascii") as file:
            file.write(self.secret)
        # A loopback address that nobody guesses: on 127.0.0.1 some other program's stray
        # connection, or a scan of all ports, would pass for the worker's.
        own = ".".join(str(1 + secrets.randbelow(254)) for _ in range(3))
        self._tcp = socket.create_server((f"127.{own}", 0))
        self._path_name = f"{self._folder}/socket"
        if len(os.fsencode(self._path_name)) > _LONGEST_SOCKET_PATH:
            self._path_name = ""  # A deep TMPDIR: the abstract one has to do.
        self._path = socket.socket(socket.AF_UNIX)
        self._path.bind(self._path_name or f"\0{self._folder}"[:_LONGEST_SOCKET_PATH])
        self._abstract_name = f"sandbox-kernel-{secrets.token_hex(8)}"
        self._abstract = socket.socket(socket.AF_UNIX)
        self._abstract.bind("\0" + self._abstract_name)
        for listener in (self._tcp, self._path, self._abstract):
            listener.listen()
            listener.setblocking(False)

    def order(self) -> dict[str, Any]:
        """What the worker is told to try."""
        table = TABLES[self._machine]
        return {
            "canary": self.canary,
            "listener": list(self._tcp.getsockname()),
            "path_socket": self._path_name,
            "abstract_socket": self._abstract_name,
            "supervisor": os.getpid(),
            "numbers": {name: table[name] for name in _CALLS},
        }

    def seen(self) -> list[str]:
        """What arrived from the worker, as a list of sentences; empty when nothing did."""
        found = []
        for what, listener in (
            ("a network listener", self._tcp),
            ("a path-named socket", self._path),
            ("an abstract socket", self._abstract),
        ):
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                continue
            found.append(f"{what} of the supervisor's got a connection")
        if os.path.exists(self.canary + ".made"):
            found.append("a file appeared outside every root")
        return found

    def close(self) -> None:
        """Remove every witness."""
        for listener in (self._tcp, self._path, self._abstract):
            listener.close()
        for name in os.listdir(self._folder):
            os.unlink(f"{self._folder}/{name}")
        os.rmdir(self._folder)


def judge(
    level: Level, tried: Mapping[str, object], secret: str, *, spawn: bool = False
) -> list[str]:
    """Which attempts succeeded that must not, as sentences. Pure. `spawn`: processes are given."""
    meant = KNOWN_GAPS.get(level, frozenset()) | (SPAWNING if spawn else frozenset())
    found = []
    for name, outcome in tried.items():
        if name in meant:
            continue
        if outcome is None or outcome == secret:
            found.append(f"the worker could {name}")
        elif not isinstance(outcome, int) or outcome not in HELD:
            found.append(f"nothing stopped the worker's attempt to {name} ({outcome!r})")
    return found


def judge_status(status: str, level: Level) -> list[str]:
    """What /proc/PID/status of the worker shows to be missing. Pure."""
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    wanted = {"NoNewPrivs": "1", "Seccomp": "2", "Threads": "1"}
    found = [
        f"{name} is {fields.get(name)!r} instead of {value!r}"
        for name, value in wanted.items()
        if fields.get(name) != value
    ]
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        if int(fields.get(name, "0"), 16):
            found.append(f"the worker has capabilities ({name} {fields[name]})")
    if level is Level.FULL and int(fields.get("CapBnd", "0"), 16):
        found.append(f"the worker could regain capabilities (CapBnd {fields['CapBnd']})")
    return found


def judge_descriptors(targets: Mapping[int, str]) -> list[str]:
    """Descriptors of the worker that it must not hold. Pure."""
    found = []
    for number, target in sorted(targets.items()):
        if "seccomp notify" in target:
            found.append(f"the worker kept its notification listener (descriptor {number})")
        elif target.startswith(("/", "mnt:")) and target != os.devnull:
            found.append(f"the worker holds {target} open (descriptor {number})")
    return found


def judge_places(flags: Mapping[str, int]) -> list[str]:
    """Whether what a worker at `full` reaches without a path can be written there. Pure.

    `flags`: of the file systems of its root and its program, as statvfs(3) has them.
    """
    return [
        f"the worker's {name} is on a file system that can be written"
        for name, found in sorted(flags.items())
        if not found & os.ST_RDONLY
    ]
