"""What an attack is, and the table that the modules beside this one fill.

An attack is a function of a `Target`. It returns when it got what it wanted (a short text or None)
and raises when it was stopped. Where something outside shows whether it got through, `witness`
names it, and that decides instead of the attack's own word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What lies outside and must not be reached. Paths are the host's."""

    canary: str
    secret: str
    folder: str
    outside_pid: int
    port: int
    udp_port: int
    path_socket: str
    datagram_socket: str
    abstract_socket: str
    connection_file: str
    other_scratch: str
    read_only_root: str
    package: str
    trusted: str


@dataclass(frozen=True)
class Attack:
    """One attack.

    `fresh`: in a worker that has done nothing before. `root`: without the wall it takes
    uid 0, so that its control is tried as root alone. `no_control`: why no control can exist.
    `levels`: where it must fail; a gap that is documented at a level is left out there.
    """

    run: Callable[[Target], str | None]
    witness: str = ""
    fresh: bool = False
    root: bool = False
    no_control: str = ""
    levels: tuple[str, ...] = ("full", "no-namespaces")


ATTACKS: dict[str, Attack] = {}

Function = Callable[[Target], "str | None"]


def attack(
    witness: str = "",
    *,
    fresh: bool = False,
    root: bool = False,
    no_control: str = "",
    levels: tuple[str, ...] = ("full", "no-namespaces"),
) -> Callable[[Function], Function]:
    """Enter a function into the table under its own name."""

    def enter(function: Function) -> Function:
        name = function.__name__
        assert name not in ATTACKS, name
        ATTACKS[name] = Attack(function, witness, fresh, root, no_control, levels)
        return function

    return enter
