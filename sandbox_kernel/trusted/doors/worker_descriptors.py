"""The worker's descriptor tables as the trusted side sees them in /proc.

A number that the worker names means a descriptor of the calling task; the file behind it is
fetched once, as a duplicate, and everything is decided and done on that.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from . import _sys_descriptors as raw


@dataclass(frozen=True, slots=True)
class Registration:
    """One entry of an epoll set."""

    epoll: int
    number: int
    events: int
    data: int


def process_of(task: int) -> int:
    """The process that a task (a thread id in our pid namespace) belongs to. Raises OSError."""
    with open(f"/proc/{task}/status", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("Tgid:"):
                return int(line.split()[1])
    raise ProcessLookupError(task)


def fetch(task: int, number: int) -> int:
    """A duplicate of descriptor `number` of the process of `task`. Raises OSError."""
    pidfd = os.pidfd_open(process_of(task))
    try:
        return raw.pidfd_getfd(pidfd, number)
    finally:
        os.close(pidfd)


def fetch_socket(task: int, number: int) -> socket.socket:
    """The same as a socket object. Raises OSError (ENOTSOCK for anything else)."""
    descriptor = fetch(task, number)
    try:
        return socket.socket(fileno=descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def inode_of(descriptor: int) -> int:
    """The inode of an open descriptor of ours; for a socket it is unique while it lives."""
    return os.fstat(descriptor).st_ino


def numbers_of_socket(task: int, inode: int) -> list[int]:
    """Every number under which a task has the socket with this inode."""
    link = f"socket:[{inode}]"
    found: list[int] = []
    for name in os.listdir(f"/proc/{task}/fd"):
        try:
            if os.readlink(f"/proc/{task}/fd/{name}") == link:
                found.append(int(name))
        except FileNotFoundError:
            continue
    return found


def flags_of(task: int, number: int) -> int:
    """The open flags of a descriptor, O_CLOEXEC among them (proc_pid_fdinfo(5))."""
    with open(f"/proc/{task}/fdinfo/{number}", "rb") as lines:
        for line in lines:
            if line.startswith(b"flags:"):
                return int(line.split()[1], 8)
    return 0


def registrations(task: int, numbers: list[int]) -> list[Registration]:
    """The epoll sets of a task in which any of these numbers is registered."""
    found: list[Registration] = []
    for name in os.listdir(f"/proc/{task}/fd"):
        try:
            if os.readlink(f"/proc/{task}/fd/{name}") != "anon_inode:[eventpoll]":
                continue
            with open(f"/proc/{task}/fdinfo/{name}", "rb") as lines:
                for line in lines:
                    if line.startswith(b"tfd:"):
                        # tfd: N events: HEX data: HEX pos:... ino:... sdev:...
                        fields = line.split()
                        if int(fields[1]) in numbers:
                            events, data = int(fields[3], 16), int(fields[5], 16)
                            found.append(Registration(int(name), int(fields[1]), events, data))
        except FileNotFoundError:
            continue
    return found


def put_back(task: int, entries: list[Registration], file: int) -> None:
    """Register our descriptor `file`, which replaced the old one, where the old one was."""
    for entry in entries:
        epoll = fetch(task, entry.epoll)
        try:
            raw.register_as(epoll, file, entry.number, entry.events, entry.data)
        finally:
            os.close(epoll)
