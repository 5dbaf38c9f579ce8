"""The control group of a person: numbers from the policy, real groups where root may make them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_kernel.jupyter.person_group import Overhead, PersonGroup, values
from sandbox_kernel.policy.problems import Origin
from sandbox_kernel.policy.rights import Limit
from sandbox_kernel.policy.units import Count, Size
from sandbox_kernel.trusted.limits.cgroup import places

HERE = Origin("system.toml", 3)
OVERHEAD = Overhead(1 << 30, 200)
FOUR = range(4)


def limits(**texts: object) -> dict[str, Limit]:
    amounts = {n: (Size if n == "memory" else Count).parse(text) for n, text in texts.items()}
    return {name: Limit(name, each, each, HERE) for name, each in amounts.items()}


def test_what_is_not_limited_is_not_held() -> None:
    assert values({}, OVERHEAD, 1000, FOUR) == {}
    assert set(values(limits(kernels=3), OVERHEAD, 1000, FOUR)) == set()
    assert "cpuset" not in values(limits(cpus=4), OVERHEAD, 1000, FOUR)


def test_server_and_supervisors_have_room_beside_the_workers() -> None:
    found = values(limits(kernels=2, memory="1 GB", threads=100), OVERHEAD, 1000, FOUR)
    assert int(found["memory"]) == int(1.1e9) + (1 << 30) + 2 * (120 << 20)
    assert int(found["pids"]) == 100 + 200 + 2 * 16


def test_people_begin_at_different_processors() -> None:
    assert values(limits(cpus=2), OVERHEAD, 1000, FOUR)["cpuset"] == "0,1"
    assert values(limits(cpus=2), OVERHEAD, 1001, FOUR)["cpuset"] == "2,3"


def test_controllers_are_found_where_they_are_mounted() -> None:
    groups = "4:memory:/a\n3:cpuset:/\n0::/u\n"
    mounts = (
        "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "31 25 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    )
    found = places(groups, mounts, ("memory", "cpuset"))
    assert [(str(p.folder), p.controllers) for p in found] == [
        ("/sys/fs/cgroup/memory/a", ("memory",)),
        ("/sys/fs/cgroup/cpuset", ("cpuset",)),
    ]


@pytest.fixture
def group() -> Iterator[PersonGroup]:
    made = PersonGroup(f"sandbox-person-test-{os.getpid()}")
    yield made
    made.remove()


def inside(group: PersonGroup, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the group."""
    return subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=lambda: group.enter(os.getpid()),  # As the spawner does.
        capture_output=True,
        text=True,
    )


FILLS = "kept = bytearray(400_000_000)\nkept[::4096] = b'x' * len(kept[::4096])\nprint('filled')"
FORKS = """
import os, time
made = []
try:
    for _ in range(30):
        pid = os.fork()
        if not pid:
            time.sleep(60)
            os._exit(0)
        made.append(pid)
except OSError:
    pass
for pid in made:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
print(len(made))
"""


def needs(group: PersonGroup, controller: str) -> None:
    if controller not in group.words.partition(";")[0]:
        pytest.skip(group.words)


def test_memory_is_held_for_all_that_runs_in_it(group: PersonGroup) -> None:
    group.build({"memory": "200000000"})
    needs(group, "memory")
    assert inside(group, FILLS).returncode == -9
    group.build({"memory": "900000000"})
    assert inside(group, FILLS).stdout == "filled\n"


def test_tasks_are_held(group: PersonGroup) -> None:
    group.build({"pids": "10"})
    needs(group, "pids")
    assert inside(group, FORKS).stdout == "9\n"
    group.build({"pids": "100"})
    assert inside(group, FORKS).stdout == "30\n"


def test_processors_cannot_be_chosen_beyond_it(group: PersonGroup) -> None:
    own = sorted(os.sched_getaffinity(0))
    if len(own) < 2:
        pytest.skip("one processor")
    group.build({"cpuset": str(own[-1])})
    needs(group, "cpuset")
    undo = f"import os\nos.sched_setaffinity(0, {own})\nprint(sorted(os.sched_getaffinity(0)))"
    assert inside(group, undo).stdout == f"{own[-1:]}\n"


def test_a_machine_that_refuses_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    group = PersonGroup("no/such/folder/can/be/made")
    group.build({"memory": "1", "pids": "1"})
    assert "none for memory, pids (" in group.words
    group.enter(os.getpid())
    group.remove()
    assert not list(Path("/sys/fs/cgroup").glob("*/no"))
