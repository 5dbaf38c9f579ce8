"""What a worker, or a change of names on the host, cannot make the warden do."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.trusted.confine.launch import MountFailed
from sandbox_kernel.trusted.confine.plan import Level

from .repl import Worker, worker_at


def at_full(test: Callable[[Worker, Path], Awaitable[None]], folder: Path) -> None:
    """Run `test` with a worker and a folder of the host's with a file and a folder in it."""
    (folder / "file").write_text("granted")
    (folder / "deep").mkdir()

    async def run() -> None:
        async with worker_at(Level.FULL) as worker:
            await test(worker, folder)

    asyncio.run(run())


def approved(source: Path, target: str, *, readonly: bool = True) -> dict[str, object]:
    """The order to mount `source`, as it is now, at `target`."""
    status = os.lstat(source)
    return {
        "op": "bind",
        "source": str(source),
        "device": status.st_dev,
        "inode": status.st_ino,
        "below": False,
        "target": target,
        "readonly": readonly,
    }


def bind(worker: Worker, source: Path, target: str) -> None:
    """Grant `source` at `target`, as the mount door does."""
    worker.warden.door(approved(source, target))


def refused(code: int, act: Callable[[], object]) -> None:
    """Assert that `act` fails with this errno."""
    with pytest.raises(MountFailed) as failure:
        act()
    assert failure.value.errno == code, failure.value


def test_a_grant_appears_and_goes(tmp_path: Path) -> None:
    async def test(worker: Worker, folder: Path) -> None:
        read = "open('/granted/file').read()"
        assert await worker.ask(read) == "FileNotFoundError 2"
        bind(worker, folder, "/granted")
        assert await worker.ask(read) == "'granted'"
        assert await worker.ask("open('/granted/file', 'w')") == "OSError 30"
        worker.warden.door({"op": "unmount", "target": "/granted", "detach": False})
        assert await worker.ask(read) == "FileNotFoundError 2"
        assert await worker.ask("os.path.lexists('/granted')") == "False"

    at_full(test, tmp_path)


def test_a_link_made_by_a_cell_does_not_lead_a_mount_elsewhere(tmp_path: Path) -> None:
    async def test(worker: Worker, folder: Path) -> None:
        assert await worker.ask("os.symlink('/usr/lib', '/sandbox/tmp/link')") == "None"
        for target in ("/sandbox/tmp/link", "/sandbox/tmp/link/x", "/proc/self/root/usr/lib"):
            refused(errno.ELOOP, lambda target=target: bind(worker, folder, target))

    at_full(test, tmp_path)


@pytest.mark.parametrize("target", ["/", "/../x", "/a/../../x", ""])
def test_odd_targets_are_refused(tmp_path: Path, target: str) -> None:
    async def test(worker: Worker, folder: Path) -> None:
        with pytest.raises(MountFailed):
            bind(worker, folder, target)
        assert await worker.ask("os.path.exists('/usr/lib')") == "True"

    at_full(test, tmp_path)


