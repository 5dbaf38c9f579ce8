"""Each layer alone holds what it is there for, with the layer beside it switched off.

The attacks are those whose success is seen outside. What a layer is not there for is named.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from sandbox_kernel.trusted.confine.generation import Generation
from sandbox_kernel.trusted.confine.plan import Level, SealPlan

from .outside import Outside
from .test_escapes import ATTACKS, Results
from .workers import run_all

WITNESSED = {name: attack for name, attack in ATTACKS.items() if attack.witness}
#: Landlock mediates neither attributes nor sockets that have a path or no connection.
NOT_FOR_LANDLOCK = {
    "change_a_mode",
    "change_a_mode_by_a_link",
    "change_a_time",
    "change_the_mode_of_an_installed_file",
    "change_the_time_of_an_installed_file",
    "set_an_attribute_of_an_installed_file",
    "connect_to_a_path_named_socket",
    "send_to_a_path_named_datagram_socket",
    "send_from_a_datagram_pair",
    "send_a_message_from_a_datagram_pair",
    "send_by_udp",
    "connect_by_multipath",
    "take_an_abstract_name_that_others_may_call",
    "read_by_file_handle",
    # A connection that is not made by connect(2).
    "connect_by_fast_open",
    "connect_by_fast_open_message",
}
#: The door looks at the path that was passed a moment before the kernel does. Whom a signal may
#: reach is Landlock's to say: it knows the processes that the worker has started.
NOT_FOR_THE_DOOR = {"race_the_door_with_a_granted_name", "signal_an_outside_process"}


def _without(layer: str, patch: pytest.MonkeyPatch) -> None:
    """Switch a layer off, and with it the self-test, which would find that out."""
    whole = Generation._plan

    def weaker(self: Generation) -> SealPlan:
        plan = whole(self)
        if layer == "landlock":
            return replace(plan, landlock=None)
        return replace(plan, seccomp=None, listener=False)

    async def untried(self: Generation) -> None:
        await self._send_seal({"try": None})
        await self._receive(self._seal)

    patch.setattr(Generation, "_plan", weaker)
    patch.setattr(Generation, "_try_walls", untried)


def _run(level: Level, layer: str, names: set[str]) -> Results:
    attacks = [(name, WITNESSED[name].witness, False) for name in sorted(names)]
    outside = Outside()
    try:
        with pytest.MonkeyPatch.context() as patch:
            _without(layer, patch)
            return asyncio.run(run_all(level, attacks, outside))
    finally:
        outside.close()


def _through(results: Results) -> set[str]:
    return {name for name, result in results.items() if result.through}


def test_namespaces_hold_without_the_filter() -> None:
    assert _through(_run(Level.FULL, "seccomp", set(WITNESSED))) == set()


def test_namespaces_and_the_filter_hold_without_landlock() -> None:
    assert _through(_run(Level.FULL, "landlock", set(WITNESSED))) == set()


def test_the_filter_and_the_door_hold_without_landlock_and_namespaces() -> None:
    names = set(WITNESSED) - NOT_FOR_THE_DOOR
    assert _through(_run(Level.NO_NAMESPACES, "landlock", names)) == set()


def test_the_door_alone_takes_the_workers_descriptors_for_no_other_processes() -> None:
    """The supervisor, too, may have a device open under the number that the worker names."""
    names = {"reopen_a_readable_file_for_writing", "reopen_a_readable_file_by_dev_fd"}
    devices = [os.open(os.devnull, os.O_RDWR) for _ in range(60)]
    try:
        assert _through(_run(Level.NO_NAMESPACES, "landlock", names)) == set()
    finally:
        for device in devices:
            os.close(device)


def test_landlock_holds_alone_what_it_mediates() -> None:
    found = _through(_run(Level.NO_NAMESPACES, "seccomp", set(WITNESSED)))
    assert found <= NOT_FOR_LANDLOCK
    assert "change_a_mode" in found
