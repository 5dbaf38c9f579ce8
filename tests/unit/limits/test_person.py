"""All kernels of one person together: places, sums, and who is stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_kernel.policy.problems import Origin
from sandbox_kernel.policy.rights import Limit
from sandbox_kernel.policy.units import Count, Size
from sandbox_kernel.shared.errors import KernelFault
from sandbox_kernel.trusted.limits import wording
from sandbox_kernel.trusted.limits.person import PersonsKernels, TooManyKernels, file_name, joined
from sandbox_kernel.trusted.limits.sampling import Sample
from sandbox_kernel.trusted.limits.usage import together
from sandbox_kernel.trusted.limits.verdict import ALL_KERNELS, exceeded, next_look
from sandbox_kernel.trusted.limits.walls import processors

HERE = Origin("class.toml", 12)
TWO = Limit("kernels", Count.parse(2), Count.parse(2), HERE)
#: Another kernel of the person's: takes a place, says what it uses, waits for its input to end.
OTHER = """
import sys
from sandbox_kernel.trusted.limits.person import PersonsKernels
from sandbox_kernel.trusted.limits.sampling import Sample
kernels = PersonsKernels(sys.argv[1])
kernels.claim(None)
kernels.publish(Sample(clock=0.0, memory=int(sys.argv[2]), threads=3, children=1))
print(kernels.place, flush=True)
sys.stdin.read()
"""


class Others:
    """Processes that hold places."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.running: list[subprocess.Popen[str]] = []

    def start(self, memory: int = 0) -> int:
        words = [sys.executable, "-c", OTHER, self.path, str(memory)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)
        self.running.append(process)
        assert process.stdout is not None
        return int(process.stdout.readline())

    def kill(self, number: int) -> None:
        self.running[number].kill()
        self.running[number].communicate()


@pytest.fixture
def others(tmp_path: Path) -> Iterator[Others]:
    found = Others(file_name(str(tmp_path)))
    yield found
    for process in found.running:
        process.kill()
        process.communicate()


def test_kernels_take_the_lowest_free_place_and_see_each_other(others: Others) -> None:
    assert [others.start(10), others.start(20)] == [0, 1]
    own = PersonsKernels(others.path)
    own.claim(None)
    assert own.place == 2
    found = own.others()
    assert (found.kernels, found.memory, found.threads, found.processes) == (2, 30, 6, 2)
    own.close()


def test_a_killed_kernel_counts_for_nothing_and_leaves_its_place(others: Others) -> None:
    others.start(10)
    others.start(20)
    others.kill(0)
    own = PersonsKernels(others.path)
    own.claim(TWO)
    assert own.place == 0
    assert own.others().memory == 20
    own.close()


def test_one_kernel_too_many_is_refused_and_says_which_line_and_what_helps(others: Others) -> None:
    others.start()
    others.start()
    own = PersonsKernels(others.path)
    with pytest.raises(TooManyKernels, match=r"2 of yours .* class.toml:12, limits.person.*Shut"):
        own.claim(TWO)
    assert own.place == -1
    others.kill(1)
    own.claim(TWO)
    own.close()


def test_a_kernel_that_ends_gives_its_place_up(others: Others) -> None:
    own = PersonsKernels(others.path)
    own.claim(None)
    own.close()
    assert others.start() == 0


def test_a_recycled_process_id_is_nobody(others: Others) -> None:
    others.start(10)
    with open(others.path, "r+b") as file:
        record = bytearray(file.read())
        record[8] ^= 1  # Another start time: another process of that number.
        file.seek(0)
        file.write(record)
    own = PersonsKernels(others.path)
    own.claim(None)
    assert (own.place, own.others().kernels) == (0, 0)
    own.close()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_of_the_persons_is_refused(tmp_path: Path, kind: str) -> None:
    path = Path(file_name(str(tmp_path)))
    if kind == "link":
        (tmp_path / "target").write_bytes(b"")
        path.symlink_to(tmp_path / "target")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(KernelFault, match="cannot be held"):
        joined(str(tmp_path), {"kernels": TWO})
    kernels, why = joined(str(tmp_path), {})
    assert kernels is None
    assert "not counted" in why


GIGABYTE = Limit("memory", Size.parse("1 GB"), Size.parse("1 GB"), HERE)


@pytest.mark.parametrize(
    ("before", "now", "others", "stopped"),
    [
        (100, 300, 600, False),
        (100, 500, 600, True),
        (500, 500, 600, False),  # The others have grown: they are stopped.
        (500, 400, 700, False),  # It cleans up.
        (500, 501, 600, True),
    ],
)
def test_the_cell_that_adds_to_the_sum_is_stopped(
    before: int, now: int, others: int, stopped: bool
) -> None:
    begin = Sample(clock=1.0, memory=before * 10**6)
    sample = Sample(clock=2.0, memory=now * 10**6, others={"memory": others * 1e6})
    found = exceeded(sample, begin, {}, {}, {}, {"memory": GIGABYTE})
    assert (found is not None) is stopped
    if found is not None:
        assert found.scope == ALL_KERNELS
        assert found.used == (now + others) * 1e6
        text = wording.interrupted("memory", Size, found.used, found.limit, found.scope)
        assert "1 GB allowed for all your kernels together (policy class.toml:12)" in text
        assert "Shut down a kernel" in text


def test_the_closer_the_sum_the_sooner_the_next_look() -> None:
    begin = last = Sample(clock=1.0, memory=0, others={"memory": 9e8})
    now = Sample(clock=1.025, memory=50_000_000, others={"memory": 9e8})
    alone = next_look(now, begin, {}, 0.025, last)
    assert next_look(now, begin, {}, 0.025, last, {"memory": GIGABYTE}) < alone


def test_use_and_limits_stand_side_by_side() -> None:
    sample = Sample(clock=1.0, memory=100, others={"memory": 50.0, "kernels": 1.0})
    rows = together({"memory": GIGABYTE, "kernels": TWO}, sample)
    assert rows["memory"]["used"] == 150
    assert (rows["kernels"]["used"], rows["kernels"]["allowed"]) == (2, 2)


def cpus(number: int) -> dict[str, Limit]:
    return {"cpus": Limit("cpus", Count.parse(number), Count.parse(number), HERE)}


def test_kernels_and_people_begin_at_different_processors() -> None:
    four = range(4)
    assert processors(four, {}, {}, 0, 1000) is None
    assert processors(four, cpus(4), {}, 0, 1000) is None
    assert [processors(four, cpus(1), {}, place, 0) for place in range(5)] == [
        {0}, {1}, {2}, {3}, {0},
    ]  # fmt: skip
    ours = [processors(four, cpus(2), cpus(2), place, 1000) for place in range(3)]
    theirs = processors(four, cpus(2), cpus(2), 0, 1001)
    assert ours == [{0, 1}] * 3
    assert theirs == {2, 3}
    assert processors(four, cpus(1), cpus(2), 1, 1001) == {3}
    assert processors([0], cpus(1), cpus(1), 3, 7) is None
