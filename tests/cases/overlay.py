"""The policy of a case: its tables laid over a shipped policy, written as one TOML file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BASE = "default"


def merge(below: Any, above: Any) -> Any:
    """Tables merge key by key; a list adds its entries to the list below it; a scalar replaces."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        merged = dict(below)
        for key, value in above.items():
            merged[key] = merge(below[key], value) if key in below else value
        return merged
    if isinstance(below, list) and isinstance(above, list):
        return [*below, *above]
    return above


def overlay(policy: Mapping[str, Any], shipped: Path) -> dict[str, Any]:
    """Lay a case's policy over the policy that it extends.

    The result stands in place of the shipped file, so it extends whatever that one extends.
    Raises `FileNotFoundError` when no policy of that name is in the folder `shipped`.
    """
    name = str(policy.get("extends", BASE))
    with open(shipped / f"{name}.toml", "rb") as stream:
        below = tomllib.load(stream)
    above = {key: value for key, value in policy.items() if key != "extends"}
    merged: dict[str, Any] = merge(below, above)
    return merged


def dump_toml(tables: Mapping[str, Any]) -> str:
    """Write a policy as TOML: top-level tables as such, everything below them inline."""
    scalars = [
        f"{_key(key)} = {_inline(value)}\n"
        for key, value in tables.items()
        if not isinstance(value, Mapping)
    ]
    blocks = []
    for key, value in tables.items():
        if isinstance(value, Mapping):
            lines = [f"{_key(name)} = {_inline(entry)}\n" for name, entry in value.items()]
            blocks.append(f"\n[{_key(key)}]\n{''.join(lines)}")
    return "".join(scalars + blocks)


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _string(key)


def _string(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        entries = ", ".join(f"{_key(key)} = {_inline(entry)}" for key, entry in value.items())
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_inline(entry) for entry in value)}]"
    if isinstance(value, int | float):
        return repr(value)
    raise TypeError(f"TOML has no {type(value).__name__} for {value!r}")
