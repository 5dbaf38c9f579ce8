"""Trusted modules that evaluate text: they get the dialect's compiler and attribute guard.

Each injection puts names into one module's globals, where they stand before the builtins.
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..namespaces import GlobalsView, space_of, visible
from ..refusal import RefusedValue

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["INJECTIONS"]

_Injection = Callable[["Session", types.ModuleType], None]
_INCOMPLETE = 0x4000 | 0x200  # PyCF_ALLOW_INCOMPLETE_INPUT | PyCF_DONT_IMPLY_DEDENT
_CALLS = "<annotation that calls>"
_TYPE_LIKE = (type, str, type(None), tuple, list, types.GenericAlias, types.UnionType)


def _annotations(session: Session, module: types.ModuleType) -> None:
    """typing and inspect: the text of an annotation."""

    def compile_annotation(source: Any, filename: str, mode: str, *rest: Any, **named: Any) -> Any:
        if not isinstance(source, str | bytes):
            return compile(source, filename, mode, *rest, **named)
        tree = ast.parse(source, mode="eval")
        calls = any(isinstance(n, ast.Call | ast.Lambda | ast.NamedExpr) for n in ast.walk(tree))
        return session.evaluation.code(source, _CALLS if calls else filename, mode)

    def eval_annotation(source: Any, globals: Any = None, locals: Any = None) -> Any:
        code = source
        if not isinstance(source, types.CodeType):
            code = compile_annotation(source, "<string>", "eval")
        space = space_of(globals) if type(globals) is GlobalsView else globals
        if session.ownership.owns_globals(space):
            return eval(code, space, locals)
        if code.co_filename == _CALLS:
            raise RefusedValue("an annotation that calls is refused outside the cell's own code")
        copied = {**(space or {}), "__builtins__": session.frame_builtins}
        found = eval(code, copied, locals)
        return _vetted_type(session, found)

    module.__dict__["compile"] = compile_annotation
    module.__dict__["eval"] = eval_annotation


def _vetted_type(session: Session, found: Any) -> Any:
    """Names of a trusted module may give types, nothing else."""
    if isinstance(found, _TYPE_LIKE) or hasattr(found, "__origin__"):
        return found
    made_by = type(found).__module__
    if made_by in ("typing", "typing_extensions"):
        return found
    raise RefusedValue("an annotation must name a type")


class _Instead:
    """A module as a deputy sees it, with some names exchanged."""

    def __init__(self, module: Any, **names: Any) -> None:
        self.__dict__.update(names)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _doctest(session: Session, module: types.ModuleType) -> None:
    """doctest: examples run in the cell's names, never in those of a trusted module."""

    def getmodule(thing: Any, *_: Any) -> Any:
        return sys.modules.get("__main__") if session.ownership.owns(thing) else None

    _text_runner(session, module)
    module.__dict__["inspect"] = _Instead(module.__dict__["inspect"], getmodule=getmodule)


def _code(session: Session, module: types.ModuleType) -> None:
    """code: an interpreter within the cell."""
    import codeop

    class CommandCompiler:
        """As codeop's, in the dialect."""

        def compiler(
            self, source: str, filename: str, symbol: str, *_: Any, incomplete_input: bool = True
        ) -> Any:
            flags = _INCOMPLETE if incomplete_input else 0
            return session.evaluation.code(source, filename, symbol, flags)

        def __call__(self, source: str, filename: str = "<input>", symbol: str = "single") -> Any:
            return codeop._maybe_compile(  # type: ignore[attr-defined]
                self.compiler, source, filename, symbol
            )

    _text_runner(session, module)
    module.__dict__["CommandCompiler"] = CommandCompiler


def _networkx(session: Session, module: types.ModuleType) -> None:
    """networkx: the text of a wrapper, which names its function's parameters."""

    def run(code: types.CodeType, globals: dict[str, Any], locals: Any = None) -> None:
        session.evaluation.run(code, "exec", globals, locals)

    def compile_text(source: Any, filename: str, mode: str, *_: Any, **__: Any) -> Any:
        return session.evaluation.code(source, filename, mode)

    module.__dict__["compile"] = compile_text
    module.__dict__["exec"] = run


def _formulas(session: Session, module: types.ModuleType) -> None:
    """patsy, formulaic: the Python in a formula."""

    def compile_text(source: Any, filename: str, mode: str, flags: int = 0, *_: Any) -> Any:
        return session.evaluation.code(source, filename, mode, flags)

    def evaluate(code: Any, globals: Any = None, locals: Any = None) -> Any:
        space = {**(globals or {}), "__builtins__": session.frame_builtins}
        return session.attributes.vet(eval(code, space, locals), "formula")

    module.__dict__["compile"] = compile_text
    module.__dict__["eval"] = evaluate


