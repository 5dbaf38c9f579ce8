"""Replies on the shell channel: each key of each reply has a rule, other keys go.

A reply is shown too: a pager shows a MIME bundle, completions and history are listed, payloads
make the front end *do* something.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .text import one_line, plain, shortened

Bundle = Callable[[Any, Any], tuple[dict[str, Any], dict[str, Any]]]
"""Turns (data, metadata) of a MIME bundle into what may be displayed of it."""

MAX_TEXT = 1_000_000
MAX_MATCHES = 5_000
MAX_MATCH = 1_000
MAX_TRACEBACK_LINES = 500
MAX_TRACEBACK_LINE = 20_000
MAX_PAYLOADS = 20
MAX_EXPRESSIONS = 100

PAYLOADS = {
    "page": "text for the pager",
    "set_next_input": "text for a cell, which only a person runs",
    "ask_exit": "asks a console to close",
}
"""Payload sources that are handed on. `edit` is not: it opens a file of the server's."""


def _text(value: Any, at_most: int = MAX_TEXT) -> str:
    return shortened(plain(value[: at_most + 1_000_000]), at_most) if isinstance(value, str) else ""


def _number(value: Any, default: int = 0) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def error_fields(content: dict[str, Any]) -> dict[str, Any]:
    """`ename`, `evalue` and `traceback`: text with colours, bounded."""
    lines = content.get("traceback")
    lines = [each for each in lines if isinstance(each, str)] if isinstance(lines, list) else []
    if len(lines) > MAX_TRACEBACK_LINES:
        left_out = len(lines) - MAX_TRACEBACK_LINES
        half = MAX_TRACEBACK_LINES // 2
        lines = [*lines[:half], f"… {left_out} entries left out …", *lines[-half:]]
    return {
        "ename": one_line(content.get("ename", "Error"), 500),
        "evalue": _text(content.get("evalue"), 50_000),
        "traceback": [_text(line, MAX_TRACEBACK_LINE) for line in lines],
    }


def payloads(value: Any, bundle: Bundle) -> list[dict[str, Any]]:
    """The payloads of an execute_reply that are handed on."""
    kept: list[dict[str, Any]] = []
    for each in value[:MAX_PAYLOADS] if isinstance(value, list) else []:
        source = each.get("source") if isinstance(each, dict) else None
        if source == "page":
            data, _ = bundle(each.get("data"), {})
            kept.append({"source": "page", "data": data, "start": _number(each.get("start"))})
        elif source == "set_next_input":
            replace = each.get("replace") is True
            kept.append({"source": source, "text": _text(each.get("text")), "replace": replace})
        elif source == "ask_exit":
            kept.append({"source": source, "keepkernel": each.get("keepkernel") is True})
    return kept


def execute(content: dict[str, Any], bundle: Bundle) -> dict[str, Any]:
    """An execute_reply."""
    reply: dict[str, Any] = {
        "status": content.get("status") if content.get("status") in _STATUS else "error",
        "execution_count": _number(content.get("execution_count")),
        "payload": payloads(content.get("payload"), bundle),
        "user_expressions": {},
    }
    if reply["status"] == "error":
        reply.update(error_fields(content))
    expressions = content.get("user_expressions")
    if isinstance(expressions, dict):
        for name, value in list(expressions.items())[:MAX_EXPRESSIONS]:
            if isinstance(value, dict):
                reply["user_expressions"][one_line(name, 200)] = _expression(value, bundle)
    return reply


_STATUS = ("ok", "error", "aborted")


def _expression(value: dict[str, Any], bundle: Bundle) -> dict[str, Any]:
    if value.get("status") == "ok":
        data, metadata = bundle(value.get("data"), value.get("metadata"))
        return {"status": "ok", "data": data, "metadata": metadata}
    return {"status": "error", **error_fields(value)}


def inspect(content: dict[str, Any], bundle: Bundle) -> dict[str, Any]:
    """An inspect_reply: what tooltips and the inspector show."""
    data, metadata = bundle(content.get("data"), content.get("metadata"))
    return {
        "status": "ok" if content.get("status") == "ok" else "error",
        "found": content.get("found") is True,
        "data": data,
        "metadata": metadata,
    }


def complete(content: dict[str, Any], bundle: Bundle) -> dict[str, Any]:
    """A complete_reply: a list of texts; of the metadata only the types of the matches."""
    matches = content.get("matches")
    texts = [each for each in matches if isinstance(each, str)] if isinstance(matches, list) else []
    reply: dict[str, Any] = {
        "status": "ok" if content.get("status") == "ok" else "error",
        "matches": [one_match(each) for each in texts[:MAX_MATCHES] if len(each) <= MAX_MATCH],
        "cursor_start": _number(content.get("cursor_start")),
        "cursor_end": _number(content.get("cursor_end")),
        "metadata": {},
    }
    metadata = content.get("metadata")
    types = metadata.get(_TYPES) if isinstance(metadata, dict) else None
    if isinstance(types, list):
        reply["metadata"][_TYPES] = [
            {
                "start": _number(each.get("start")),
                "end": _number(each.get("end")),
                "text": one_match(each.get("text")),
                "type": one_line(each.get("type", ""), 60),
                "signature": one_line(each.get("signature", ""), 1_000),
            }
            for each in types[:MAX_MATCHES]
            if isinstance(each, dict)
        ]
    return reply


_TYPES = "_jupyter_types_experimental"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def one_match(value: Any) -> str:
    """One completion as it may be inserted: a line without control characters."""
    return _CONTROL.sub("", value) if isinstance(value, str) else ""


def is_complete(content: dict[str, Any], bundle: Bundle) -> dict[str, Any]:
    """An is_complete_reply."""
    status = content.get("status")
    known = status in ("complete", "incomplete", "invalid", "unknown")
    reply = {"status": status if known else "unknown"}
    indent = content.get("indent")
    if status == "incomplete":
        spaces = isinstance(indent, str) and len(indent) <= 400 and not indent.strip(" \t")
        reply["indent"] = indent if spaces else ""
    return reply


def history(content: dict[str, Any], bundle: Bundle) -> dict[str, Any]:
    """A history_reply: (session, line number, text) or (…, (text, output))."""
    rows: list[list[Any]] = []
    entries = content.get("history")
    for entry in entries[:10_000] if isinstance(entries, list) else []:
        if not isinstance(entry, list | tuple) or len(entry) != 3:
            continue
        text = entry[2]
        if isinstance(text, list | tuple) and len(text) == 2:
            shown: Any = [_text(text[0]), None if text[1] is None else _text(text[1])]
        else:
            shown = _text(text)
        rows.append([_number(entry[0]), _number(entry[1]), shown])
    return {"status": "ok" if content.get("status") == "ok" else "error", "history": rows}


RULES: dict[str, Callable[[dict[str, Any], Bundle], dict[str, Any]]] = {
    "execute_reply": execute,
    "inspect_reply": inspect,
    "complete_reply": complete,
    "is_complete_reply": is_complete,
    "history_reply": history,
}
"""Replies that a worker's content may become. `comm_info_reply` is made by the gate itself."""
