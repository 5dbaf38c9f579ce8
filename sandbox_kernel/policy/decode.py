"""Plain data (from TOML or JSON) into the structs of `model`, collecting every mistake.

msgspec stops at the first mistake and says nothing of the nearest right key. So where it finds one,
unknown keys are looked for over the whole tree; what is left of type errors comes from msgspec one
by one.
"""

from __future__ import annotations

import datetime
import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from . import model
from .locate import Path
from .problems import Origin, Problem, nearest
from .units import Amount, UnitError

Where = Callable[[Path], Origin]
"""Tells the origin of the value at a path (of its nearest parent that has one)."""

T = TypeVar("T", bound=model.Table)

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")

_SHORTHAND: Mapping[str, str] = {
    "files": "path",
    "sockets": "connect",
    "modules": "names",
    "environment": "names",
}


def decode(data: object, kind: type[T], where: Where) -> tuple[T | None, list[Problem]]:
    """Convert `data` to `kind`: the struct, or None and at least one problem."""
    try:
        return msgspec.convert(data, kind, dec_hook=_amount), []
    except msgspec.ValidationError as error:
        unknown = _unknown_keys(data, kind, (), where)
        return None, unknown or [_type_problem(error, data, where)]


def spell_out(tables: object, tiers: bool) -> object:
    """Turn the shorthand of a plain string into the table that it stands for.

    `modules = ["math"]` becomes `[{names = ["math"], reason = ""}]` where `tiers` is true (policy
    files); in a request, modules and environment are plain strings and stay so, and a single
    table stands for a list of one.
    """
    if not isinstance(tables, dict):
        return tables
    spelt = dict(tables)
    for kind, key in _SHORTHAND.items():
        entries = spelt.get(kind)
        if isinstance(entries, list) and (tiers or key != "names"):
            spelt[kind] = [_entry(entry, key, tiers) for entry in entries]
    for kind in ("display", "processes"):
        if not tiers and isinstance(spelt.get(kind), dict):
            spelt[kind] = [spelt[kind]]
    return spelt


def _entry(entry: object, key: str, tiers: bool) -> object:
    if isinstance(entry, str):
        spelt: dict[str, object] = {key: [entry] if key == "names" else entry}
        if key == "path":
            spelt["mode"] = "read"
        if tiers:
            spelt["reason"] = "(none given)"
        return spelt
    if isinstance(entry, dict) and isinstance(entry.get("expires"), datetime.datetime):
        return {**entry, "expires": entry["expires"].isoformat()}
    return entry


def _amount(kind: type[Any], raw: object) -> Any:
    if isinstance(kind, type) and issubclass(kind, Amount):
        try:
            return kind.parse(raw)
        except UnitError as error:
            raise ValueError(str(error)) from None
    raise NotImplementedError(f"no conversion to {kind}")


def _unknown_keys(data: object, kind: Any, path: Path, where: Where) -> list[Problem]:
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if not isinstance(data, dict):
            return []
        hints = _hints(kind)
        found: list[Problem] = []
        for key, value in data.items():
            if key in hints:
                found += _unknown_keys(value, hints[key], (*path, key), where)
            else:
                text = f"{_dotted((*path, key))}: unknown key; {nearest(str(key), hints)}"
                found.append(Problem("policy.unknown_key", text, where((*path, str(key)))))
        return found
    if typing.get_origin(kind) is tuple and isinstance(data, list):
        element = typing.get_args(kind)[0]
        return [
            problem
            for index, value in enumerate(data)
            for problem in _unknown_keys(value, element, (*path, index), where)
        ]
    return []


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


@functools.cache
def _bare(kind: Any) -> Any:
    """`kind` without Annotated and without `| None`."""
    while True:
        if typing.get_origin(kind) is Annotated:
            kind = typing.get_args(kind)[0]
        elif typing.get_origin(kind) in (typing.Union, types.UnionType):
            members = [member for member in typing.get_args(kind) if member is not type(None)]
            if len(members) != 1:
                return kind
            kind = members[0]
        else:
            return kind


def _type_problem(error: msgspec.ValidationError, data: object, where: Where) -> Problem:
    message, _, position = str(error).partition(" - at `$")
    steps: list[str | int] = []
    here: object = data
    for name, index in _STEP.findall(position.rstrip("`")):
        if name:
            steps.append(name)
            here = here.get(name) if isinstance(here, dict) else None
        elif index != "...":
            steps.append(int(index))
            here = here[int(index)] if isinstance(here, list) else None
    path = tuple(steps)
    shown = "" if isinstance(here, dict | list) or here is None else f" ({here!r})"
    missing = re.fullmatch(r"Object missing required field `(\w+)`", message)
    if missing:
        message = f"{missing[1]!r} is missing" + _why_required(missing[1])
        shown = ""
    return Problem("policy.type", f"{_dotted(path)}: {message}{shown}", where(path))


def _why_required(key: str) -> str:
    if key == "reason":
        return ": every line that allows or refuses says why"
    if key == "version":
        return f": write version = {model.VERSION} at the top of the file"
    return ""


def _dotted(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text or "(top)"