def _patsy(session: Session, module: types.ModuleType) -> None:
    """patsy: formulas, in the names of the calling cell."""
    _formulas(session, module)
    frames = _Instead(module.__dict__["inspect"], currentframe=lambda: _cell_frame(session))
    module.__dict__["inspect"] = frames


def _cell_frame(session: Session) -> Any:
    """Names of the nearest calling cell, in the shape of a frame."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and not session.ownership.owns_globals(frame.f_globals):
        frame = frame.f_back
    view = types.SimpleNamespace(f_globals={}, f_locals={}, f_code=None)
    if frame is not None:
        view.f_globals = GlobalsView(frame.f_globals)
        top = frame.f_locals is frame.f_globals
        view.f_locals = view.f_globals if top else visible(dict(frame.f_locals))
        view.f_code = types.SimpleNamespace(co_flags=frame.f_code.co_flags)
    view.f_back = view
    return view


def _jinja(session: Session, module: types.ModuleType) -> None:
    """jinja2: attributes of the objects that a template is given."""

    def read(thing: Any, name: Any, *default: Any) -> Any:
        if str(type(thing).__module__).startswith("jinja2"):
            return getattr(thing, name, *default)
        return session.attributes.getattr(thing, name, *default)

    module.__dict__["getattr"] = read


def _jinja_environment(session: Session, module: Any) -> None:
    """jinja2: the Python that it writes from a template."""
    _jinja(session, module)
    real = __import__
    make = module.Environment.compile

    def import_runtime(name: str, *rest: Any) -> Any:
        of_jinja = name.partition(".")[0] == "jinja2"
        return (real if of_jinja else session.builtins["__import__"])(name, *rest)

    def run(code: Any, names: dict[str, Any]) -> None:
        if not isinstance(code, types.CodeType):
            raise RefusedValue("a template is made of its source")
        names["__builtins__"] = {**session.frame_builtins, "__import__": import_runtime}
        exec(code, names)

    def compile_template(self: Any, source: Any, *rest: Any, **named: Any) -> Any:
        """Compile a node or template source code."""
        if session.ownership.owns_globals(sys._getframe(1).f_globals):
            raise RefusedValue("Environment.compile gives a code object; use from_string")
        return make(self, source, *rest, **named)

    module.__dict__["exec"] = run
    with session.world.thawed(module.Environment):
        module.Environment.compile = compile_template


def _numpy_pickles(session: Session, module: types.ModuleType) -> None:
    """numpy: object arrays in files, which are pickles."""
    safe = session.deputies.replacements.get("pickle", {})
    module.__dict__["pickle"] = _Instead(module.__dict__["pickle"], **safe)


def _unittest_loader(session: Session, module: Any) -> None:
    """unittest: tests by name, and files of tests."""

    def discover(*_: Any, **__: Any) -> Any:
        raise RefusedValue(
            "discover() is refused: it runs files outside the dialect; import the file beside the "
            "notebook and load its tests with loadTestsFromModule"
        )

    module.__dict__["__import__"] = session.builtins["__import__"]
    with session.world.thawed(module.TestLoader):
        module.TestLoader.discover = discover


def _text_runner(session: Session, module: types.ModuleType) -> None:
    """doctest, code, codeop: they compile a cell's text and run it in a dict of the cell's."""

    def compile_text(
        source: Any, filename: str, mode: str, flags: int = 0, *_: Any, **__: Any
    ) -> Any:
        if flags & ast.PyCF_ONLY_AST:
            return compile(source, filename, mode, flags)
        return session.evaluation.code(source, filename, mode, flags)

    def run(code: Any, globals: Any = None, locals: Any = None) -> Any:
        if not isinstance(code, types.CodeType):
            code = session.evaluation.code(code, "<string>", "exec")
        if globals is None:
            raise RefusedValue("text runs in a namespace of the cell's own")
        return session.evaluation.run(code, "exec", globals, locals)

    module.__dict__["compile"] = compile_text
    module.__dict__["exec"] = run


def _pandas_attribute(session: Session, module: types.ModuleType) -> None:
    """pandas: attributes by name, in queries and in ``agg("name")``."""
    module.__dict__["getattr"] = session.builtins["getattr"]


def _pandas_scope(session: Session, module: types.ModuleType) -> None:
    """pandas: names of a query come from the calling cell's frame, whatever ``level`` says."""

    class _CellFrames:
        @staticmethod
        def _getframe(depth: int = 0) -> Any:
            return _cell_frame(session)

    module.__dict__["sys"] = _CellFrames


