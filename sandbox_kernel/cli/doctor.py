"""Probe what this machine can do to confine a worker, and say what would make it better.

Every line comes from doing the thing: a worker is started at each level and attacks its own walls.
The exit status is 0 when cells can be run at the default policy's least level, else 1.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from ..trusted.confine.plan import REMEDIES, Level
from ..trusted.confine.probe import Found, Trial, examine

LEAST = Level.NO_NAMESPACES
#: Layers that only a sealed worker tries -> how people read their names.
WALLS = {
    "seccomp": "system call filter",
    "landlock": "Landlock",
    "listener": "notification listener",
}
_OTHER_NAMES = {"namespaces": "user namespaces", "own_proc": "own /proc"}


def report(
    trials: Sequence[Trial], layers: dict[str, Found], host: dict[str, str]
) -> dict[str, Any]:
    """What was found, as JSON-able data. Pure."""
    layers = _walls_of(trials) | layers
    level = max((trial.level for trial in trials if trial.works), default=Level.LANGUAGE_ONLY)
    return {
        "level": level.value,
        "enough": level >= LEAST,
        "levels": {t.level.value: {"works": t.works, "detail": t.detail} for t in trials},
        "layers": {n: {"works": f.works, "detail": f.detail} for n, f in layers.items()},
        "host": host,
        "advice": advice(trials, layers),
    }


def _walls_of(trials: Sequence[Trial]) -> dict[str, Found]:
    """The layers that no process can try by itself: workers that ran behind them did. Pure."""
    lacking = {layer for trial in trials for layer in trial.lacks}
    ran = any(trial.works for trial in trials)
    return {
        name: Found(ran and layer not in lacking, "" if ran else "no worker was sealed")
        for layer, name in WALLS.items()
    }


def advice(trials: Sequence[Trial], layers: dict[str, Found]) -> list[str]:
    """What to change on this host to get more, the most useful first. Pure."""
    lines: dict[str, None] = {}
    if not layers["user namespace"].works:
        lines[f"{_name('namespaces')}: {REMEDIES['namespaces']}"] = None
    for trial in trials:
        for layer in trial.lacks:
            lines[f"{_name(layer)}: {REMEDIES[layer]}"] = None
    if layers["user namespace"].works and not layers["staged grants"].works:
        lines["staged grants: use Linux 5.11 or later with overlayfs in user namespaces"] = None
    if layers["user namespace"].works and not layers["grants by mounts"].works:
        lines["grants by mounts: use Linux 5.12 or later (mount_setattr)"] = None
    return list(lines)


def _name(layer: str) -> str:
    return WALLS.get(layer) or _OTHER_NAMES.get(layer, layer)


def text(found: dict[str, Any]) -> str:
    """The report for a person. Pure."""
    lines = [f"Isolation on this machine: {found['level']}"]
    if not found["enough"]:
        lines.append(f"The default policy wants at least {LEAST.value}: no cell would be run.")
    for heading, rows in (
        ("Levels, each tried by a worker that attacks its own walls", found["levels"]),
        ("Layers, each tried by doing it", found["layers"]),
    ):
        lines += ["", heading]
        width = max(map(len, rows))
        for name, row in rows.items():
            detail = row["detail"].splitlines()[0] if row["detail"] else ""
            lines.append(f"  {name.ljust(width)}  {'yes' if row['works'] else 'NO '}  {detail}")
    lines += ["", "Host"]
    width = max(map(len, found["host"]))
    lines += [f"  {name.ljust(width)}  {value}" for name, value in found["host"].items()]
    if found["advice"]:
        lines += ["", "To get more:"]
        lines += [f"- {line}" for line in found["advice"]]
    return "\n".join(line.rstrip() for line in lines)


def main(argv: Sequence[str]) -> int:
    """Entry point of `sandbox-kernel doctor`."""
    parser = argparse.ArgumentParser(prog="sandbox-kernel doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(list(argv))
    found = report(*examine())
    print(json.dumps(found, indent=2) if options.json else text(found))
    return 0 if found["enough"] else 1
