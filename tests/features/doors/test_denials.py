"""What is denied inside a grant stays closed, however it comes to lie there."""

from __future__ import annotations

import os

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Start, World, refused


def test_a_denied_place_stays_closed_when_it_is_replaced_or_made_later(
    world: World, start: Start, level: Level
) -> None:
    data = world.nb / "data"
    (data / "sub").mkdir(parents=True)
    (data / "ok").write_text("OK")
    (data / "secret").write_text("S1")
    rights = world.files('path = "data"\nmode = "read"\ndeny = ["data/secret", "data/later"]')
    worker = start(rights, level)
    assert worker.value("open('data/ok').read()") == "OK"
    refused(worker, "open('data/secret')")
    (data / "tmp").write_text("S2")
    os.replace(data / "tmp", data / "secret")
    (data / "later").write_text("S3")
    refused(worker, "open('data/secret')")
    refused(worker, "open('data/later')")
    worker.begin(rights)
    refused(worker, "open('data/secret')")
    refused(worker, "open('data/later')")
    (data / "seen").write_text("N")
    worker.begin(rights)
    assert worker.value("open('data/seen').read()") == "N"


def test_a_denied_pattern_holds_at_every_depth(world: World, start: Start, level: Level) -> None:
    (world.nb / "d" / "e").mkdir(parents=True)
    for name in ("d/a.key", "d/a.txt", "d/e/b.key", "d/e/b.txt"):
        (world.nb / name).write_text(name)
    worker = start(world.files('path = "d"\nmode = "read"\ndeny = ["d/**/*.key"]'), level)
    assert worker.value("[open(n).read() for n in ('d/a.txt', 'd/e/b.txt')]") == [
        "d/a.txt",
        "d/e/b.txt",
    ]
    refused(worker, "open('d/a.key')")
    refused(worker, "open('d/e/b.key')")


def test_many_denied_paths_of_which_some_are_missing(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "real").mkdir()
    (world.nb / "link").symlink_to("real")
    (world.nb / "dangling").symlink_to("nowhere")
    (world.nb / "ok").write_text("OK")
    deny = [f"missing/x{n}" for n in range(150)] + ["link", "dangling", "link/deep/y"]
    worker = start(world.files(f'path = "."\nmode = "read"\ndeny = {deny}'), level)
    assert worker.value("open('ok').read()") == "OK"


def test_a_write_grant_with_a_denied_folder(world: World, start: Start, level: Level) -> None:
    (world.nb / "proj" / "secrets").mkdir(parents=True)
    (world.nb / "proj" / "ok.txt").write_text("ok")
    (world.nb / "proj" / "secrets" / "k").write_text("CANARY")
    rights = world.files('path = "proj"\nmode = "write"\ndeny = ["proj/secrets"]')
    worker = start(rights, level)
    worker.begin(rights)
    assert worker.value("open('proj/ok.txt').read()") == "ok"
    refused(worker, "open('proj/secrets/k')")
    worker.run("open('proj/new.txt', 'w').write('n')")
    assert worker.value("open('proj/new.txt').read()") == "n"
    worker.run(
        "try: os.rename('proj/secrets', 'proj/s2')\nexcept OSError as error: it = str(error)"
    )
    refused(worker, "open('proj/s2/k')")
    worker.end()
    assert (world.nb / "proj" / "new.txt").read_text() == "n"
    assert (world.nb / "proj" / "secrets" / "k").read_text() == "CANARY"
    assert sorted(os.listdir(world.nb / "proj")) == ["new.txt", "ok.txt", "secrets"]