def test_a_name_that_leads_elsewhere_after_the_approval_is_refused(tmp_path: Path) -> None:
    async def test(worker: Worker, folder: Path) -> None:
        (folder / "secret").write_text("secret")
        order = approved(folder / "file", "/granted")
        (folder / "secret").rename(folder / "file")
        refused(errno.EINVAL, lambda: worker.warden.door(order))
        (folder / "link").symlink_to("file")
        refused(errno.ELOOP, lambda: bind(worker, folder / "link", "/granted"))
        assert await worker.ask("os.path.lexists('/granted')") == "False"

    at_full(test, tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_only_files_and_folders_are_granted(tmp_path: Path, kind: str) -> None:
    async def test(worker: Worker, folder: Path) -> None:
        if kind == "fifo":
            os.mkfifo(folder / "odd")
        else:
            import socket

            here = os.getcwd()
            os.chdir(folder)
            with socket.socket(socket.AF_UNIX) as server:
                server.bind("odd")
            os.chdir(here)
        refused(errno.EINVAL, lambda: bind(worker, folder / "odd", "/granted"))

    at_full(test, tmp_path)


def test_an_unknown_command_is_an_answer_and_the_warden_goes_on(tmp_path: Path) -> None:
    async def test(worker: Worker, folder: Path) -> None:
        refused(errno.EINVAL, lambda: worker.warden.door({"op": "nonsense", "target": "/x"}))
        bind(worker, folder, "/granted")
        assert await worker.ask("os.listdir('/granted')") != "[]"

    at_full(test, tmp_path)


def test_what_was_copied_ahead_is_mounted_by_the_order_that_means_it_alone(tmp_path: Path) -> None:
    def kept() -> tuple[int, str]:
        """Descriptors of the warden, of which a copy of a mount has one, and where it is."""
        process = f"/proc/{warden.pid}"
        return len(os.listdir(f"{process}/fd")), os.readlink(f"{process}/ns/mnt")

    def rests(more: int = 0) -> None:
        """Wait until it keeps nothing, but for a skeleton, and is at home; else this hangs."""
        while kept() != (at_rest[0] + more, at_rest[1]):
            os.sched_yield()

    async def test(worker: Worker, folder: Path) -> None:
        nonlocal warden, at_rest
        warden = worker.warden
        (folder / "secret").write_text("secret")
        (folder / "link").symlink_to("secret")
        _, home = kept()
        # One that has answered nothing yet is not woken; the first skeleton makes room for others.
        for before in ("/before", "/beside"):
            warden.door({"op": "skeleton", "target": before})
        warden.door({"op": "unmount", "target": "/beside", "detach": False})
        while (at_rest := kept())[1] != home:
            os.sched_yield()

        def announced(source: str, order: dict[str, object], more: int = 0) -> list[int]:
            warden.rouse(source)
            try:
                return warden.door(order)[1]
            finally:
                rests(more)

        file = approved(folder / "file", "/granted")
        off = {"op": "unmount", "target": "/granted", "detach": False}
        for odd in ("", "relative", "/no/such", str(folder / "link"), "\ud800", "/a\0b"):
            announced(odd, file)
            assert await worker.ask("open('/granted').read()") == "'granted'"
            warden.door(off)
        announced(str(folder / "secret"), file)
        assert await worker.ask("open('/granted').read()") == "'granted'"
        announced(str(folder), off)
        announced(str(folder / "file"), file)
        assert await worker.ask("open('/granted').read()") == "'granted'"
        assert await worker.ask("open('/granted', 'w')") == "OSError 30"
        announced("", off)
        announced(str(folder), {**approved(folder, "/granted"), "below": True})
        assert await worker.ask("open('/granted/file').read()") == "'granted'"
        announced("", off)
        announced(str(folder / "file"), approved(folder / "file", "/granted", readonly=False))
        # Landlock's refusal; a mount that is read-only would say so before it.
        assert await worker.ask("open('/granted', 'w')") == "PermissionError 13"
        announced("", off)
        announced("", {"op": "skeleton", "target": "/granted"}, 1)
        announced("", {"op": "folder", "target": "/granted/here"}, 1)
        assert await worker.ask("os.listdir('/granted')") == "['here']"
        announced("", off)
        nothing = dict.fromkeys(("masks", "points", "links", "seeds"), ())
        stage = {**approved(folder, "/granted"), **nothing, "op": "stage", "visible": True}
        for fd in announced(str(folder), {**stage, "bytes": 1 << 16, "inodes": 64}):
            os.close(fd)
        assert await worker.ask("open('/granted/file').read()") == "'granted'"
        announced(str(folder / "file"), off)

        warden.rouse(str(folder / "file"))
        rests()  # Nothing comes: it does not stay with it.
        warden.rouse(str(folder / "file"))
        with pytest.raises(MountFailed, match="nonsense"):
            announced(str(folder / "file"), {"op": "nonsense", "target": "/granted"})

        (folder / "secret").rename(folder / "file")
        refused(errno.EINVAL, lambda: announced(str(folder / "file"), file))
        assert await worker.ask("os.path.lexists('/granted')") == "False"

    warden: Any = None
    at_rest = (0, "")
    at_full(test, tmp_path)


def test_a_mount_command_without_a_worker_of_that_kind_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with worker_at(Level.NO_NAMESPACES) as worker:
            refused(errno.ESRCH, lambda: bind(worker, tmp_path, "/granted"))

    asyncio.run(run())


def test_a_dead_workers_mounts_are_gone_for_the_next(tmp_path: Path) -> None:
    async def test(worker: Worker, folder: Path) -> None:
        bind(worker, folder, "/granted")
        second = Worker(worker.warden, worker.warden.launch())
        await second.generation.sealed()
        await second.connect()
        assert await second.ask("os.path.lexists('/granted')") == "False"
        bind(second, folder, "/granted")
        assert await second.ask("open('/granted/file').read()") == "'granted'"
        second._writer.close()
        second.generation.close()

    at_full(test, tmp_path)
