"""What a reply must look like. Pure: everything that was seen comes in as a value.

Two texts are looked at. The *denial* is what a person reads of an error: name, value, notes,
traceback, stderr. *Everything* adds stdout and what was displayed. Both are freed of colour codes
and of the traceback's quotes of the cell's own source, which would make a part of the cell look
like a part of the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_QUOTE_MARGIN = re.compile(r"^\s*(?:-+>\s*)?(?:\d+(?:\s|$))?")

# Exceptions of the product whose base class is a name that cases ask for.
SUBCLASS_OF: Mapping[str, str] = {"RefusedSyntax": "SyntaxError"}


@dataclass
class Observed:
    """All that one cell, or one other request, brought back.

    ``reply`` is None as long as none has come; ``seconds`` is from sending to the reply.
    """

    sources: tuple[str, ...] = ()
    reply: Mapping[str, Any] | None = None
    seconds: float | None = None
    status: str | None = None
    stdout: str = ""
    stderr: str = ""
    errors: list[Mapping[str, Any]] = field(default_factory=list)
    displayed: list[Mapping[str, Any]] = field(default_factory=list)
    message_types: list[str] = field(default_factory=list)


def check_cell(expect: Mapping[str, Any], seen: Observed) -> list[str]:
    """The reasons why an executed cell is not what ``expect`` asks for; empty: it is."""
    reasons: list[str] = []
    if "status" in expect and seen.status != expect["status"]:
        reasons.append(f"status is {seen.status}, not {expect['status']}{_hint(seen)}")
    if "stdout" in expect and seen.stdout != expect["stdout"]:
        reasons.append(f"stdout is {_short(seen.stdout)}, not {_short(expect['stdout'])}")
    if "error" in expect:
        reasons += _check_error_name(expect["error"], seen)
    reasons += _missing("stdout_has", expect, seen.stdout)
    denial = denial_text(seen)
    reasons += _missing("text_has", expect, denial, any_case=True)
    reasons += _showing("text_lacks", expect, everything_text(seen), any_case=True)
    mimes = {mime for bundle in seen.displayed for mime in bundle}
    for mime in expect.get("mime_has", ()):
        if mime not in mimes:
            reasons.append(f"mime_has: no {mime} among {sorted(mimes)}")
    for mime in expect.get("mime_lacks", ()):
        if mime in mimes:
            reasons.append(f"mime_lacks: {mime} was displayed")
    for kind in expect.get("messages_has", ()):
        if kind not in seen.message_types:
            reasons.append(f"messages_has: no {kind} among {sorted(set(seen.message_types))}")
    return reasons + _check_time(expect, seen)


def check_reply(expect: Mapping[str, Any], seen: Observed) -> list[str]:
    """The reasons why the reply to a control message or a request is not what is asked for."""
    content = seen.reply or {}
    text = json.dumps(content, ensure_ascii=False, default=repr)
    reasons = [
        f"reply: {key} is {_short(content.get(key))}, not {_short(value)}: {_short(text, 300)}"
        for key, value in expect.get("reply", {}).items()
        if content.get(key) != value
    ]
    reasons += _missing("reply_has", expect, text)
    reasons += _showing("reply_lacks", expect, text)
    return reasons + _check_time(expect, seen)


def denial_text(seen: Observed) -> str:
    """What a person reads of the error."""
    lines: list[str] = []
    for error in seen.errors:
        lines += [str(error.get("ename", "")), str(error.get("evalue", ""))]
        traceback = "\n".join(map(str, error.get("traceback", ())))
        lines += without_own_source(traceback, seen.sources)
    lines += without_own_source(seen.stderr, seen.sources)
    return _COLOUR.sub("", "\n".join(lines))


def everything_text(seen: Observed) -> str:
    """Everything that the cell sent, the data of every MIME type included."""
    shown = [
        data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, default=repr)
        for bundle in seen.displayed
        for data in bundle.values()
    ]
    return "\n".join([denial_text(seen), _COLOUR.sub("", seen.stdout), *shown])


def without_own_source(text: str, sources: Iterable[str]) -> list[str]:
    """The lines of `text` that are not a quote of a line of one of the `sources`."""
    own = {line.strip() for source in sources for line in source.splitlines()} - {""}
    kept = []
    for line in _COLOUR.sub("", text).splitlines():
        unmarked = _QUOTE_MARGIN.sub("", line, count=1).strip()
        if line.strip() not in own and unmarked not in own:
            kept.append(line)
    return kept


def _check_error_name(acceptable: Iterable[str], seen: Observed) -> list[str]:
    names = [str(error.get("ename", "")) for error in seen.errors]
    known = {*names, *(SUBCLASS_OF.get(name, name) for name in names)}
    if known.intersection(acceptable):
        return []
    return [f"error is {', '.join(names) or 'none'}, not one of {list(acceptable)}{_hint(seen)}"]


def _check_time(expect: Mapping[str, Any], seen: Observed) -> list[str]:
    if "within_s" not in expect or seen.seconds is None:
        return []
    if seen.seconds <= expect["within_s"]:
        return []
    return [f"within_s: took {seen.seconds:.2f} s, allowed are {expect['within_s']} s"]


def _missing(
    key: str, expect: Mapping[str, Any], text: str, *, any_case: bool = False
) -> list[str]:
    searched = text.lower() if any_case else text
    return [
        f"{key}: no {part!r} in {_short(text, 600)}"
        for part in expect.get(key, ())
        if (part.lower() if any_case else part) not in searched
    ]


def _showing(
    key: str, expect: Mapping[str, Any], text: str, *, any_case: bool = False
) -> list[str]:
    searched = text.lower() if any_case else text
    reasons = []
    for part in expect.get(key, ()):
        position = searched.find(part.lower() if any_case else part)
        if position >= 0:
            around = text[max(0, position - 60) : position + len(part) + 60]
            reasons.append(f"{key}: {part!r} shows in …{around!r}…")
    return reasons


def _hint(seen: Observed) -> str:
    """The error that was seen, to tell a wrong status or name apart."""
    if not seen.errors:
        return ""
    error = seen.errors[-1]
    return f" ({error.get('ename')}: {_short(error.get('evalue'), 300)})"


def _short(value: object, length: int = 160) -> str:
    text = repr(value)
    return text if len(text) <= length else f"{text[: length - 20]}… ({len(text)} characters)"
