"""The restricted dialect in an IPython shell.

Everything that IPython turns into code passes its compiler object: cells, ``%%time``, ``%timeit``,
top-level ``await``. So the dialect is that object, and fails closed: whatever goes wrong in it
refuses the cell. (``ast_transformers`` would fail open: a transformer that raises is dropped, and
the cell runs unread.)
"""

from __future__ import annotations

import codeop
import os
import sys
import types
from typing import Any

from ..language import DialectRules, Session
from ..language.refusal import RefusedSyntax
from . import dialect_magics, dialect_views

__all__ = ["install"]


def install(shell: Any, rules: DialectRules) -> Session | None:
    """Put the dialect into ``shell``, an `InteractiveShell` that has run no cell yet.

    Gives the session, whose ``rules.modules`` may change while the shell lives; None under
    ``language = "full"``, where nothing of this applies.
    """
    if rules.language == "full":
        return None
    _close_import_path()
    session = Session(rules)
    compiler_class = _compiler_class(shell, session)
    shell.compiler_class = compiler_class
    shell.compile = compiler_class()
    facade = dialect_magics.install(shell, session)
    session.add_builtin("get_ipython", facade)
    for name in ("IPython", "IPython.core.getipython"):
        session.deputies.replacements[name] = {"get_ipython": facade}
    _give_display(session)
    dialect_views.install(shell, session)
    prepare_namespace(shell, session)
    return session


def prepare_namespace(shell: Any, session: Session) -> None:
    """Give the shell's namespace the builtins of cells, and take the shell's own objects out.

    Called before each compilation: ``%reset`` and front ends lay the namespace anew.
    """
    for space in {id(s): s for s in (shell.user_global_ns, shell.user_ns)}.values():
        session.adopt_namespace(space)
        if isinstance(space.get("get_ipython"), types.MethodType):
            space["get_ipython"] = session.builtins["get_ipython"]
        opener = space.get("open")
        if opener is not None and not session.ownership.owns(opener):
            del space["open"]


def _give_display(session: Session) -> None:
    from IPython.display import display

    session.add_builtin("display", display)


def _close_import_path() -> None:
    """Take the notebook's folder off the import path: its files are imported in the dialect."""
    here = os.getcwd()
    sys.path[:] = [p for p in sys.path if p not in ("", ".", here)]


def _compiler_class(shell: Any, session: Session) -> type:
    base: Any = shell.compiler_class

    class DialectCompiler(base):  # type: ignore[misc]
        """IPython's caching compiler, through the dialect."""

        def ast_parse(self, source: str, filename: str = "<unknown>", symbol: str = "exec") -> Any:
            """Parse; refuse the whole of a cell before any statement of it runs."""
            prepare_namespace(shell, session)
            if symbol == "exec":
                imported = session.imported(shell.user_global_ns)
                session.check(source, filename, imported, self.flags)
            return session.parse(source, filename, symbol, self.flags)

        def __call__(self, source: Any, filename: Any, symbol: Any, *_: Any, **named: Any) -> Any:
            flags = self.flags | named.get("flags", 0)
            flags &= ~getattr(codeop, "PyCF_ALLOW_INCOMPLETE_INPUT", 0)
            prepare_namespace(shell, session)
            imported = session.imported(shell.user_global_ns)
            try:
                code = session.compile(source, str(filename), symbol, flags, imported)
            except SyntaxError:
                raise
            except Exception as error:
                raise RefusedSyntax(f"this cell is refused: {error}") from None
            for feature in codeop._features:  # type: ignore[attr-defined]
                if code.co_flags & feature.compiler_flag:
                    self.flags |= feature.compiler_flag
            return code

    DialectCompiler.__name__ = DialectCompiler.__qualname__ = "DialectCompiler"
    return DialectCompiler
