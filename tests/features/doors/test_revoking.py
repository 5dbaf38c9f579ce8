"""Taking files away from a live worker, whatever it holds of them."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Gone, Raised, Start, World, refused


def test_a_revoked_file_cannot_be_opened_again(world: World, start: Start, level: Level) -> None:
    (world.nb / "a.txt").write_text("A")
    worker = start(world.files('path = "a.txt"\nmode = "read"'), level)
    worker.value("open('a.txt').read()")
    taken = worker.follow(world.rights(""))
    assert taken.killed == ()
    assert taken.still_open == ()
    refused(worker, "open('a.txt')")
    refused(worker, "open('a.txt', 'w').write('left over')")
    worker.follow(world.files('path = "a.txt"\nmode = "read"'))
    assert worker.value("open('a.txt').read()") == "A"


def test_a_file_that_is_open_while_revoked_is_listed(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "data").mkdir()
    (world.nb / "data" / "a.txt").write_text("A")
    worker = start(world.files('path = "data"\nmode = "read"'), level)
    worker.run("f = open('data/a.txt')")
    taken = worker.follow(world.rights(""))
    assert taken.killed == ()
    assert [Path(name).name for name in taken.still_open] == ["a.txt"]
    refused(worker, "open('data/a.txt')")


@pytest.mark.parametrize(
    "hold",
    [
        "fd = os.open('data', os.O_RDONLY)",
        "fd = os.open('data', os.O_PATH)",
        "os.chdir('data')",
        "import socket; a, b = socket.socketpair(); d = os.open('data', os.O_RDONLY); "
        "socket.send_fds(a, [b'x'], [d]); os.close(d)",
    ],
    ids=["descriptor", "O_PATH", "cwd", "in flight"],
)
def test_whoever_holds_a_revoked_directory_ends(
    world: World, start: Start, level: Level, hold: str
) -> None:
    (world.nb / "data").mkdir()
    (world.nb / "data" / "canary").write_text("CANARY")
    worker = start(world.files('path = "data"\nmode = "write"'), level)
    worker.run(hold)
    taken = worker.follow(world.rights(""))
    if level is not Level.FULL and "chdir" in hold:
        # There a working directory gives nothing: what is relative to it comes to the door.
        assert taken.killed == ()
        refused(worker, "open('canary')")
        refused(worker, "open('evil', 'w')")
        return
    assert taken.killed
    with pytest.raises(Gone):
        worker.run("os.open('evil', os.O_CREAT | os.O_WRONLY, dir_fd=fd)")
    assert os.listdir(world.nb / "data") == ["canary"]


def test_descriptors_that_arrive_after_a_moment_cost_no_worker(
    world: World, start: Start, level: Level
) -> None:
    # As the supervisor's own do, when a revocation comes before the worker has read them. Not
    # read, they end it: the case "in flight" above.
    (world.nb / "data").mkdir()
    (world.nb / "data" / "x").write_text("X")
    worker = start(world.files('path = "data"\nmode = "read"'), level)
    worker.run(
        "import signal, socket\n"
        "a, b = socket.socketpair()\n"
        "d = os.memfd_create('of nothing'); socket.send_fds(a, [b'x'], [d]); os.close(d)\n"
        "kept = open('data/x')\n"
        "def arrive(*_):\n"
        "    signal.signal(signal.SIGCONT, signal.SIG_DFL)\n"
        "    socket.recv_fds(b, 1, 1)\n"
        "signal.signal(signal.SIGCONT, arrive)"
    )
    taken = worker.follow(world.rights(""))
    assert taken.killed == ()
    assert [Path(name).name for name in taken.still_open] == ["x"]
    assert worker.value("1 + 1") == 2


def test_a_child_that_holds_a_revoked_directory_ends(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "data").mkdir()
    worker = start(world.files('path = "data"\nmode = "read"'), level, spawn=True)
    worker.run(
        "r, w = os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    fd = os.open('data', os.O_RDONLY); os.write(w, b'x')\n"
        "    import signal; signal.pause()\n"
        "os.read(r, 1); it = child"
    )
    taken = worker.follow(world.rights(""))
    assert taken.killed == ("a directory descriptor",)
    assert worker.value("os.waitpid(child, 0)[1]") == 9


def test_narrowing_takes_the_rest_away(world: World, start: Start, level: Level) -> None:
    (world.nb / "data" / "sub").mkdir(parents=True)
    (world.nb / "data" / "sub" / "x").write_text("X")
    (world.nb / "data" / "y").write_text("Y")
    worker = start(world.files('path = "data"\nmode = "write"'), level)
    worker.run("open('data/y', 'a').write('!')")
    worker.follow(world.files('path = "data/sub"\nmode = "read"'))
    refused(worker, "open('data/y')")
    assert worker.value("open('data/sub/x').read()") == "X"
    refused(worker, "open('data/sub/x', 'a')")


def test_who_reads_late_because_its_call_waits_for_us_lives(world: World, start: Start) -> None:
    """A descriptor of ours is on its way to the worker, which is in a call that we answer."""
    for name in ("keep", "gone"):
        (world.nb / name).mkdir()
        (world.nb / name / "file").write_text(name)
    keep, gone = ('path = "keep"\nmode = "read"', 'path = "gone"\nmode = "read"')
    worker = start(world.files(keep, gone), Level.NO_NAMESPACES)
    worker.send(
        "import time\n"
        "for _ in range(60):\n"
        "    os.close(os.open('keep/file', os.O_RDONLY))\n"
        "    time.sleep(0.001)\n"
        "it = 1"
    )
    reading, writing = os.pipe()
    line = json.dumps({"do": "it = 2"}).encode() + b"\n"
    socket.send_fds(worker._channel, [line], [reading, writing])
    taken = worker.follow(world.files(keep))
    os.close(reading)
    os.close(writing)
    assert not taken.killed
    assert [worker.answer(), worker.answer()] == [1, 2]


OUTSIDE_READ = 'path = "ROOT/outside"\nmode = "read"'


def test_a_directory_that_is_denied_by_now_is_not_listed_any_more(
    world: World, start: Start, level: Level
) -> None:
    """As `revoke` of a part of a wider right closes it. At `full` this holds."""
    (world.outside / "secret").mkdir()
    worker = start(world.files(OUTSIDE_READ), level)
    worker.run("fd = os.open('ROOT/outside/secret', os.O_RDONLY)")
    worker.follow(world.files(OUTSIDE_READ + '\ndeny = ["ROOT/outside/secret"]'))
    (world.outside / "secret" / "after").touch()
    try:
        names = worker.value("os.listdir(fd)")
    except (Gone, Raised):
        return
    assert "after" not in names


def test_a_file_that_is_denied_by_now_is_told(world: World, start: Start, level: Level) -> None:
    worker = start(world.files(OUTSIDE_READ), level)
    worker.run("kept = open('ROOT/outside/secret.txt')")
    taken = worker.follow(world.files(OUTSIDE_READ + '\ndeny = ["ROOT/outside/secret.txt"]'))
    assert taken.still_open or taken.killed


def test_who_holds_what_is_still_granted_within_outlives_the_rest(
    world: World, start: Start, level: Level
) -> None:
    (world.outside / "sub").mkdir()
    within = 'path = "ROOT/outside/sub"\nmode = "read"'
    worker = start(world.files(OUTSIDE_READ, within), level)
    worker.run("fd = os.open('ROOT/outside/sub', os.O_RDONLY)")
    taken = worker.follow(world.files(within))
    if level is Level.NO_NAMESPACES:
        assert taken.killed == ()
        assert worker.value("os.listdir(fd)") == []
