"""What doctor says of what was found."""

from __future__ import annotations

import json

import pytest

from sandbox_kernel.cli.doctor import main, report, text
from sandbox_kernel.trusted.confine.plan import Level
from sandbox_kernel.trusted.confine.probe import PROBES, Found, Trial, probe

LEVELS = (Level.FULL, Level.NO_NAMESPACES, Level.LANDLOCK_ONLY)


def trials(best: Level, lacks: tuple[str, ...] = ()) -> list[Trial]:
    return [
        Trial(level, level <= best, "" if level <= best else "refused", lacks) for level in LEVELS
    ]


def layers(*broken: str) -> dict[str, Found]:
    return {name: Found(name not in broken, "EPERM" if name in broken else "") for name in PROBES}


def test_the_best_level_that_held_is_the_result() -> None:
    for best in LEVELS:
        assert report(trials(best), layers(), {})["level"] == best.value


def test_a_machine_below_the_default_is_not_enough_and_says_so() -> None:
    found = report(trials(Level.LANDLOCK_ONLY), layers("user namespace"), {})
    assert not found["enough"]
    assert "no cell would be run" in text(found | {"host": {"kernel": "x"}})


def test_a_whole_machine_needs_no_advice() -> None:
    assert report(trials(Level.FULL), layers(), {})["advice"] == []


def test_missing_user_namespaces_come_with_a_remedy() -> None:
    found = report(trials(Level.NO_NAMESPACES), layers("user namespace"), {})
    assert any("apparmor_restrict_unprivileged_userns" in line for line in found["advice"])


def test_what_a_level_lacks_comes_with_a_remedy() -> None:
    found = report(trials(Level.FULL, ("landlock",)), layers(), {})
    assert any(line.startswith("Landlock: use Linux 5.13") for line in found["advice"])


def test_what_stands_in_the_way_of_a_level_comes_with_a_remedy() -> None:
    tried = [
        Trial(Level.FULL, False, "lacks namespaces (EPERM)", ("namespaces", "listener")),
        Trial(Level.NO_NAMESPACES, False, "lacks listener (EBUSY)", ("listener",)),
        Trial(Level.LANDLOCK_ONLY, True),
    ]
    found = report(tried, layers("user namespace"), {})
    assert [line.partition(":")[0] for line in found["advice"]] == [
        "user namespaces",
        "notification listener",
    ]
    works = {name: layer["works"] for name, layer in found["layers"].items()}
    assert not works["notification listener"]
    assert works["Landlock"]
    assert works["system call filter"]
    assert "full           NO   lacks namespaces (EPERM)" in text(found | {"host": {"uid": "0"}})


def test_where_no_worker_is_sealed_no_wall_is_said_to_hold() -> None:
    tried = [Trial(level, False, "the walls fell") for level in LEVELS]
    found = report(tried, layers(), {})
    assert not any(found["layers"][name]["works"] for name in ("Landlock", "system call filter"))


def test_a_probe_that_fails_or_dies_is_reported_and_the_others_go_on() -> None:
    import os
    import signal

    def refused() -> None:
        raise PermissionError(1, "not you")

    def dies() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def wrong() -> None:
        raise ValueError("odd")

    found = probe({"a": refused, "b": dies, "c": wrong, "d": lambda: None})
    assert [f.works for f in found.values()] == [False, False, False, True]
    assert "not you" in found["a"].detail
    assert "killed" in found["b"].detail
    assert "odd" in found["c"].detail


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["levels"].keys() == {level.value for level in LEVELS}
    assert (status == 0) is found["enough"]
