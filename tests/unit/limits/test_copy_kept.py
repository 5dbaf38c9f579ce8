"""When a dormant copy is given up for the memory limit's sake, and when it is to go on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sandbox_kernel.policy.problems import Origin
from sandbox_kernel.policy.rights import Limit
from sandbox_kernel.policy.units import Size
from sandbox_kernel.trusted.limits.monitor import Monitor
from sandbox_kernel.trusted.limits.sampling import Sample

MB = 1_000_000
ALLOWED = Size.parse("600 MB")
LIMITS = {"memory": Limit("memory", ALLOWED, ALLOWED, Origin("policy.toml", 3))}


class Tree:
    """A worker whose copy comes in time."""

    def overdue(self, clock: float) -> bool:
        return False


class Host:
    """Remembers that the copy was given up."""

    def __init__(self) -> None:
        self.dropped = ""

    def drop_copy(self, why: str) -> None:
        self.dropped = why


@pytest.mark.parametrize(
    ("worker", "began", "running", "kept"),
    [
        (590, 500, True, False),  # Only both together are near the limit.
        (610, 500, True, True),  # A cell that is told, and ends within the grace.
        (610, 609, True, False),  # What an earlier cell left, which may be for long.
        (700, 500, True, True),  # To be killed at once,
        (700, 500, False, True),  # also between two cells.
        (610, 500, False, False),  # Nobody is told there.
        (610, 610, False, False),
    ],
)
def test_a_copy_is_kept_only_by_a_worker_that_is_about_to_end(
    monkeypatch: pytest.MonkeyPatch, worker: int, began: int, running: bool, kept: bool
) -> None:
    host: Any = Host()
    tree: Any = Tree()

    async def run() -> Sample:
        monitor = Monitor(host, LIMITS)
        monitor.tree = tree
        begin = Sample(0.0, memory=began * MB)
        monitor._begin = begin if running else None
        both = Sample(1.0, memory=(worker + 300) * MB, own=worker * MB, copy=300 * MB)
        alone = replace(both, memory=worker * MB, copy=0)
        monkeypatch.setattr(monitor, "_look", lambda: alone)
        return monitor.watch_copy(both, begin)

    assert asyncio.run(run()).memory == worker * MB
    assert bool(host.dropped) is not kept
