"""The attacks of a file, as FORMAT.md's second part describes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Attack", "read_attacks"]


@dataclass(frozen=True)
class Attack:
    """One attack; ``known_gap`` names the wall that stops what the language does not."""

    id: str
    kind: str
    code: str
    wins_unconfined: bool
    modules: tuple[str, ...] = ()
    known_gap: str | None = None


def read_attacks(path: Path) -> list[Attack]:
    """Read an attack file.

    Raises:
        ValueError: a line lacks a field, or two attacks share an id.
    """
    attacks: list[Attack] = []
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        record = json.loads(line)
        try:
            attack = Attack(
                record["id"],
                record["kind"],
                record["code"],
                bool(record["wins_unconfined"]),
                tuple(record.get("modules", ())),
                record.get("known_gap"),
            )
        except KeyError as error:
            raise ValueError(f"{path}:{number}: {error} is missing") from None
        if attack.id in seen:
            raise ValueError(f"{path}:{number}: {attack.id} stands twice")
        seen.add(attack.id)
        attacks.append(attack)
    return attacks
