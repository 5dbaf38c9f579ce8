"""What a notebook, a cell or a client asks for: `metadata.sandbox` and control arguments.

A request is data from outside: a wrong type or an unknown key makes the whole request void, with
the mistakes kept for the reply and for `status`.  It asks and never grants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from . import model
from .decode import decode, spell_out
from .kinds import names, paths
from .load import file_mistakes, socket_mistakes
from .locate import Path
from .problems import Origin, Problem
from .units import Amount

Scope = Literal["cell", "session", "notebook"]

MOST_ENTRIES = 1000
"""Entries of one kind in a request, `deny` included: each meets every line of the policy."""
MOST_TICKETS = 100
"""Tickets in a request: the signature of each is checked."""

SCOPES: tuple[Scope, ...] = ("cell", "session", "notebook")


@dataclass(frozen=True)
class Request:
    """A checked request. `table` is None where it was malformed; `problems` then says how.

    `since` (seconds since the epoch) is when durations in it begin, where that is known.
    """

    table: model.RequestTable | None
    origin: Origin
    problems: tuple[Problem, ...] = ()
    since: float | None = field(default=None, compare=False)

    @property
    def malformed(self) -> bool:
        return self.table is None


def parse_request(raw: object, origin: Origin) -> Request:
    """Check `metadata.sandbox` (or a part of a control message).

    None (no such metadata) asks for nothing.  Never raises on data.
    """
    if raw is None:
        return Request(model.RequestTable(), origin)
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        text = f"the sandbox metadata is {_name_type(raw)} where an object was expected"
        return Request(None, origin, (Problem("request.type", text, origin),))
    for key, value in raw.items():
        if value is None:
            # In JSON null is no "nothing": who writes it may have meant all or none.
            text = f"{key}: null says neither all nor nothing; write [] for nothing"
            return Request(None, origin, (Problem("request.type", text, origin),))
    try:
        for key, value in raw.items():
            most = MOST_TICKETS if key == "tickets" else MOST_ENTRIES
            if (count := _count(value)) > most:
                text = f"{key}: {count} entries, more than {most}; a folder or a pattern is one"
                return Request(None, origin, (Problem("request.many", text, origin),))
        spelt = spell_out(_flat_names(raw), tiers=False)
        table, problems = decode(spelt, model.RequestTable, lambda _path: origin)
    except RecursionError:
        text = "the sandbox metadata is nested too deeply"
        return Request(None, origin, (Problem("request.type", text, origin),))
    if table is not None:
        problems = list(_mistakes(table, origin))
    problems = [Problem(p.code.replace("policy.", "request."), p.text, p.origin) for p in problems]
    return Request(None if problems else table, origin, tuple(problems))


def parse_grant(arguments: Mapping[str, object], origin: Origin) -> tuple[Request, Scope]:
    """Check the arguments of a `grant`: a request and `for`, default `session`."""
    rest = {key: value for key, value in arguments.items() if key != "for"}
    scope = arguments.get("for", "session")
    for known in SCOPES:
        if scope == known:
            return parse_request(rest, origin), known
    text = f"for: {scope!r} is none of {', '.join(SCOPES)}"
    return Request(None, origin, (Problem("request.type", text, origin),)), "session"


def _count(value: object) -> int:
    """Entries of all lists in a value, nested ones too."""
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    if isinstance(value, list):
        return len(value) + sum(map(_count, value))
    return 0


def _flat_names(raw: dict[str, object]) -> dict[str, object]:
    """`modules: [{"names": ["a"]}]`, as in a policy, means `modules: ["a"]`."""
    flat = dict(raw)
    for kind in ("modules", "environment"):
        entries = flat.get(kind)
        if not isinstance(entries, list):
            continue
        plain: list[object] = []
        for entry in entries:
            inner = entry.get("names") if isinstance(entry, dict) else None
            if isinstance(inner, list) and set(entry) <= {"names", "reason"}:
                plain += inner
            else:
                plain.append(entry)
        flat[kind] = plain
    return flat


def _mistakes(table: model.RequestTable, origin: Origin) -> list[Problem]:
    found: list[Problem] = []

    def wrong(path: Path, text: str) -> None:
        kind, index = path
        found.append(Problem("request.value", f"{kind}[{index}]: {text}", origin))

    for index, file in enumerate(table.files or ()):
        try:
            place = paths.pattern(file.path, "/notebook", "/home", lambda path: path)
        except paths.PathError as error:
            wrong(("files", index), str(error))
            continue
        meters = (file.max_bytes, file.max_count)
        for text in file_mistakes(place, file.deny, meters, file.mode, file.expires):
            wrong(("files", index), text)
    for index, socket in enumerate(table.sockets or ()):
        for text in socket_mistakes(socket):
            wrong(("sockets", index), text)
    for index, name in enumerate(table.modules or ()):
        if not names.is_module_name(name):
            wrong(("modules", index), f"{name!r} is no module name")
    for index, name in enumerate(table.environment or ()):
        if not names.is_variable_name(name):
            wrong(("environment", index), f"{name!r} is no name of a variable")
    return found


def _name_type(raw: object) -> str:
    return {str: "a string", list: "a list", int: "a number", bool: "a truth value"}.get(
        type(raw), f"a {type(raw).__name__}"
    )


def display_table(what: str, level: str) -> model.RequestedDisplay:
    """The request for one display setting; raises ValueError for what does not exist."""
    try:
        return msgspec.convert({what: level}, model.RequestedDisplay)
    except msgspec.ValidationError as error:
        raise ValueError(f"display {what} = {level}: {error}") from None


def plain_request(table: model.RequestTable) -> dict[str, object]:
    """A request as it would stand in metadata, without what is absent or the default."""
    plain = msgspec.to_builtins(table, enc_hook=_plain)
    assert isinstance(plain, dict)
    # The mode is told even where it is the default: it is what a policy line needs.
    plain["files"] = [
        {"path": told.pop("path"), "mode": told.pop("mode", "read"), **told}
        for told in plain.get("files") or ()
    ]
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in plain.items()
        if value not in (None, [], ())
    }


def _plain(value: object) -> object:
    if isinstance(value, Amount):
        return int(value.text) if value.text.isdecimal() else value.text
    raise NotImplementedError(type(value).__name__)
