"""Connections that a worker puts out of sight before their right is taken away."""

from __future__ import annotations

import errno
import platform
import socket

import pytest

from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.doors import worker_processes
from sandbox_kernel.trusted.doors.connections import Connections

from .conftest import Gone, Raised, Start, World
from .services import TALK, Echo

VM, FS, FILES, SIGHAND, THREAD, SYSVSEM = 0x100, 0x200, 0x400, 0x800, 0x10000, 0x40000
ORDINARY = VM | FS | FILES | SIGHAND | THREAD | SYSVSEM
#: A thread in machine code (x86-64): ten times a second it writes a word to a descriptor.
WRITER = """
import ctypes, mmap, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
room = libc.mmap(None, 65536, 7, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
def begin_writing(fd, flags):
    ctypes.memmove(room, struct.pack("qq", 0, 100_000_000) + b"after", 21)
    loop = (
        b"\\xb8" + struct.pack("i", 35)              # mov eax, nanosleep
        + b"\\x48\\xbf" + struct.pack("q", room)      # mov rdi, its duration
        + b"\\x31\\xf6\\x0f\\x05"                      # xor esi, esi; syscall
        + b"\\xb8" + struct.pack("i", 1)             # mov eax, write
        + b"\\xbf" + struct.pack("i", fd)            # mov edi, the descriptor
        + b"\\x48\\xbe" + struct.pack("q", room + 16) # mov rsi, the word
        + b"\\xba" + struct.pack("i", 5)             # mov edx, its length
        + b"\\x0f\\x05"                               # syscall
    )
    code = loop + b"\\xeb" + struct.pack("b", -len(loop) - 2)  # jmp to the beginning
    ctypes.memmove(room + 4096, code, len(code))
    if libc.clone(room + 4096, room + 65536, flags, None) < 0:
        raise OSError(ctypes.get_errno(), "clone")
"""

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="machine code of x86-64")


@pytest.mark.parametrize("spawn", [False, True], ids=["no processes", "processes"])
@pytest.mark.parametrize("missing", [FILES, FS, VM | SIGHAND], ids=["files", "cwd", "memory"])
def test_no_thread_has_descriptors_or_a_folder_of_its_own(
    world: World, start: Start, level: Level, spawn: bool, missing: int
) -> None:
    """Its copy of a descriptor would be out of reach when the process has closed its own."""
    worker = start(world.rights(""), level, spawn=spawn)
    worker.run(WRITER)
    with pytest.raises(Raised) as refused:
        worker.run(f"begin_writing(1, {ORDINARY & ~missing})")
    assert refused.value.number == errno.EPERM


@pytest.mark.parametrize(
    ("flags", "number"), [(2, errno.EINVAL), (6, errno.EINVAL), (0, 0), (4, 0)]
)
def test_nor_can_a_thread_get_them_while_it_closes_some(
    world: World, start: Start, level: Level, flags: int, number: int
) -> None:
    worker = start(world.rights(""), level)
    worker.run("import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.close_range")
    call = f"(libc.close_range(3000, 3100, {flags}), ctypes.get_errno())[: 2 if {number} else 1]"
    assert worker.value(call) == ([-1, number] if number else [0])


def test_control_an_ordinary_thread_writes_until_the_right_ends(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    worker = start(world.sockets(f'connect = "localhost:{echo.port}"'), level)
    worker.run(f"s = socket.create_connection(('127.0.0.1', {echo.port}), 5)")
    worker.run(f"{WRITER}\nbegin_writing(s.fileno(), {ORDINARY})")
    assert worker.value("s.recv(9).decode()").startswith("AFTER")
    worker.follow(world.rights(""))
    assert echo.ended.wait(5)
    assert worker.value("1 + 1") == 2


def test_a_connection_that_is_under_way_is_remembered_however_many_come_after_it(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    worker = start(world.sockets(f'connect = "localhost:{echo.port}"'), level)
    worker.run(
        f"a, b = socket.socketpair()\ns = socket.create_connection(('127.0.0.1', {echo.port}), 5)"
    )
    assert worker.run(TALK) == "HELLO"
    worker.run("socket.send_fds(a, [b'x'], [s.fileno()]); s.close()")
    others = Echo()
    try:
        both = world.sockets(*(f'connect = "localhost:{e.port}"' for e in (echo, others)))
        worker.follow(both)
        worker.run(
            f"for _ in range({Connections.PRUNE_EVERY + 1}):\n"
            f"    socket.create_connection(('127.0.0.1', {others.port}), 5).close()"
        )
    finally:
        others.close()
    assert not echo.ended.is_set()
    worker.follow(world.rights(""))
    assert echo.ended.wait(5)


def test_connections_count_also_while_they_are_under_way(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    worker = start(world.sockets(f'connect = "localhost:{echo.port}"'), level)
    worker.run(
        "a, b = socket.socketpair()\n"
        "for _ in range(3):\n"
        f"    s = socket.create_connection(('127.0.0.1', {echo.port}), 5)\n"
        "    socket.send_fds(a, [b'x'], [s.fileno()])\n"
        "    s.close()\n"
        f"s = socket.create_connection(('127.0.0.1', {echo.port}), 5)"
    )
    assert worker.on_loop(worker.doors.open_connections) == 4
    worker.run("s.close()")
    assert worker.on_loop(worker.doors.open_connections) == 3
    worker.run("a.close(); b.close()")
    assert worker.on_loop(worker.doors.open_connections) == 0


@pytest.mark.parametrize("others", [0, Connections.PRUNE_EVERY + 1], ids=["control", "pruned"])
def test_an_accepted_connection_ends_with_the_right(
    world: World, start: Start, level: Level, others: int
) -> None:
    worker = start(world.sockets('listen = "127.0.0.1:*"'), level)
    port = worker.run("l = socket.create_server(('127.0.0.1', 0)); it = l.getsockname()[1]")
    with socket.create_connection(("127.0.0.1", port), 5) as outside:
        worker.run("c, _ = l.accept(); l.close(); c.settimeout(5)")
        worker.run(
            f"for _ in range({others}):\n"
            "    try: socket.create_server(('127.0.0.1', 0)).close()\n"
            "    except PermissionError: pass"
        )
        worker.follow(world.rights(""))
        outside.settimeout(5)
        try:
            worker.run("c.sendall(b'AFTER')")
            assert outside.recv(5) != b"AFTER", "the worker talks on"
        except (Gone, Raised, ConnectionError):
            pass


def test_each_listener_may_listen_however_many_there_were(
    world: World, start: Start, level: Level
) -> None:
    """One that is bound and does not listen yet stands in no table of the host."""
    worker = start(world.sockets('listen = "127.0.0.1:*"'), level)
    worker.run(
        f"for _ in range({Connections.PRUNE_EVERY + 1}):\n"
        "    socket.create_server(('127.0.0.1', 0)).close()"
    )


@pytest.mark.parametrize("says", [True, False], ids=["control", "ENOSYS"])
def test_a_worker_with_threads_outlives_its_connection(
    world: World,
    start: Start,
    level: object,
    echo: Echo,
    says: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def share_files(one: int, other: int) -> bool:
        raise OSError(errno.ENOSYS, "kcmp")

    if not says:
        monkeypatch.setattr(worker_processes._sys_files, "share_files", share_files)
    worker = start(world.sockets(f'connect = "localhost:{echo.port}"'), level)
    worker.run(
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        f"s = socket.create_connection(('127.0.0.1', {echo.port}), 5)"
    )
    worker.follow(world.rights(""))
    assert echo.ended.wait(5)
    assert worker.value("1 + 1") == 2
