"""``eval``, ``exec`` and ``compile`` of a cell: text is compiled in the dialect, always."""

from __future__ import annotations

import ast
import types
from collections.abc import Callable
from typing import Any

from .attributes import plain_text
from .namespaces import GlobalsView, calling_frame, space_of, visible
from .ownership import Ownership
from .refusal import RefusedValue

__all__ = ["Evaluation"]

_MODES = ("exec", "eval", "single")
_Compile = Callable[..., types.CodeType]


class _Compiled:
    """What `compile` gives a cell: a handle; the code object stays on the trusted side."""

    __slots__ = ("__weakref__", "co_filename", "co_name")

    def __init__(self, filename: str) -> None:
        self.co_filename = filename
        self.co_name = "<module>"

    def __repr__(self) -> str:
        return f"<compiled code, file {self.co_filename!r}>"


class Evaluation:
    """The evaluating builtins of one session."""

    def __init__(
        self,
        ownership: Ownership,
        compile_text: _Compile,
        compile_tree: _Compile,
        builtins_of_cells: dict[str, Any],
    ) -> None:
        self._own = ownership
        self._compile_text = compile_text
        self._compile_tree = compile_tree
        self._builtins = builtins_of_cells
        self._codes: dict[int, tuple[_Compiled, types.CodeType]] = {}

    # builtins ------------------------------------------------------------------------------

    def compile(
        self,
        source: Any,
        filename: Any = "<string>",
        mode: str = "exec",
        flags: int = 0,
        dont_inherit: bool = False,
        optimize: int = -1,
        **others: Any,
    ) -> Any:
        """The builtin `compile` of a cell. Text or a syntax tree; gives a handle or a tree."""
        if flags & ast.PyCF_ONLY_AST:
            text = source if isinstance(source, str | bytes) else ast.unparse(source)
            return compile(text, plain_text(filename), mode, flags, dont_inherit=True)
        code = self.code(source, str(filename), mode, flags)
        handle = _Compiled(str(filename))
        self._codes[id(handle)] = (handle, code)
        return handle

    def eval(self, source: Any, globals: Any = None, locals: Any = None, /) -> Any:
        """The builtin `eval` of a cell."""
        return self._run(source, "eval", globals, locals)

    def exec(
        self, source: Any, globals: Any = None, locals: Any = None, /, *, closure: Any = None
    ) -> None:
        """The builtin `exec` of a cell."""
        self._run(source, "exec", globals, locals)

    # for deputies --------------------------------------------------------------------------

    def code(self, source: Any, filename: str, mode: str, flags: int = 0) -> types.CodeType:
        """The code object of ``source``, compiled in the dialect.

        Raises:
            RefusedSyntax: the dialect refuses it.
            RefusedValue: it is neither text nor a syntax tree.
        """
        if mode not in _MODES:
            raise ValueError("compile() mode must be 'exec', 'eval' or 'single'")
        flags &= ~ast.PyCF_ONLY_AST
        if isinstance(source, ast.AST):
            fresh = compile(ast.unparse(source), filename, mode, ast.PyCF_ONLY_AST)
            return self._compile_tree(fresh, filename, mode, flags)
        if issubclass(type(source), str):
            return self._compile_text(_dedented(plain_text(source), mode), filename, mode, flags)
        if type(source) in (bytes, bytearray, memoryview):
            return self._compile_text(bytes(source), filename, mode, flags)
        raise RefusedValue("compile() takes text or a syntax tree here")

    def run(self, code: types.CodeType, mode: str, space: dict[str, Any], locals: Any) -> Any:
        """Run dialect code in ``space``, with the builtins of cells whatever it held."""
        space["__builtins__"] = self._builtins
        if any(isinstance(c, types.CodeType) for c in code.co_consts):
            self._own.adopt_globals(space)
        if mode == "eval":
            return eval(code, space, locals)
        exec(code, space, locals)
        return None

    # inside --------------------------------------------------------------------------------

    def _run(self, source: Any, mode: str, globals: Any, locals: Any) -> Any:
        if type(source) is _Compiled:
            code = self._codes[id(source)][1]
        else:
            code = self.code(source, "<string>", mode)
        space, names, written = self._spaces(globals, locals)
        try:
            return self.run(code, mode, space, names)
        finally:
            if written is not None:
                written()

    def _spaces(
        self, globals: Any, locals: Any
    ) -> tuple[dict[str, Any], Any, Callable[[], None] | None]:
        if globals is None:
            frame = calling_frame(self._own)
            space = frame.f_globals
            if locals is None and frame.f_locals is not frame.f_globals:
                locals = visible(frame.f_locals)
            if isinstance(locals, GlobalsView):
                locals = None
            return space, locals, None
        if isinstance(locals, GlobalsView):
            locals = space_of(locals)
        if type(globals) is GlobalsView:
            return space_of(globals), locals, None
        if not issubclass(type(globals), dict):
            raise TypeError("exec() and eval() take a dict as globals")
        if type(globals) is not dict:
            raise RefusedValue("exec() and eval() take a plain dict as globals")
        space = globals
        had = "__builtins__" in space
        before = space.get("__builtins__")

        def tidy() -> None:
            # functions made meanwhile keep their builtins; the cell's dict shows none
            space.pop("__builtins__", None)
            if had:
                space["__builtins__"] = before

        return space, locals, tidy


def _dedented(text: str, mode: str) -> str:
    return text.lstrip(" \t") if mode == "eval" else text
