"""Who is ended for what they hold: holders at once, who may only be slow to read after a while."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from sandbox_kernel.trusted.doors import holders
from sandbox_kernel.trusted.doors.holders import DELIVERIES, IN_FLIGHT, Holders, end_holders

HOLDS = "a directory descriptor"


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A worker and a child of it, for the search."""
    processes = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    pids = [process.pid for process in processes]
    monkeypatch.setattr(holders, "processes", lambda worker: pids)
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def looks(*answers: dict[int, str]):
    """A search that finds these, one after another, and then nothing."""
    left = list(answers)

    def look(pids: list[int]) -> Holders:
        return Holders(dict(left.pop(0)) if left else {})

    return look


def ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        return process.wait(0.2) == -9
    except subprocess.TimeoutExpired:
        return False


def test_who_only_has_not_read_yet_outlives_a_holder_beside_it(two) -> None:
    worker, child = two
    found = end_holders(worker.pid, looks({worker.pid: IN_FLIGHT, child.pid: HOLDS}))
    assert found.dangerous == {child.pid: HOLDS}
    assert ended(child)
    assert not ended(worker)


def test_who_receives_it_meanwhile_is_a_holder(two) -> None:
    worker, child = two
    found = end_holders(worker.pid, looks({worker.pid: IN_FLIGHT}, {worker.pid: HOLDS}))
    assert found.dangerous == {worker.pid: HOLDS}
    assert ended(worker)
    assert not ended(child)


def test_what_is_on_its_way_for_good_ends_its_holder(two) -> None:
    worker, _ = two
    always = [{worker.pid: IN_FLIGHT}] * (DELIVERIES + 1)
    assert end_holders(worker.pid, looks(*always)).dangerous == {worker.pid: IN_FLIGHT}
    assert ended(worker)


def test_control_one_look_less_and_it_lives(two) -> None:
    worker, _ = two
    almost = [{worker.pid: IN_FLIGHT}] * DELIVERIES
    assert end_holders(worker.pid, looks(*almost)).dangerous == {}
    assert not ended(worker)
