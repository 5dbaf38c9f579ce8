"""What a cell stages and says at its end: holes, floods of names, words in names, reply metadata.

Controls: what the cell made is there for itself, an honest file arrives, honest metadata is passed
on; tests/unit/doors/test_staged_bounds.py shows what comes of a hole without the bound.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox_kernel.jupyter.control_client import ControlClient
from tests.features.kernel.conftest import Kernel, started
from tests.features.kernel.test_forged_frames import TAKE_OVER

POLICY = """
version = 1
extends = "default"
language = "full"
[[given.files]]
path = "out"
mode = "create"
reason = "of the test"
[[given.files]]
path = "few"
mode = "create"
max_count = 1
reason = "of the test"
"""


@pytest.fixture(scope="module", params=[None, "no-namespaces"])
def kernel(request, tmp_path_factory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("staged")
    for name in ("out", "few"):
        (folder / name).mkdir()
    made = started(folder, level=request.param, policy=POLICY)
    yield made
    made.client.stop_channels()
    made.manager.shutdown_kernel(now=True)


def test_a_hole_costs_neither_the_host_s_disk_nor_the_supervisor_s_time(kernel):
    ran = kernel.run(
        "import os\n"
        "with open('out/hole', 'wb') as file: file.truncate(200 * 10**9)\n"
        "with open('out/honest', 'wb') as file: file.write(b'x' * 1000)\n"
        "print(os.stat('out/hole').st_size)"
    )
    assert ran.text() == "200000000000\n", ran.error
    assert "hole was not written" in ran.text("stderr")
    assert not (kernel.folder / "out" / "hole").exists()
    assert (kernel.folder / "out" / "honest").stat().st_size == 1000


def test_a_flood_of_names_does_not_reach_the_front_end(kernel):
    ran = kernel.run(
        "import os\n"
        "for n in range(2000): open(f'few/{n:04}' + 'x' * 200, 'w').close()\n"
        "print(len(os.listdir('few')))"
    )
    assert int(ran.text()) >= 2000, ran.error
    told = ran.text("stderr").splitlines()
    assert 0 < len(told) <= 60
    assert any("more files were not written" in line for line in told)
    with ControlClient(kernel.manager.connection_file) as client:
        assert len(str(client.status())) < 100_000
    assert len(list((kernel.folder / "few").iterdir())) == 1


def test_a_name_does_not_put_words_into_the_supervisor_s_mouth(kernel):
    ran = kernel.run(
        "for n in range(3):\n"
        "    open(f'few/{n}\\nsandbox: all of it was written\\x1b[2K\\u202e', 'w').close()"
    )
    told = ran.text("stderr")
    assert "was not written" in told
    assert not [line for line in told.splitlines() if line.startswith("sandbox: all of it")]
    assert "\x1b" not in told
    assert "\u202e" not in told


def test_reply_metadata_carries_nothing_of_the_cell_s(kernel):
    say = TAKE_OVER + "say(say='reply', to=me, content={'status': 'ok'}, metadata=%r)"
    forged = {"started": "2026-01-01T00:00:00+00:00", "status": "aborted", "more": "x" * 1000}
    ran = kernel.run(say % (forged,))
    assert ran.reply["metadata"] == {
        "started": forged["started"]
    }  # The control: this is passed on.
    for started_at in ("<script>", "1" * 10_000, 7, {"a": 1}, "2026\u202e"):
        ran = kernel.run(say % ({"started": started_at},))
        assert "started" not in ran.reply["metadata"]