def _sympy_parser(session: Session, module: types.ModuleType) -> None:
    """sympy: the text of an expression."""

    def eval_expression(source: Any, globals: Any = None, locals: Any = None) -> Any:
        code = source
        if not isinstance(source, types.CodeType):
            code = session.evaluation.code(source, "<sympy expression>", "eval")
        names = {k: v for k, v in dict(globals or {}).items() if not _is_power(session, v)}
        names["__builtins__"] = session.frame_builtins
        return session.attributes.vet(eval(code, names, locals), "expression")

    def compile_expression(source: Any, filename: str, mode: str, *_: Any, **__: Any) -> Any:
        return session.evaluation.code(source, "<sympy expression>", mode)

    module.__dict__["eval"] = eval_expression
    module.__dict__["compile"] = compile_expression


def _sympy_text(session: Session, module: types.ModuleType) -> None:
    """sympy: other text that it evaluates, of expressions and of names of symbols."""

    def run(source: Any, names: dict[str, Any]) -> None:
        if source == "from sympy import *":
            exec(source, names)
            return
        names["__builtins__"] = session.frame_builtins
        exec(session.evaluation.code(source, "<sympy text>", "exec"), names)

    _sympy_parser(session, module)
    module.__dict__["exec"] = run


def _numexpr(session: Session, module: types.ModuleType) -> None:
    """numexpr: the text of an expression."""

    def compile_expression(source: Any, filename: str, mode: str, *_: Any, **__: Any) -> Any:
        return session.evaluation.code(source, "<numexpr>", mode)

    def evaluate(code: Any, names: Any = None, locals: Any = None) -> Any:
        return eval(code, {**(names or {}), "__builtins__": session.frame_builtins}, locals)

    module.__dict__["compile"] = compile_expression
    module.__dict__["eval"] = evaluate


def _is_power(session: Session, value: Any) -> bool:
    """Modules, and builtins for which a cell has its own."""
    if isinstance(value, types.ModuleType):
        return not session.ownership.handed(value)
    return False


def _sympy_lambdify(session: Session, module: types.ModuleType) -> None:
    """sympy: the function text that `lambdify` writes from an expression and its names."""

    def compile_function(source: Any, filename: str, mode: str, *_: Any, **__: Any) -> Any:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                base = node.value
                known = isinstance(base, ast.Name) and _offers(session, base.id, node.attr)
                if not known and not isinstance(base, ast.Attribute | ast.Call):
                    raise RefusedValue(
                        f"lambdify: the attribute {node.attr!r} in the text of a function is "
                        "refused; pass an expression"
                    )
                if isinstance(base, ast.Call):
                    raise RefusedValue("lambdify: attributes of results are refused")
            if isinstance(node, ast.Name) and node.id in ("open", "eval", "exec", "getattr"):
                raise RefusedValue(f"lambdify: the name {node.id!r} is refused")
        return session.evaluation.code(source, filename, mode)

    module.__dict__["compile"] = compile_function


_NUMERIC_BUILTINS = frozenset({"abs", "max", "min", "sum", "pow", "round", "range", "complex"})


def _offers(session: Session, module: str, name: str) -> bool:
    if module == "builtins":
        return name in _NUMERIC_BUILTINS
    real = sys.modules.get(module)
    if real is None or name.startswith("_"):
        return False
    value = getattr(real, name, None)
    return callable(value) or isinstance(value, int | float | complex)


INJECTIONS: dict[str, _Injection] = {
    "typing": _annotations,
    "typing_extensions": _annotations,
    "annotationlib": _annotations,
    "inspect": _annotations,
    "doctest": _doctest,
    "code": _code,
    "pandas.core.computation.expr": _pandas_attribute,
    "pandas.core.computation.ops": _pandas_attribute,
    "pandas.core.computation.scope": _pandas_scope,
    "pandas.core.apply": _pandas_attribute,
    "pandas.core.groupby.groupby": _pandas_attribute,
    "pandas.core.groupby.generic": _pandas_attribute,
    "jinja2.environment": _jinja_environment,
    "jinja2.filters": _jinja,
    "networkx.utils.decorators": _networkx,
    "numpy.lib._format_impl": _numpy_pickles,
    "numpy.lib._npyio_impl": _numpy_pickles,
    "pandas.io.pickle": _numpy_pickles,
    "patsy.eval": _patsy,
    "formulaic.utils.stateful_transforms": _formulas,
    "formulaic.utils.variables": _formulas,
    "unittest.loader": _unittest_loader,
    "sympy.parsing.sympy_parser": _sympy_parser,
    "sympy.parsing.ast_parser": _sympy_text,
    "sympy.plotting.experimental_lambdify": _sympy_text,
    "sympy.utilities.lambdify": _sympy_lambdify,
    "numexpr.necompiler": _numexpr,
}
