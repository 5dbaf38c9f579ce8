"""Every attack against a live sealed worker, at each level, and its control without the walls.

Run as root and as an ordinary user: what each may do without walls differs.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from sandbox_kernel.trusted.confine.plan import Level

from .outside import Outside
from .workers import Result, run_all

sys.path.insert(0, str(Path(__file__).parent / "inside"))
import attack_files
import attack_kernel
import attack_network
import attack_processes
from attack import ATTACKS, Attack

assert len(ATTACKS) > 66, (attack_files, attack_kernel, attack_network, attack_processes)

Results = dict[str, Result]


def _run(level: Level, *, doors: bool = False) -> Results:
    outside = Outside()
    try:
        names = [
            (name, attack.witness, attack.fresh)
            for name, attack in ATTACKS.items()
            if _fits(attack, level)
        ]
        return asyncio.run(run_all(level, names, outside, doors=doors))
    finally:
        outside.close()


def _fits(attack: Attack, level: Level) -> bool:
    return level is Level.LANGUAGE_ONLY or level.value in attack.levels


@pytest.fixture(scope="module")
def full() -> Results:
    """What came of the attacks at `full`."""
    return _run(Level.FULL)


@pytest.fixture(scope="module")
def no_namespaces() -> Results:
    """What came of them at `no-namespaces`, with a neighbour whose scratch is on the host."""
    return _run(Level.NO_NAMESPACES)


@pytest.fixture(scope="module")
def full_with_doors() -> Results:
    """At `full`, with a kernel's doors and a policy that grants nothing."""
    return _run(Level.FULL, doors=True)


@pytest.fixture(scope="module")
def no_namespaces_with_doors() -> Results:
    """The same at `no-namespaces`."""
    return _run(Level.NO_NAMESPACES, doors=True)


@pytest.fixture(scope="module")
def without_walls() -> Results:
    """The controls."""
    return _run(Level.LANGUAGE_ONLY)


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_fails_at_full(name: str, full: Results) -> None:
    if name not in full:
        pytest.skip("not a wall of this level")
    assert not full[name].through, full[name].how


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_fails_without_namespaces(name: str, no_namespaces: Results) -> None:
    if name not in no_namespaces:
        pytest.skip("a gap of this level that the documents name")
    assert not no_namespaces[name].through, no_namespaces[name].how


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_fails_at_full_with_doors(name: str, full_with_doors: Results) -> None:
    test_attack_fails_at_full(name, full_with_doors)


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_fails_without_namespaces_with_doors(
    name: str, no_namespaces_with_doors: Results
) -> None:
    test_attack_fails_without_namespaces(name, no_namespaces_with_doors)


@pytest.mark.parametrize("name", [n for n, attack in ATTACKS.items() if not attack.no_control])
def test_the_same_attack_succeeds_without_walls(name: str, without_walls: Results) -> None:
    if ATTACKS[name].root and os.getuid() != 0:
        pytest.skip("takes uid 0 without walls, too")
    if without_walls[name].absent:
        pytest.skip(f"this kernel lacks {without_walls[name].how}")
    assert without_walls[name].through, without_walls[name].how
