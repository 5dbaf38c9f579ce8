"""From what the machine can do and what the policy wants to a level and a complete plan. Pure.

The levels, best first, and what each needs:

| level | needs | what it keeps |
|---|---|---|
| full | namespaces; seccomp | what is not granted does not exist; the network is empty |
| no-namespaces | Landlock; seccomp, listener | paths refused by Landlock and the door |
| landlock-only | Landlock; seccomp | the same, `stat` sees paths, no grant can be made |
| language-only | nothing | nothing: for tests |

At `full`, a missing Landlock or listener is named in `missing`: the second layer behind the mounts
is gone, or sockets cannot be granted; the first layer holds.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...shared.errors import ConfinementFailed
from .filters import seccomp_program
from .level import Level as Level
from .places import MACHINE_FILES, SCRATCH
from .syscall_numbers import TABLES


@dataclass(frozen=True)
class Facts:
    """What was found by doing it. `why` holds, per missing layer, what the kernel answered."""

    machine: str
    namespaces: bool
    landlock_abi: int
    seccomp: bool
    listener: bool
    own_proc: bool = True
    why: Mapping[str, str] = field(default_factory=dict)


#: What to change on the host, per missing layer.
REMEDIES: Mapping[str, str] = {
    "namespaces": (
        "allow unprivileged user namespaces: in a container run with a seccomp profile that permits"
        " unshare (Docker: --security-opt seccomp=..., Kubernetes: seccompProfile Unconfined or"
        " hostUsers: false); on Ubuntu 23.10 and later sysctl"
        " kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile with userns; on"
        " older systems sysctl user.max_user_namespaces=15000"
    ),
    "landlock": (
        "use Linux 5.13 or later with Landlock in the list of active security modules (boot"
        " parameter lsm=landlock,...), and a container runtime whose seccomp profile lets"
        " landlock_create_ruleset through"
    ),
    "seccomp": "use a kernel with CONFIG_SECCOMP_FILTER",
    "listener": (
        "run outside a container whose runtime already holds the seccomp listener; the kernel"
        " allows one in a tree of filters (Linux 5.0 or later)"
    ),
    "machine": "use a 64-bit x86 or ARM machine: the system call tables cover these",
    "own_proc": (
        "a container runtime masks parts of /proc; synthesised files stand in for it (Docker:"
        " --security-opt systempaths=unconfined gives a whole one)"
    ),
}


def reachable(facts: Facts) -> Level:
    """The best level that a machine with these facts can give."""
    if facts.machine not in TABLES or not facts.seccomp:
        return Level.LANGUAGE_ONLY
    if facts.namespaces:
        return Level.FULL
    if not facts.landlock_abi:
        return Level.LANGUAGE_ONLY
    return Level.NO_NAMESPACES if facts.listener else Level.LANDLOCK_ONLY


def missing(facts: Facts) -> tuple[str, ...]:
    """The layers that this machine lacks, in the order of the table."""
    present = {
        "machine": facts.machine in TABLES,
        "namespaces": facts.namespaces,
        "landlock": facts.landlock_abi > 0,
        "seccomp": facts.seccomp,
        "listener": facts.listener,
        "own_proc": facts.own_proc or not facts.namespaces,
    }
    return tuple(layer for layer, there in present.items() if not there)


def choose(facts: Facts, least: Level, forced: Level | None = None) -> Level:
    """The level to run at. `forced` is for tests: it may go below what the machine could do.

    Raises ConfinementFailed, naming what is missing and how to get it, when `least` (or `forced`)
    is out of reach.
    """
    best = reachable(facts)
    if forced is not None:
        if forced > best:
            raise ConfinementFailed(_out_of_reach(facts, forced, best))
        return forced
    if best < least:
        raise ConfinementFailed(_out_of_reach(facts, least, best))
    return best


def _out_of_reach(facts: Facts, wanted: Level, best: Level) -> str:
    lines = [
        f"isolation {wanted.value!r} is the least that is accepted, and this machine gives only"
        f" {best.value!r}. What is missing:"
    ]
    for layer in missing(facts):
        found = facts.why.get(layer)
        lines.append(f"- {layer}{f' ({found})' if found else ''}: {REMEDIES[layer]}")
    lines.append("`sandbox-kernel doctor` probes every layer.")
    return "\n".join(lines)


# --- Landlock (Documentation/userspace-api/landlock.rst) -----------------------------------------

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1, 2, 4, 8, 1 << 14
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 64, 512, 2048
_FILE_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
READ = _READ_FILE | _READ_DIR
#: What an open for reading asks of Landlock, which then walks up to the root: 1 µs and more, half
#: of the whole call. At `full` both are the mounts' to decide: what is not granted is not there,
#: and what is only read is mounted read-only.
LEFT_TO_MOUNTS = _READ_FILE | _TRUNCATE
#: Everything but devices and sockets.
WRITE = ((1 << 16) - 1) & ~(_EXECUTE | _MAKE_CHAR | _MAKE_SOCK | _MAKE_BLOCK)


@dataclass(frozen=True)
class Landlock:
    """A ruleset: what is handled, and which access each path gets (for all below it)."""

    handled_files: int
    handled_net: int
    scoped: int
    rules: tuple[tuple[str, int], ...]


def landlock(
    abi: int, rules: Iterable[tuple[str, int]], *, spawn: bool, left: int = 0
) -> Landlock | None:
    """The ruleset for `rules`, with what this ABI knows; None for a kernel without Landlock.

    `left`: accesses that it has no say in.
    """
    if abi < 1:
        return None
    known = _FILE_RIGHTS_BY_ABI[max(known for known in _FILE_RIGHTS_BY_ABI if known <= abi)]
    handled = known & ~left
    execute = _EXECUTE if spawn else 0
    granted = tuple((path, (access | execute) & handled) for path, access in rules)
    return Landlock(handled, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0, granted)


def landlock_rules_full(writable_points: Iterable[str]) -> list[tuple[str, int]]:
    """`/` read-only, write on the scratch and above the places that may become writable.

    A rule on a mount point is hidden by what is mounted there, so the rule stands on its parent;
    what else is below the parent is kept by read-only mounts.
    """
    rules = [("/", READ), (SCRATCH, WRITE | READ | _MAKE_SOCK), ("/dev/shm", WRITE | READ)]
    rules += [(f"/dev/{name}", _WRITE_FILE | _READ_FILE) for name in ("null", "zero", "full")]
    rules += [(os.path.dirname(point), WRITE | READ) for point in sorted(writable_points)]
    return rules


def landlock_rules_static(
    trees: Iterable[str], listed: Iterable[str], scratch: str, *, asks: bool
) -> list[tuple[str, int]]:
    """Read-only trees and files, write in the scratch; for the levels without a mount namespace.

    Of `listed` directories the names may be read, and no file. `asks`: there is a door, which
    serves copies of what libraries read of the machine and of their own process.
    """
    rules = [(tree, READ) for tree in trees]
    rules += [(directory, _READ_DIR) for directory in listed]
    rules += [(f"/dev/{name}", _READ_FILE) for name in ("random", "urandom")]
    rules += [(f"/dev/{name}", _WRITE_FILE | _READ_FILE) for name in ("null", "zero", "full")]
    if not asks:
        rules += [(path, _READ_FILE) for path in MACHINE_FILES]
        # This process alone; but below it lie the host's network and mounts, too.
        rules.append(("/proc/self", READ))
    rules.append((scratch, WRITE | READ | _MAKE_SOCK))
    return rules


# --- what the worker gets when it seals --------------------------------------------------------


@dataclass(frozen=True)
class SealPlan:
    """What the worker applies to itself; the wire form is `message()`."""

    level: Level
    landlock: Landlock | None
    seccomp: bytes | None
    listener: bool
    rlimits: Mapping[str, tuple[int, int]]

    def message(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "level": self.level.value,
            "landlock": None
            if self.landlock is None
            else {
                "files": self.landlock.handled_files,
                "net": self.landlock.handled_net,
                "scoped": self.landlock.scoped,
                "rules": [list(rule) for rule in self.landlock.rules],
            },
            "seccomp": None if self.seccomp is None else self.seccomp.hex(),
            "listener": self.listener,
            "rlimits": {name: list(pair) for name, pair in self.rlimits.items()},
        }


def seal_plan(
    level: Level,
    facts: Facts,
    *,
    trees: Iterable[str],
    listed: Iterable[str],
    scratch: str,
    writable_points: Iterable[str],
    rlimits: Mapping[str, tuple[int, int]],
    spawn: bool,
) -> SealPlan:
    """The plan for a level that `choose` gave. `trees` and `scratch` count without mounts only."""
    if level is Level.LANGUAGE_ONLY:
        return SealPlan(level, None, None, False, rlimits)
    listener = facts.listener and level is not Level.LANDLOCK_ONLY
    if level is Level.FULL:
        rules = landlock_rules_full(writable_points)
    else:
        rules = landlock_rules_static(trees, listed, scratch, asks=listener)
    program = seccomp_program(
        level,
        facts.machine,
        listener=listener,
        spawn=spawn,
        scoped_signals=facts.landlock_abi >= 6,
        truncation_mediated=facts.landlock_abi >= 3,
    )
    left = LEFT_TO_MOUNTS if level is Level.FULL else 0
    ruleset = landlock(facts.landlock_abi, rules, spawn=spawn, left=left)
    return SealPlan(level, ruleset, program, listener, rlimits)
