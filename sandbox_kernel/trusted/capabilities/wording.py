"""How a refusal is worded: what, by which rule of which file, and the exact remedy.

    data/x.csv: read not granted (policy classroom.toml:12 allows it on request only). Ask for it
    in the notebook's metadata: {"sandbox": {"files": [{"path": "data/x.csv", "mode": "read"}]}}

The decisions of all kinds use this module, so that a refusal reads the same wherever it happens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ...policy.entries import meet
from ...policy.model import RequestTable
from ...policy.problems import Origin
from ...policy.request import plain_request
from ...policy.rights import Entry, Rights, Rule
from .verdict import Denied


def not_granted(
    rights: Rights,
    entry: Entry,
    *,
    code: str,
    action: str,
    resource: str,
    request: RequestTable,
    covers: Sequence[Rule],
    exception: str = "PermissionError",
    partly: Rule | None = None,
    real: str = "",
) -> Denied:
    """The refusal of what no right covers.

    `covers` are the lines, not turned on, that would cover it; `partly` is one that is on but
    allows less.
    """
    kind = next(iter(plain_request(request)))
    by_tier = {rule.tier: rule for rule in reversed(covers)}
    ask = by_tier.get("ask") or by_tier.get("on_request")
    if "on_request" in by_tier or "given" in by_tier:
        rule = by_tier.get("on_request") or by_tier["given"]
        why = f"policy {rule.origin.place} allows it on request only"
        if rule.tier == "given":
            why = (
                f"policy {rule.origin.place} gives it; "
                "the cell's metadata or a client takes it away"
            )
        remedy = f"Ask for it in the notebook's metadata: {metadata_line(request)}"
        origin = rule.origin
    elif ask is not None:
        why, origin = f"policy {ask.origin.place} lets a person allow it", ask.origin
        remedy = f"A person may allow it, with the control command grant {grant_line(request)}"
    else:
        origin = Origin(rights.policy_file)
        why = f"no line of policy {_files(rights)} covers it"
        if partly is not None:
            origin = partly.origin
            why = f"policy {partly.origin.place} allows less"
        remedy = "To allow it, the policy needs:\n" + policy_line(kind, request)
    return Denied(
        code=code,
        kind=kind,
        action=action,
        resource=visible(resource),
        rule=f"not granted ({why})",
        origin=origin,
        remedy=remedy,
        exception=exception,
        ask=request if ask is not None else None,
        real=real if ask is not None else "",
    )


def closed(
    kind: str, code: str, action: str, resource: str, why: str, origin: Origin, exception: str
) -> Denied:
    """The refusal of what a rule closes whatever is granted; nothing in a notebook helps."""
    reason = f": {origin.reason}" if origin.reason else ""
    return Denied(
        code=code,
        kind=kind,
        action=action,
        resource=visible(resource),
        rule=f"refused (policy {origin.place}, {why}{reason})",
        origin=origin,
        remedy="This rule wins over every grant; the notebook cannot change it.",
        exception=exception,
    )


def covering(rights: Rights, entry: Entry) -> list[Rule]:
    """The lines, of whatever tier, that would cover all of `entry`."""
    return [rule for rule in rights.rules if meet(rule.entry, entry) == entry]


def metadata_line(request: RequestTable) -> str:
    """The line of notebook metadata that asks for `request`."""
    return visible(json.dumps({"sandbox": plain_request(request)}, ensure_ascii=False))


def grant_line(request: RequestTable) -> str:
    """The arguments of the control command that grants `request`."""
    return visible(json.dumps(plain_request(request), ensure_ascii=False))


def policy_line(kind: str, request: RequestTable) -> str:
    """The lines of TOML that would let a person allow `request`."""
    lines = []
    entries = plain_request(request)[kind]
    assert isinstance(entries, list | tuple)
    for entry in entries:
        table = entry if isinstance(entry, Mapping) else {"names": [entry]}
        lines.append(f"[[ask.{kind}]]")
        lines += [f"{key} = {_toml(value)}" for key, value in table.items() if key != "reason"]
        lines.append('reason = "…"')
    return "\n".join(f"  {line}" for line in lines)


def _files(rights: Rights) -> str:
    if rights.system_file is None:
        return rights.policy_file
    return f"{rights.policy_file} within {rights.system_file}"


def _toml(value: object) -> str:
    """A value of a line as TOML; JSON writes strings, numbers and lists of them the same way."""
    return visible(json.dumps(value, ensure_ascii=False))


def visible(text: str) -> str:
    """A cell's own words as one harmless line.

    Line ends, control characters, direction marks and bytes that are no text are shown as
    escapes: a path must not be able to word the question that asks for it.
    """
    return "".join(
        character
        if character.isprintable() and not "\ud800" <= character <= "\udfff"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
