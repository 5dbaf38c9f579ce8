"""What may a notebook do, and which line says so?  For people, and as data for a client.

Paths and reasons of what is *closed* are not told here: a cell sees this too, and a list of
secrets is half of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .kinds.choices import DisplayEntry, ProcessEntry
from .kinds.files import FileEntry
from .kinds.names import EnvironmentEntry, ModuleEntry
from .kinds.sockets import SocketEntry
from .rights import Entry, Limit, Right, Rights, Rule, written

_THROUGH: Mapping[str, str] = {
    "given": "given",
    "request": "asked for in the notebook's metadata",
    "approval": "allowed by a person, remembered",
    "person": "allowed by a person",
    "client": "granted by a client",
    "ticket": "by a ticket",
}


def grants(rights: Rights) -> dict[str, object]:
    """The rights in the vocabulary of `metadata.sandbox`: what `sandbox.grants()` gives.

    Limits stand in base units as people write them; a limit that is absent does not hold.
    """
    entries = [right.entry for right in rights.rights]
    return {
        "files": [written(e, rights.places) for e in entries if isinstance(e, FileEntry)],
        "sockets": [written(e, rights.places) for e in entries if isinstance(e, SocketEntry)],
        "modules": sorted(rights.modules),
        "environment": sorted(rights.environment),
        "display": dict(rights.display),
        "processes": {"spawn": rights.spawn},
        "limits": {name: _value(limit) for name, limit in rights.limits.items()},
    }


def explanation(rights: Rights) -> dict[str, object]:
    """Everything with its line, as plain data: the answer of the control command `explain`."""
    return {
        "policy": rights.policy,
        "file": rights.policy_file,
        "system": rights.system_file,
        "language": rights.language,
        "isolation": rights.isolation,
        "rights": [_right(right, rights) for right in rights.rights],
        "possible": [
            _rule(rule, rights) for rule in rights.rules if rule.tier in ("on_request", "ask")
        ],
        "refused_requests": [
            {
                "kind": unmet.kind,
                **unmet.written,
                "why": unmet.why,
                "askable": unmet.askable,
            }
            for unmet in rights.unmet
        ],
        "limits": limits_told(rights),
        "session_limits": {
            name: {"value": _value(limit), "line": limit.origin.place}
            for name, limit in rights.session_limits.items()
        },
        "person_limits": {
            name: {"value": _value(limit), "line": limit.origin.place}
            for name, limit in rights.person_limits.items()
        },
        "problems": [{"code": p.code, "text": str(p)} for p in rights.problems],
    }


def limits_told(rights: Rights) -> dict[str, object]:
    """The limits of a cell, each with the most that it may be and its line."""
    return {
        name: {
            "value": _value(limit),
            "max": "unlimited" if limit.most.unlimited else limit.most.text,
            "line": limit.origin.place,
        }
        for name, limit in rights.limits.items()
    }


def explain(rights: Rights) -> str:
    """The same for people: one right a line, with where it comes from and why."""
    lines = [f"Policy {rights.policy} ({rights.policy_file})"]
    if rights.system_file is not None:
        lines.append(f"bounded by the system policy {rights.system_file}")
    lines += [f"language {rights.language}, walls at least {rights.isolation}", ""]
    lines += _section("May do", [*_lines(rights)])
    lines += _section(
        "Asked for and not granted",
        [f"{u.kind} {_told(u.written)}: {u.why}" for u in rights.unmet],
    )
    possible = [rule for rule in rights.rules if rule.tier in ("on_request", "ask")]
    for tier, title in (
        ("on_request", "Granted when the notebook's metadata asks"),
        ("ask", "Possible after a person's yes"),
    ):
        lines += _section(
            title, _grouped((rule.entry, rule, "") for rule in possible if rule.tier == tier)
        )
    lines += _section(
        "Limits of a cell",
        [
            f"{name} {limit.amount} (at most {limit.most} on request)  [{limit.origin.place}]"
            for name, limit in rights.limits.items()
        ],
    )
    lines += _section(
        "Limits of the session",
        [f"{name} {v.amount}  [{v.origin.place}]" for name, v in rights.session_limits.items()],
    )
    lines += _section(
        "Limits of all of a person's kernels",
        [f"{name} {v.amount}  [{v.origin.place}]" for name, v in rights.person_limits.items()],
    )
    lines += _section("Problems", [str(problem) for problem in rights.problems])
    return "\n".join(lines).rstrip() + "\n"


def _lines(rights: Rights) -> list[str]:
    return _grouped((right.entry, right.rule, _through(right)) for right in rights.rights)


def _grouped(items: Iterable[tuple[Entry, Rule, str]]) -> list[str]:
    """One line an entry; names of one line of the policy together."""
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for entry, rule, through in items:
        group = (rule.kind, rule.origin.place, rule.origin.reason, through)
        bound = f" within {rule.bounded_by.place}" if rule.bounded_by else ""
        key = (group[0], group[1] + bound, group[2], group[3])
        groups.setdefault(key, []).append(_short(entry))
    lines = []
    for (kind, place, reason, through), names in groups.items():
        how = f", {through}" if through and through != "given" else ""
        why = f"  {reason}" if reason else ""
        lines.append(f"{kind} {', '.join(names)}  [{place}{how}]{why}")
    return lines


def _short(entry: Entry) -> str:
    if isinstance(entry, FileEntry):
        extra = ""
        if entry.max_bytes is not None:
            extra += f", {entry.max_bytes} B"
        if entry.max_count is not None:
            extra += f", {entry.max_count} new files"
        leads = f" (leads to {entry.place.real})" if entry.place.through_link else ""
        return f"{entry.mode} {entry.place.written}{leads}{extra}"
    if isinstance(entry, SocketEntry):
        return f"{entry.use} {entry.endpoint}" + (" (private too)" if entry.private else "")
    if isinstance(entry, ModuleEntry | EnvironmentEntry):
        return entry.name
    if isinstance(entry, DisplayEntry):
        return f"{entry.what} = {entry.level}"
    assert isinstance(entry, ProcessEntry)
    return "spawn"


def _through(right: Right) -> str:
    told = _THROUGH[right.through]
    return f"{told} ({right.grant_id})" if right.grant_id else told


def _right(right: Right, rights: Rights) -> dict[str, object]:
    told = _rule(right.rule, rights)
    told.update(written(right.entry, rights.places))
    if isinstance(right.entry, FileEntry) and right.entry.place.through_link:
        told["leads_to"] = right.entry.place.real
    return {**told, "through": right.through, "id": right.grant_id}


def _rule(rule: Rule, rights: Rights) -> dict[str, object]:
    told: dict[str, object] = {"kind": rule.kind, "tier": rule.tier}
    told.update(written(rule.entry, rights.places))
    told["line"] = rule.origin.place
    told["reason"] = rule.origin.reason
    if rule.bounded_by is not None:
        told["bounded_by"] = rule.bounded_by.place
    return told


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in lines), ""] if lines else []


def _told(entry: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in entry.items())


def _value(limit: Limit) -> object:
    text = limit.amount.text
    return int(text) if text.isdecimal() else text


def entries_of(rights: Rights, grant_id: str) -> tuple[Entry, ...]:
    """The entries that one grant gives, after the policy has bounded it; empty for none."""
    return tuple(right.entry for right in rights.rights if right.grant_id == grant_id)
