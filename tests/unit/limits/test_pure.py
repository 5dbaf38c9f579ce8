"""Decisions about limits: which is exceeded, when to look again, when to kill, what to say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sandbox_kernel.policy.problems import Origin
from sandbox_kernel.policy.rights import Limit
from sandbox_kernel.policy.units import Count, Duration, Size
from sandbox_kernel.shared.errors import Denied
from sandbox_kernel.trusted.limits import cgroup, walls, wording
from sandbox_kernel.trusted.limits.change import changed
from sandbox_kernel.trusted.limits.escalation import Escalation
from sandbox_kernel.trusted.limits.sampling import Sample
from sandbox_kernel.trusted.limits.slack import beyond, margin
from sandbox_kernel.trusted.limits.table import BY_NAME
from sandbox_kernel.trusted.limits.verdict import Reached, exceeded, next_look
from sandbox_kernel.trusted.output_tail import KEPT, OutputTail
from sandbox_kernel.trusted.snapshot_rules import Pace, Rule

HERE = Origin("class.toml", 12)


def limit(name: str, text: object, most: object = None) -> Limit:
    unit = BY_NAME[name].unit if name in BY_NAME else Count
    return Limit(name, unit.parse(text), unit.parse(text if most is None else most), HERE)


LIMITS = {
    "wall_time": limit("wall_time", "2 s"),
    "cpu_time": limit("cpu_time", "3 s"),
    "memory": limit("memory", "100 MB"),
    "threads": limit("threads", 10),
    "open_files": limit("open_files", 50),
}
BEGIN = Sample(clock=10.0, cpu=1.0, memory=20_000_000, threads=2)


@pytest.mark.parametrize(
    ("now", "name"),
    [
        (Sample(clock=11.9, cpu=3.9, memory=99_000_000, threads=10), None),
        (Sample(clock=12.1, cpu=1.0), "wall_time"),
        (Sample(clock=13.0, waited=1.5, cpu=1.0), None),
        (Sample(clock=11.0, cpu=4.1), "cpu_time"),
        (Sample(clock=11.0, cpu=1.0, memory=100_000_001), "memory"),
        (Sample(clock=11.0, cpu=1.0, threads=11), "threads"),
        (Sample(clock=11.0, cpu=1.0, meters={"open_files": 51}), None),
    ],
)
def test_which_limit_is_exceeded(now: Sample, name: str | None) -> None:
    found = exceeded(now, BEGIN, LIMITS, {}, {})
    assert (found.kind.name if found else None) == name


def test_what_was_left_behind_may_not_grow_but_may_stay() -> None:
    full = Sample(clock=10.0, memory=102_000_000)
    same = Sample(clock=10.1, memory=102_000_000)
    cleaning = Sample(clock=10.1, memory=full.memory + 2 * margin(LIMITS["memory"].value))
    more = Sample(clock=10.1, memory=cleaning.memory + 1)
    assert exceeded(cleaning, full, LIMITS, {}, {}) is None
    assert exceeded(same, full, LIMITS, {}, {}) is None
    most = LIMITS["memory"].value + beyond(LIMITS["memory"].value)
    fuller = Sample(clock=10.0, memory=int(most) - 1_000_000)
    more_of_it = Sample(clock=10.1, memory=int(most) + 1_000_000)
    assert exceeded(fuller, fuller, LIMITS, {}, {}) is None
    assert exceeded(more_of_it, fuller, LIMITS, {}, {}) is not None
    assert exceeded(more, full, LIMITS, {}, {}) is not None
    flooded = Sample(clock=10.0, memory=200_000_000)
    assert exceeded(flooded, flooded, LIMITS, {}, {}) is not None


def test_totals_of_a_session_include_earlier_cells() -> None:
    now = Sample(clock=10.5, cpu=2.0)
    session = {"cpu_time": limit("cpu_time", "5 s")}
    assert exceeded(now, BEGIN, {}, {"cpu_time": 3.9}, session) is None
    found = exceeded(now, BEGIN, {}, {"cpu_time": 4.1}, session)
    assert found is not None
    assert found.scope == "the session"


def test_memory_far_beyond_its_limit_is_not_waited_for() -> None:
    allowed = LIMITS["memory"]
    large = limit("memory", "10 GB")
    for each, more in ((allowed, 24e6), (large, 0.03 * large.value)):
        near = Reached(BY_NAME["memory"], each.value + more * 0.99, each)
        far = Reached(BY_NAME["memory"], each.value + more * 1.01, each)
        assert not near.at_once
        assert far.at_once
        assert not replace(far, bar=each.value + more).at_once
    assert not Reached(BY_NAME["wall_time"], 1e9, LIMITS["wall_time"]).at_once


def test_a_time_limit_is_met_exactly_and_fast_growth_is_looked_at_more_often() -> None:
    close = Sample(clock=11.99, cpu=1.0)
    times = {name: LIMITS[name] for name in ("wall_time", "cpu_time")}
    assert next_look(close, BEGIN, times, 0.025) == pytest.approx(0.0105)
    roomy = {"memory": limit("memory", "10 GB")}
    slow = next_look(Sample(11.0, memory=10**9), BEGIN, roomy, 0.025, Sample(10.9, memory=10**9))
    fast = next_look(
        Sample(11.0, memory=9 * 10**9), BEGIN, roomy, 0.025, Sample(10.9, memory=10**9)
    )
    assert slow == 0.025
    assert fast < 0.01


def test_a_breach_is_told_once_and_ends_after_the_grace() -> None:
    state = Escalation()
    reached = Reached(BY_NAME["wall_time"], 3.0, LIMITS["wall_time"])
    assert state.ends_at(2.0) is None
    assert state.reach(reached, 5.0)
    assert not state.reach(reached, 5.1)
    assert state.ends_at(2.0) == 7.0


def test_two_interrupts_close_together_begin_the_grace() -> None:
    state = Escalation()
    assert not state.interrupt(1.0, 2.0)
    assert state.interrupt(2.0, 2.0)
    assert state.ends_at(2.0) == 4.0
    patient = Escalation()
    assert not patient.interrupt(1.0, 2.0)
    assert not patient.interrupt(60.0, 2.0)


def test_texts_name_limit_use_allowance_origin_state_and_remedy() -> None:
    allowed = limit("memory", "300 MB", "2 GB")
    text = wording.interrupted("memory", Size, 312_500_000, allowed, "a cell")
    for part in ("memory", "312 MB used", "300 MB allowed", "class.toml:12", "kept", '"600 MB"'):
        assert part in text
    none_left = wording.interrupted("memory", Size, 1, limit("memory", "300 MB"), "a cell")
    assert "limits.max has 300 MB" in none_left
    killed = wording.killed("memory", Size, 1, allowed, "a cell", 2.0)
    assert "grace of 2 s" in killed
    assert "kept" not in killed  # That is known only when the copy has taken over.


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        (Duration, 0.25, "250 ms"),
        (Duration, 3.02, "3.02 s"),
        (Duration, 750, "12.5 min"),
        (Duration, math.inf, "unlimited"),
        (Size, 999, "999 B"),
        (Size, 3_100_000, "3.1 MB"),
        (Size, 1_250_000_000, "1.25 GB"),
        (Count, 33, "33"),
    ],
)
def test_amounts_are_written_as_in_a_policy(unit: type, value: float, text: str) -> None:
    assert wording.amount(unit, value) == text


def test_a_live_change_is_bounded_and_changes_nothing_when_refused() -> None:
    limits = {"memory": limit("memory", "1 GB", "2 GB")}
    after = changed(limits, {"memory": "2 GB", "grace": "5 s"}, Origin("control"))
    assert after["memory"].value == 2e9
    assert isinstance(after["grace"].amount, Duration)
    for wrong, said in (
        ({"memory": "3 GB"}, "at most 2 GB"),
        ({"memory": 3}, "no unit"),
        ({"memroy": "1 GB"}, "did you mean 'memory'"),
    ):
        with pytest.raises(Denied, match=said):
            changed(limits, wrong, Origin("control"))
    assert limits["memory"].value == 1e9


def test_the_wall_leaves_room_for_what_is_only_reserved_but_not_for_any_amount() -> None:
    assert walls.slack(50_000_000, 1) == 50_000_000
    assert walls.slack(10**12, 1) < 200_000_000
    assert walls.slack(10**12, 33) - walls.slack(10**12, 1) == 32 * 8_400_000


def test_threads_of_numeric_libraries_follow_the_processors() -> None:
    assert walls.environment({}) == {}
    assert walls.environment({"cpus": limit("cpus", 3)})["OPENBLAS_NUM_THREADS"] == "3"


def test_copies_pause_after_one_that_was_too_dear_and_come_back() -> None:
    rule = Rule("adaptive", 0.1)
    assert rule.wants(1e6, 1e9) == ""
    assert not rule.paid(0.002, 10e6)
    assert rule.paid(0.002, 500e6)
    left_out = 0
    while "budget" in rule.wants(1e6, 1e9):
        left_out += 1
    assert left_out == 4
    assert rule.paid(0.2, 0)
    assert sum("budget" in rule.wants(1e6, 1e9) for _ in range(20)) == 8


def test_copies_are_made_at_once_up_to_a_burst_and_then_at_a_pace() -> None:
    pace = Pace(burst=3, every=0.02)
    for _ in range(3):
        assert pace.wait(100.0) == 0
        pace.spend(100.0)
    assert pace.wait(100.0) == pytest.approx(0.02)
    assert pace.wait(100.021) == 0
    pace.spend(100.021)
    assert 0.018 < pace.wait(100.021) < 0.02
    assert pace.wait(101.0) == 0
    pace.took(0.005)
    assert pace.every == pytest.approx(0.05)
    pace.took(5)
    assert pace.every == 0.25
    pace.took(0)
    assert pace.every == 0.02


def test_modes_of_snapshots() -> None:
    assert "off" in Rule("off").wants(1, 1e9)
    always = Rule("always", 0.0)
    assert not always.paid(10.0, 1e12)
    assert always.wants(1, 1e9) == ""
    assert "no room" in always.wants(0.95e9, 1e9)


def test_the_tail_keeps_the_end_and_says_what_is_missing() -> None:
    tail = OutputTail()
    for number in range(10_000):
        tail.add({"name": "stdout", "text": f"line {number}\n"})
    tail.add({"name": "stderr", "text": "short"})
    tail.add({"name": "elsewhere", "text": "no"})
    shown = dict(tail.take())
    assert shown["stdout"].endswith("line 9999\n")
    assert "characters are not shown" in shown["stdout"]
    assert len(shown["stdout"]) < KEPT + 100
    assert shown["stderr"] == "short"
    assert tail.take() == []


MOUNTS = (
    "30 1 0:5 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "31 1 0:6 / /sys/fs/cgroup/cpu,pids rw - cgroup cgroup rw,cpu,pids\n"
    "32 1 0:7 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)


def test_control_groups_of_both_versions_are_found() -> None:
    found = cgroup.places("4:memory:/user\n3:freezer:/\n0::/scope\n", MOUNTS)
    assert [(p.version, str(p.folder), p.controllers) for p in found] == [
        (1, "/sys/fs/cgroup/memory/user", ("memory",)),
        (2, "/sys/fs/cgroup/unified/scope", ("memory", "pids")),
    ]


def test_the_outer_wall_stands_beyond_the_inner_ones() -> None:
    values = cgroup.values(LIMITS | {"scratch": limit("scratch", "10 MB")})
    assert int(values["memory"]) > 110_000_000
    assert int(values["pids"]) > 10
    assert cgroup.values({}) == {"memory": "-1", "pids": "max"}
