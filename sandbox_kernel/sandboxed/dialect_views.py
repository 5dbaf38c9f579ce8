"""What the shell shows: tracebacks without guards, and help that reveals what a cell may see.

Completion and inspection run in trusted code and read real objects, so their results pass the
same rules as an attribute in a cell.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Any

from ..language import Session
from ..language.facades import Facade
from ..language.names import Access, access, reserved_reason

__all__ = ["hide_own_frames", "install", "without_guards"]

_OWN_FILES = re.compile(r"[\\/]sandbox_kernel[\\/](language|sandboxed)[\\/]")
_IMPORTING = re.compile(r"^\s*(from|import)\s+(?P<rest>.*)$")
_LAST_WORD = re.compile(r"[\w.]*$")


def install(shell: Any, session: Session) -> None:
    """Put the views into ``shell``."""
    hide_own_frames(shell)
    _inspection(shell, session)
    _completion(shell, session)
    _expressions(shell, session)


# tracebacks --------------------------------------------------------------------------------


def without_guards(traceback: types.TracebackType | None) -> types.TracebackType | None:
    """``traceback`` without the frames of guards."""
    kept = []
    while traceback is not None:
        if not _OWN_FILES.search(traceback.tb_frame.f_code.co_filename):
            kept.append(traceback)
        traceback = traceback.tb_next
    following: types.TracebackType | None = None
    for entry in reversed(kept):
        if entry.tb_next is not following:  # To set it takes as long as there are entries.
            entry.tb_next = following
        following = entry
    return following


def hide_own_frames(shell: Any) -> None:
    """Leave the frames of guards and wrappers out of the tracebacks that are shown."""
    plain = shell._get_exc_info

    def _get_exc_info(exc_tuple: Any = None) -> tuple[Any, Any, Any]:
        kind, value, traceback = plain(exc_tuple)
        seen: set[int] = set()
        waiting = [value]
        while waiting:
            error = waiting.pop()
            if not isinstance(error, BaseException) or id(error) in seen:
                continue
            seen.add(id(error))
            stripped = without_guards(error.__traceback__)
            if stripped is not None:
                error.__traceback__ = stripped
            waiting += [error.__cause__, error.__context__]
            waiting += list(getattr(error, "exceptions", ()) or ())
        return kind, value, without_guards(traceback) or traceback

    shell._get_exc_info = _get_exc_info


# inspection --------------------------------------------------------------------------------


def _may_show(session: Session, thing: Any, name: str) -> bool:
    kind = access(name)
    if kind is Access.PLAIN:
        return True
    return kind is Access.PRIVATE and session.ownership.owns(thing)


def _inspection(shell: Any, session: Session) -> None:
    plain = shell._ofind

    def _ofind(oname: str, namespaces: Any = None) -> Any:
        parts = oname.strip().split(".")
        if len(parts) > 1 or reserved_reason(parts[0], binds=False) is not None:
            thing = shell.user_ns.get(parts[0], session.builtins.get(parts[0]))
            hidden = reserved_reason(parts[0], binds=False) is not None
            for part in parts[1:]:
                hidden = hidden or not _may_show(session, thing, part)
                thing = None
            if hidden:
                return plain("", [("none", {})])
        return plain(oname, namespaces)

    shell._ofind = _ofind


# completion --------------------------------------------------------------------------------


def _completion(shell: Any, session: Session) -> None:
    completer = shell.Completer
    completer.use_jedi = False
    plain = completer.completions

    def completions(text: str, offset: int) -> Iterator[Any]:
        line = text[:offset].rpartition("\n")[2]
        shown = _filter(shell, session, line)
        for completion in plain(text, offset):
            if shown(completion.text):
                yield completion

    completer.completions = completions
    plain_matches = completer.complete

    def complete(text: Any = None, line_buffer: Any = None, cursor_pos: Any = None) -> Any:
        found, matches = plain_matches(text, line_buffer, cursor_pos)
        shown = _filter(shell, session, (line_buffer or text or "")[: cursor_pos or None])
        return found, [m for m in matches if shown(m)]

    completer.complete = complete


def _filter(shell: Any, session: Session, line: str) -> Any:
    importing = _IMPORTING.match(line)
    base = _LAST_WORD.search(line)
    words = base[0].split(".") if base else [""]
    thing = shell.user_ns.get(words[0]) if len(words) == 2 else None

    def shown(text: str) -> bool:
        name = text.rpartition(".")[2].rstrip("=(")
        if importing is not None and not isinstance(thing, Facade):
            return _may_import(session, line, text)
        if not name.isidentifier():
            return True
        if reserved_reason(name, binds=False) is not None:
            return False
        if len(words) == 1 and "." not in text:
            return True
        return _may_show(session, thing, name)

    return shown


def _may_import(session: Session, line: str, text: str) -> bool:
    found = re.match(r"^\s*from\s+([\w.]+)\s+import\b", line)
    if found is not None:
        return session.imports.allowed(found[1]) and not text.startswith("_")
    top = text.strip().partition(".")[0]
    return top in ("import", "from") or any(
        name.partition(".")[0] == top for name in session.rules.modules
    )


# user expressions --------------------------------------------------------------------------


def _expressions(shell: Any, session: Session) -> None:
    def user_expressions(expressions: dict[str, str]) -> dict[str, Any]:
        shown = {}
        for key, expression in expressions.items():
            try:
                code = session.compile(expression.strip(), "<user expression>", "eval")
                value = eval(code, shell.user_global_ns, shell.user_ns)
                shown[key] = shell._format_user_obj(value)
            except Exception:
                shown[key] = shell._user_obj_error()
        return shown

    shell.user_expressions = user_expressions
