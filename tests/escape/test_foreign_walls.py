"""Walls that somebody else put around us, or forgot: the level that is left, or a refusal."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.cli.doctor import report
from sandbox_kernel.shared.errors import ConfinementFailed
from sandbox_kernel.trusted.confine.plan import Level
from sandbox_kernel.trusted.confine.probe import examine

from . import _sys_outer as outer
from .repl import LEVELS, worker_at


def under(setup: Callable[[], object], spec: dict[str, Any]) -> dict[str, Any]:
    """Start a worker in a forked process that has first done `setup`; what became of it."""
    return after(setup, lambda: asyncio.run(_describe(spec)))


def after(setup: Callable[[], object], look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `look` finds in a forked process that has first done `setup`."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        found: dict[str, Any]
        try:
            setup()
            found = look()
        except BaseException as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as report:
        data = report.read()
    os.waitpid(pid, 0)
    return dict(json.loads(data))


async def _describe(spec: dict[str, Any]) -> dict[str, Any]:
    try:
        async with worker_at(spec.pop("level", None), **spec) as worker:
            return {
                "level": worker.generation.level.value,
                "missing": list(worker.generation.missing),
                "maps": await worker.ask("'python' in open('/proc/self/maps').read()"),
                "meminfo": await worker.ask("'MemTotal' in open('/proc/meminfo').read()"),
                "others": await worker.ask("[n for n in os.listdir('/proc') if n.isdigit()]"),
                "fork": await worker.ask("os.fork()"),
            }
    except ConfinementFailed as error:
        return {"refused": str(error)}


def test_without_user_namespaces_the_next_level_is_taken() -> None:
    found = under(outer.forbid_namespaces, {})
    assert found["level"] == "no-namespaces"
    assert found["missing"] == ["namespaces"]
    assert found["maps"] == found["meminfo"] == "True"


def test_below_the_least_level_nothing_runs_and_the_remedy_is_named() -> None:
    found = under(outer.forbid_namespaces, {"least_level": Level.FULL})
    assert "allow unprivileged user namespaces" in found.get("refused", ""), found
    assert "Operation not permitted" in found.get("refused", ""), found


def test_beside_another_listener_full_works_without_ours() -> None:
    found = under(outer.hold_the_listener, {})
    assert found["level"] == "full"
    assert found["missing"] == ["listener"]
    assert found["fork"] == "PermissionError 1"


def test_beside_another_listener_and_without_namespaces_the_default_refuses() -> None:
    def setup() -> None:
        outer.forbid_namespaces()
        outer.hold_the_listener()

    found = under(setup, {})
    assert "listener" in found.get("refused", ""), found
    assert "landlock-only" in found.get("refused", ""), found
    lower = under(setup, {"least_level": Level.LANDLOCK_ONLY})
    assert lower["level"] == "landlock-only"
    assert lower["fork"] == "PermissionError 1"


@pytest.mark.skipif(os.getuid() != 0, reason="masking /proc takes uid 0")
def test_with_a_masked_proc_files_are_served_in_its_place() -> None:
    found = under(outer.mask_part_of_proc, {})
    assert found["level"] == "full"
    assert found["missing"] == ["own_proc"]
    assert found["maps"] == found["meminfo"] == "True"
    assert found["others"] == "[]"


def test_a_wall_that_does_not_hold_is_found_and_nothing_runs(tmp_path: Path) -> None:
    """The canary lies in a folder that, by mistake, every worker may read."""

    def setup() -> None:
        tempfile.tempdir = str(tmp_path)

    for level in LEVELS:
        found = under(setup, {"level": level, "read_roots": (str(tmp_path),)})
        assert "the worker could read a file of the host's" in found.get("refused", ""), found


def _nothing() -> None:
    pass


def _no_namespaces_and_no_listener() -> None:
    outer.forbid_namespaces()
    outer.hold_the_listener()


@pytest.mark.parametrize(
    ("setup", "level", "wanted"),
    [
        (_nothing, "full", []),
        (outer.forbid_namespaces, "no-namespaces", ["user namespaces"]),
        (outer.hold_the_listener, "full", ["notification listener"]),
        (
            _no_namespaces_and_no_listener,
            "landlock-only",
            ["user namespaces", "notification listener"],
        ),
        pytest.param(
            outer.mask_part_of_proc,
            "full",
            ["own /proc"],
            marks=pytest.mark.skipif(os.getuid() != 0, reason="masking /proc takes uid 0"),
        ),
    ],
)
def test_doctor_finds_the_level_and_names_what_to_change(
    setup: Callable[[], object], level: str, wanted: list[str]
) -> None:
    found = after(setup, lambda: report(*examine()))
    assert found.get("level") == level, found
    assert found["enough"] is (level != "landlock-only")
    assert [line.partition(":")[0] for line in found["advice"]] == wanted
