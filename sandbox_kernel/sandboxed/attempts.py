"""Real forbidden operations that a freshly sealed worker tries on itself, harmless if they succeed.

Each returns when it succeeded (what it obtained, where that proves something) and raises OSError
when the walls held. The supervisor judges, from outside witnesses where there are any.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

from . import _sys_seal as raw

Attempt = Callable[[], str | None]


def attempts(order: dict[str, Any]) -> Iterator[tuple[str, Attempt]]:
    """(name, attempt) for each operation in `order`, which names targets and call numbers."""
    numbers: dict[str, int] = order["numbers"]

    def call(name: str, *arguments: object) -> Attempt:
        def run() -> None:
            raw.syscall(numbers[name], *arguments)

        return run

    yield "read a file of the host's", lambda: _read(order["canary"])
    yield "make a file on the host", lambda: _make(order["canary"] + ".made")
    yield "ask about a file of the host's", lambda: _stat(order["canary"])
    yield "connect to a listener", lambda: _connect(order["listener"])
    if order["path_socket"]:
        yield "connect to a path-named socket", lambda: _connect_unix(order["path_socket"])
    yield "connect to an abstract socket", lambda: _connect_unix("\0" + order["abstract_socket"])
    yield "make a netlink socket", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
    yield "send a signal to the supervisor", lambda: os.kill(order["supervisor"], 0)
    yield "fork", _fork
    yield "run a program", call("execveat", -1, b"", 0, 0, 0)
    yield "make a user namespace", call("unshare", 0x10000000)
    yield "mount", call("mount", b"none", b"/", b"tmpfs", 0, 0)
    yield "trace a process", call("ptrace", 16, order["supervisor"], 0, 0)
    yield "read another process's memory", call("process_vm_readv", order["supervisor"], 0, 0, 0, 0)
    yield "open by handle", call("open_by_handle_at", -1, 0, 0)
    yield "change the user", call("setuid", 0)
    yield "ring up the kernel by io_uring", call("io_uring_setup", 0, 0)
    yield "load a BPF program", call("bpf", 0, 0, 0)


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def _make(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def _stat(path: str) -> None:
    os.stat(path)


def _connect(address: list[Any]) -> None:
    with socket.socket() as client:
        client.settimeout(2)
        client.connect((address[0], address[1]))


def _connect_unix(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
