"""The limits that only a door can count: bytes of grants, connections.

That they are counted right is what the doors' own tests show; here the monitor holds them to
numbers that are given to it. So it does with all that it is told to count.
"""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from sandbox_kernel.policy.problems import Origin
from sandbox_kernel.policy.rights import Limit
from sandbox_kernel.trusted.limits import sampling, wording
from sandbox_kernel.trusted.limits.monitor import Monitor
from sandbox_kernel.trusted.limits.sampling import MonitorFailed
from sandbox_kernel.trusted.limits.table import BY_NAME
from sandbox_kernel.trusted.limits.tree import Tree

BY_DOORS = {"written", "read", "connections"}


class Host:
    """Writes down what the monitor wants."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.killed: list[str] = []
        self.event_seen = asyncio.Event()

    def tell_cell(self, limit: str, text: str, used: float, allowed: float) -> None:
        self.told.append((limit, text))
        self.event_seen.set()

    def kill_cell(self, why: str) -> None:
        self.killed.append(why)
        self.event_seen.set()

    def drop_copy(self, why: str) -> None:
        raise AssertionError("there is no copy")

    def looked(self, sample: sampling.Sample) -> None:
        pass

    def event(self, kind: str, body: dict) -> None:
        pass


def limit_of(name: str, value: float) -> Limit:
    unit = BY_NAME[name].unit if name in BY_NAME else BY_NAME["wall_time"].unit
    amount = unit(value, wording.amount(unit, value))
    return Limit(name, amount, amount, Origin("policy.toml", 3))


async def watched(monitor: Monitor, host: Host) -> None:
    async with asyncio.timeout(20):
        await host.event_seen.wait()
    host.event_seen.clear()
    monitor.end_cell()
    monitor.close()


@pytest.fixture
def tree(monkeypatch) -> Tree:
    """A process to look at, whose own limits nobody touches."""
    import os

    from sandbox_kernel.trusted.limits import walls

    monkeypatch.setattr(walls, "apply", lambda *arguments: None)
    return Tree(os.getpid())


@pytest.mark.parametrize("name", sorted(BY_DOORS))
def test_what_the_doors_count_is_held_too(name, tree) -> None:
    async def run() -> Host:
        host = Host()
        monitor = Monitor(host, {name: limit_of(name, 100)})
        number = [50.0]
        monitor.count(name, lambda: number[0])
        monitor.attach(tree)
        monitor.begin_cell()
        number[0] += 101
        await watched(monitor, host)
        return host

    host = asyncio.run(run())
    assert [limit for limit, _ in host.told] == [name]
    assert "policy.toml:3" in host.told[0][1]


def test_a_monitor_that_fails_stops_the_cell(tree, monkeypatch) -> None:
    """Never a zero: what cannot be measured is not free."""

    def broken(self, *arguments, **options) -> sampling.Sample:
        raise MonitorFailed("the sensor is gone")

    async def run() -> Host:
        host = Host()
        monitor = Monitor(host, {"grace": limit_of("grace", 0.05)})
        monitor.attach(tree)
        monitor.begin_cell()
        monkeypatch.setattr(Tree, "sample", broken)
        await watched_twice(monitor, host)
        return host

    async def watched_twice(monitor: Monitor, host: Host) -> None:
        async with asyncio.timeout(20):
            await host.event_seen.wait()
            host.event_seen.clear()
            await host.event_seen.wait()
        monitor.close()

    host = asyncio.run(run())
    assert host.told[0][0] == "monitor"
    assert "the sensor is gone" in host.told[0][1]
    assert host.killed
    assert "the sensor is gone" in host.killed[0]


def test_session_totals_add_up_over_cells(tree) -> None:
    async def run() -> Host:
        host = Host()
        session = {"written": limit_of("written", 100)}
        monitor = Monitor(host, {}, session)
        number = [0.0]
        monitor.count("written", lambda: number[0])
        monitor.attach(tree)
        monitor.begin_cell()
        number[0] += 60
        monitor.end_cell()
        assert not host.told
        monitor.begin_cell()
        number[0] += 60
        await watched(monitor, host)
        return host

    host = asyncio.run(run())
    assert "120 B used, 100 B allowed for the session" in host.told[0][1]


def test_a_limit_that_is_unlimited_never_stops_anything(tree) -> None:
    async def run() -> Host:
        host = Host()
        monitor = Monitor(host, {"read": limit_of("read", math.inf)})
        monitor.count("read", lambda: 1e15 * time.monotonic())
        looked = asyncio.Event()
        host.looked = lambda sample: looked.set()  # type: ignore[method-assign]
        monitor.attach(tree)
        monitor.begin_cell()
        async with asyncio.timeout(20):
            await looked.wait()
        monitor.end_cell()
        monitor.close()
        return host

    assert not asyncio.run(run()).told
