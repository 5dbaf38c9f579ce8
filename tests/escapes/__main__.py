"""Run language attacks: ``python -m tests.escapes FILE --layer language|os|both [--json OUT]``.

Prints a line an attack, and the counts last. An attack counts only when its control wins in plain
CPython. The exit status is 1 when one won that is not a listed gap of the language layer, when a
control did not win, or when an attack could not be played.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.escapes import in_kernel, in_process
from tests.escapes.model import Attack, read_attacks

GAPS = Path(__file__).with_name("known_gaps.json")


def judge(attack: Attack, layer: str, gaps: dict[str, str], controls: bool) -> dict[str, Any]:
    """Play an attack and its control; ``outcome`` is held, won, gap, moot, uncontrolled, broken."""
    control = in_process.play(attack, "control") if controls else {"won": ["not run"]}
    if not control["won"]:
        outcome = "moot" if not attack.wins_unconfined else "uncontrolled"
        return {"id": attack.id, "kind": attack.kind, "outcome": outcome, "control": control}
    how = in_process.play if layer == "language" else in_kernel.play
    result = how(attack, layer)
    outcome = "won" if result["won"] else "held"
    if result.get("broken") or result["ended"].startswith("no result"):
        outcome = "broken"
    if outcome == "won" and layer == "language" and attack.id in gaps:
        outcome = "gap"
    return {"id": attack.id, "kind": attack.kind, "outcome": outcome, "control": control, **result}


def line_of(result: dict[str, Any], gaps: dict[str, str]) -> str:
    """The line that is printed for a result."""
    told = ", ".join(result.get("won", [])) or result.get("ended", result["control"]["ended"])
    if result["outcome"] == "gap":
        told += f" (stopped by: {gaps[result['id']]})"
    return f"{result['id']} {result['outcome']}: {' '.join(told.split())[:200]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the attacks of a file; see the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.escapes", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--layer", choices=("language", "os", "both"), required=True)
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--only", action="append", help="an attack's id; may be repeated")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    gaps: dict[str, str] = json.loads(GAPS.read_text(encoding="utf-8"))
    attacks = [a for a in read_attacks(options.file) if not options.only or a.id in options.only]
    if not attacks:
        print("no attack to run")
        return 2
    results = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(lambda a: judge(a, options.layer, gaps, True), attacks):
            results.append(result)
            print(line_of(result, gaps), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    count = {o: sum(r["outcome"] == o for r in results) for o in _OUTCOMES}
    told = ", ".join(f"{number} {name}" for name, number in count.items())
    print(f"{len(results)} attacks, layer {options.layer}: {told}")
    return 1 if count["won"] or count["uncontrolled"] or count["broken"] else 0


_OUTCOMES = ("held", "won", "gap", "moot", "uncontrolled", "broken")


if __name__ == "__main__":
    sys.exit(main())
