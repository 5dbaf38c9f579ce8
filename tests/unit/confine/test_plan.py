"""From facts to a level, by table; and what a plan holds."""

from __future__ import annotations

import pytest

from sandbox_kernel.shared.errors import ConfinementFailed
from sandbox_kernel.trusted.confine.plan import (
    READ,
    WRITE,
    Facts,
    Level,
    choose,
    landlock,
    landlock_rules_full,
    landlock_rules_static,
    missing,
    reachable,
    seal_plan,
)


def facts(**changes: object) -> Facts:
    base: dict[str, object] = {
        "machine": "x86_64",
        "namespaces": True,
        "landlock_abi": 7,
        "seccomp": True,
        "listener": True,
    }
    return Facts(**{**base, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "level", "lacks"),
    [
        ({}, Level.FULL, ()),
        ({"own_proc": False}, Level.FULL, ("own_proc",)),
        ({"landlock_abi": 0}, Level.FULL, ("landlock",)),
        ({"listener": False}, Level.FULL, ("listener",)),
        ({"namespaces": False}, Level.NO_NAMESPACES, ("namespaces",)),
        (
            {"namespaces": False, "listener": False},
            Level.LANDLOCK_ONLY,
            ("namespaces", "listener"),
        ),
        (
            {"namespaces": False, "landlock_abi": 0},
            Level.LANGUAGE_ONLY,
            ("namespaces", "landlock"),
        ),
        ({"seccomp": False}, Level.LANGUAGE_ONLY, ("seccomp",)),
        ({"machine": "riscv64"}, Level.LANGUAGE_ONLY, ("machine",)),
    ],
)
def test_levels_by_facts(changes: dict[str, object], level: Level, lacks: tuple[str, ...]) -> None:
    assert reachable(facts(**changes)) is level
    assert missing(facts(**changes)) == lacks


def test_levels_are_ordered() -> None:
    names = [level.value for level in sorted(Level, reverse=True)]
    assert names == ["full", "no-namespaces", "landlock-only", "language-only"]
    assert Level.FULL >= Level.FULL > Level.LANDLOCK_ONLY
    assert not Level.NO_NAMESPACES >= Level.FULL


def test_a_level_below_the_least_is_refused_with_what_is_missing_and_how_to_get_it() -> None:
    found = facts(namespaces=False, why={"namespaces": "Operation not permitted"})
    with pytest.raises(ConfinementFailed) as refusal:
        choose(found, Level.FULL)
    text = str(refusal.value)
    assert "'full' is the least" in text
    assert "'no-namespaces'" in text
    assert "namespaces (Operation not permitted): allow unprivileged user namespaces" in text
    assert "doctor" in text


def test_a_forced_level_may_go_below_but_not_above_what_there_is() -> None:
    assert choose(facts(), Level.FULL, Level.LANDLOCK_ONLY) is Level.LANDLOCK_ONLY
    with pytest.raises(ConfinementFailed):
        choose(facts(namespaces=False), Level.LANGUAGE_ONLY, Level.FULL)


@pytest.mark.parametrize(
    ("abi", "files", "net", "scoped"),
    [
        (1, (1 << 13) - 1, 0, 0),
        (2, (1 << 14) - 1, 0, 0),
        (3, (1 << 15) - 1, 0, 0),
        (4, (1 << 15) - 1, 3, 0),
        (5, (1 << 16) - 1, 3, 0),
        (6, (1 << 16) - 1, 3, 3),
        (9, (1 << 16) - 1, 3, 3),
    ],
)
def test_a_ruleset_asks_for_no_more_than_the_abi_knows(
    abi: int, files: int, net: int, scoped: int
) -> None:
    ruleset = landlock(abi, [("/x", WRITE | READ)], spawn=False)
    assert ruleset is not None
    assert (ruleset.handled_files, ruleset.handled_net, ruleset.scoped) == (files, net, scoped)
    assert all(access & ~files == 0 for _, access in ruleset.rules)


def test_nothing_may_be_run_unless_processes_are_given() -> None:
    for spawn in (False, True):
        ruleset = landlock(7, [("/usr", READ)], spawn=spawn)
        assert ruleset is not None
        assert bool(ruleset.rules[0][1] & 1) is spawn


def test_at_full_only_scratch_and_the_parents_of_writable_points_may_be_written() -> None:
    rules = dict(landlock_rules_full(["/home/u/nb/out", "/home/u/nb/log"]))
    writable = {path for path, access in rules.items() if access & 256}
    assert writable == {"/sandbox", "/dev/shm", "/home/u/nb"}
    assert rules["/"] == READ


@pytest.mark.parametrize(("level", "handles"), [(Level.FULL, False), (Level.NO_NAMESPACES, True)])
def test_reading_is_left_to_the_mounts_where_there_are_any(level: Level, handles: bool) -> None:
    plan = seal_plan(
        level,
        facts(),
        trees=("/usr/lib",),
        listed=(),
        scratch="/tmp/s",
        writable_points=(),
        rlimits={},
        spawn=False,
    )
    assert plan.landlock is not None
    read_file, write_file, read_directory, truncate = 1 << 2, 1 << 1, 1 << 3, 1 << 14
    assert bool(plan.landlock.handled_files & read_file) is handles
    assert bool(plan.landlock.handled_files & truncate) is handles
    assert plan.landlock.handled_files & write_file
    assert plan.landlock.handled_files & read_directory
    assert all(access for _, access in plan.landlock.rules)  # A rule of nothing is an error.


def test_without_mounts_only_the_scratch_may_be_written() -> None:
    rules = dict(landlock_rules_static(["/usr/lib"], ["/p"], "/tmp/s", asks=True))
    assert {path for path, access in rules.items() if access & 256} == {"/tmp/s"}
    assert "/" not in rules
    assert not [path for path in rules if path.startswith("/proc")]  # A door serves copies.
    assert rules["/p"] & 4 == 0
    assert rules["/p"] & 8


def test_no_device_can_be_made_anywhere_and_a_socket_in_the_scratch_alone() -> None:
    for rules, scratch in (
        (landlock_rules_full(["/a/b"]), "/sandbox"),
        (landlock_rules_static([], [], "/tmp/s", asks=False), "/tmp/s"),
    ):
        assert not any(access & (64 | 2048) for _, access in rules)
        assert [path for path, access in rules if access & 512] == [scratch]


def test_language_only_has_no_walls() -> None:
    plan = seal_plan(
        Level.LANGUAGE_ONLY,
        facts(),
        trees=(),
        listed=(),
        scratch="",
        writable_points=(),
        rlimits={},
        spawn=False,
    )
    assert plan.landlock is None
    assert plan.seccomp is None
