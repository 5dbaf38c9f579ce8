"""The standard library's deputies: what a cell gets in their place, per module.

Each function below is called once, when its module is first there, and gives the names that the
module's facade has instead of the real ones.
"""

from __future__ import annotations

import functools
import importlib
import io
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..attributes import plain_text
from ..names import Access, access
from ..namespaces import GlobalsView, space_of
from ..refusal import RefusedValue

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["REPLACEMENTS"]

_Names = dict[str, Any]
_SIGNATURE = ("__annotations__", "__annotate__", "__type_params__")


def _functools(session: Session, module: Any) -> _Names:
    load, store = session.attributes.getattr, session.attributes.setattr

    def update_wrapper(
        wrapper: Any,
        wrapped: Any,
        assigned: Any = functools.WRAPPER_ASSIGNMENTS,
        updated: Any = functools.WRAPPER_UPDATES,
    ) -> Any:
        """Make a wrapper look like the function that it wraps."""
        for name in tuple(assigned):
            name = plain_text(name)
            if name in _SIGNATURE and not session.ownership.owns(wrapped):
                continue
            try:
                value = load(wrapped, name)
            except AttributeError:
                continue
            if name in functools.WRAPPER_ASSIGNMENTS and _is_function(wrapper):
                setattr(wrapper, name, value)
            else:
                store(wrapper, name, value)
        for name in tuple(updated):
            if plain_text(name) == "__dict__" and _is_function(wrapper) and _is_function(wrapped):
                wrapper.__dict__.update(wrapped.__dict__)
        store(wrapper, "__wrapped__", wrapped)
        return wrapper

    def _is_function(thing: Any) -> bool:
        return type(thing) is types.FunctionType and session.ownership.owns(thing)

    def wraps(
        wrapped: Any,
        assigned: Any = functools.WRAPPER_ASSIGNMENTS,
        updated: Any = functools.WRAPPER_UPDATES,
    ) -> Any:
        """Decorator that makes a wrapper look like ``wrapped``."""
        return functools.partial(
            update_wrapper, wrapped=wrapped, assigned=assigned, updated=updated
        )

    def total_ordering(cls: Any) -> Any:
        """Fill in the missing ordering methods of a class of the cell's own."""
        session.attributes.store(cls, "__lt__")
        return functools.total_ordering(cls)

    return {"update_wrapper": update_wrapper, "wraps": wraps, "total_ordering": total_ordering}


def _operator(session: Session, module: Any) -> _Names:
    load = session.attributes.getattr

    class attrgetter:
        """Callable that reads the named attributes of its operand."""

        __slots__ = ("_names",)

        def __init__(self, attr: Any, /, *attrs: Any) -> None:
            self._names = tuple(plain_text(n) for n in (attr, *attrs))

        def __call__(self, thing: Any, /) -> Any:
            found = []
            for dotted in self._names:
                value, chained = thing, False
                for name in dotted.split("."):
                    value = (
                        session.attributes.walk(value, name)
                        if chained and access(name) is Access.GUARDED
                        else load(value, name)
                    )
                    chained = name == "__class__"
                found.append(value)
            return found[0] if len(found) == 1 else tuple(found)

        def __repr__(self) -> str:
            return f"operator.attrgetter({', '.join(map(repr, self._names))})"

    class methodcaller:
        """Callable that calls the named method of its operand."""

        __slots__ = ("_arguments", "_keywords", "_name")

        def __init__(self, name: Any, /, *arguments: Any, **keywords: Any) -> None:
            self._name = plain_text(name)
            self._arguments = arguments
            self._keywords = keywords

        def __call__(self, thing: Any, /) -> Any:
            return load(thing, self._name)(*self._arguments, **self._keywords)

    return {"attrgetter": attrgetter, "methodcaller": methodcaller}


def _typing(session: Session, module: Any) -> _Names:
    def get_origin(annotation: Any) -> Any:
        """The unsubscripted origin of a generic type."""
        found = module.get_origin(annotation)
        return session.classes.metatype if found is type else found

    return {"get_origin": get_origin}


def _inspect(session: Session, module: Any) -> _Names:
    def getmembers(thing: Any, predicate: Any = None) -> list[tuple[str, Any]]:
        """Names and values of an object's members, as far as a cell may read them."""
        found = []
        for name in dir(thing):
            try:
                value = session.attributes.getattr(thing, name)
            except AttributeError:
                continue
            if predicate is None or predicate(value):
                found.append((name, value))
        return sorted(found, key=lambda pair: pair[0])

    return {"getmembers": getmembers}


def _collections(session: Session, module: Any) -> _Names:
    make = session.classes.adopt_result(_namedtuple_of(module))
    return {"namedtuple": make}


def _namedtuple_of(module: Any) -> Callable[..., Any]:
    @functools.wraps(module.namedtuple)
    def namedtuple(
        typename: Any,
        field_names: Any,
        *,
        rename: bool = False,
        defaults: Any = None,
        module: Any = None,
    ) -> Any:
        return real(
            plain_text(typename), field_names, rename=rename, defaults=defaults, module="__main__"
        )

    real = module.namedtuple
    return namedtuple


def _dataclasses(session: Session, module: Any) -> _Names:
    def finish(cls: Any) -> Any:
        if not issubclass(type(cls), type):
            return cls
        session.ownership.adopt(cls)
        names = type.__dict__["__dict__"].__get__(cls).get("__match_args__")
        if type(names) is tuple:
            public: list[str] = []
            for name in names:
                if access(plain_text(name)) is not Access.PLAIN:
                    break
                public.append(name)
            type.__setattr__(cls, "__match_args__", tuple(public))
        return cls

    @functools.wraps(module.dataclass)
    def dataclass(cls: Any = None, /, **options: Any) -> Any:
        def decorate(target: Any) -> Any:
            if not session.ownership.owns(target):
                raise RefusedValue("dataclass() takes a class that the cell made")
            return finish(module.dataclass(target, **options))

        return decorate if cls is None else decorate(cls)

    @functools.wraps(module.make_dataclass)
    def make_dataclass(
        cls_name: Any, fields: Any, *, bases: Any = (), namespace: Any = None, **options: Any
    ) -> Any:
        for field in fields:
            name = field if isinstance(field, str) else field[0]
            if access(plain_text(name)) is Access.GUARDED:
                raise RefusedValue(f"a field named {name!r} is refused")
        clean = session.classes.clean_namespace(namespace or {})
        options.pop("module", None)
        made = module.make_dataclass(
            plain_text(cls_name), fields, bases=tuple(bases), namespace=clean, **options
        )
        return finish(made)

    return {"dataclass": dataclass, "make_dataclass": make_dataclass}


def _types(session: Session, module: Any) -> _Names:
    def new_class(name: Any, bases: Any = (), kwds: Any = None, exec_body: Any = None) -> Any:
        """Make a class; its namespace is checked as that of ``type()``."""
        namespace: dict[str, Any] = {}
        if exec_body is not None:
            exec_body(namespace)
        keywords = dict(kwds or {})
        meta = keywords.pop("metaclass", session.classes.metatype)
        return meta(name, tuple(bases), namespace, **keywords)

    return {"new_class": new_class}


def _timeit(session: Session, module: Any) -> _Names:
    class Timer:
        """Time a statement, which is compiled in the dialect."""

        __slots__ = ("_real",)

        def __init__(
            self,
            stmt: Any = "pass",
            setup: Any = "pass",
            timer: Any = module.default_timer,
            globals: Any = None,
        ) -> None:
            if globals is None:
                globals = GlobalsView(_cell_globals(session))
            space = space_of(globals) if type(globals) is GlobalsView else dict(globals)
            local: dict[str, Any] = {}
            lines = []
            for label, text in (("_setup", setup), ("_stmt", stmt)):
                if isinstance(text, str):
                    lines.append(plain_text(text))
                else:
                    local[label] = text
                    lines.append(f"{label}()")
            source = module.template.format(
                setup=module.reindent(lines[0], 4),
                stmt=module.reindent(lines[1], 8),
                init="".join(f", {k}={k}" for k in local),
            )
            code = session.evaluation.code(source, "<timeit-src>", "exec")
            session.evaluation.run(code, "exec", space, local)
            self._real = module.Timer(timer=timer)
            self._real.src = source
            self._real.inner = local["inner"]

        def timeit(self, number: int = module.default_number) -> float:
            """Seconds that ``number`` executions take."""
            return float(self._real.timeit(number))

        def repeat(self, repeat: int = 5, number: int = module.default_number) -> list[float]:
            """Call `timeit` several times."""
            return list(self._real.repeat(repeat, number))

        def autorange(self, callback: Any = None) -> tuple[int, float]:
            """Number of loops, and seconds, so that at least 0.2 s are taken."""
            found: tuple[int, float] = self._real.autorange(callback)
            return found

    def timeit(
        stmt: Any = "pass",
        setup: Any = "pass",
        timer: Any = module.default_timer,
        number: int = 1000000,
        globals: Any = None,
    ) -> float:
        """Seconds that ``number`` executions of the statement take."""
        return Timer(stmt, setup, timer, globals).timeit(number)

    def repeat(
        stmt: Any = "pass",
        setup: Any = "pass",
        timer: Any = module.default_timer,
        repeat: int = 5,
        number: int = 1000000,
        globals: Any = None,
    ) -> Any:
        """Call `timeit` several times."""
        return Timer(stmt, setup, timer, globals).repeat(repeat, number)

    return {"Timer": Timer, "timeit": timeit, "repeat": repeat}


def _cell_globals(session: Session) -> dict[str, Any]:
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        if session.ownership.owns_globals(frame.f_globals):
            return frame.f_globals
        frame = frame.f_back
    raise RefusedValue("no cell is running")


def _copy(session: Session, module: Any) -> _Names:
    real = module._reconstruct

    def _reconstruct(
        x: Any, memo: Any, func: Any, args: Any, state: Any = None, *rest: Any, **named: Any
    ) -> Any:
        if state is None or not session.ownership.owns(func) or isinstance(func, type):
            return real(x, memo, func, args, state, *rest, **named)

        def checked(*arguments: Any) -> Any:
            made = func(*arguments)
            if not session.ownership.owns(made):
                raise RefusedValue("__reduce_ex__ is refused: it would change a foreign object")
            return made

        return real(x, memo, checked, args, state, *rest, **named)

    module.__dict__["_reconstruct"] = _reconstruct
    return {}


def _logging(session: Session, module: Any) -> _Names:
    from ..formats import template_refusal

    real = module.Formatter.__init__

    def __init__(
        self: Any, fmt: Any = None, datefmt: Any = None, style: str = "%", *rest: Any, **named: Any
    ) -> None:
        if style == "{" and fmt is not None:
            reached = template_refusal(plain_text(fmt))
            if reached is not None:
                raise RefusedValue(f"the log format reads {reached}, which is refused")
        real(self, fmt, datefmt, style, *rest, **named)

    with session.world.thawed(module.Formatter):
        module.Formatter.__init__ = __init__
    return {}


def _os(session: Session, module: Any) -> _Names:
    if session.rules.processes:
        return {}
    names = (
        "system popen fork forkpty execl execle execlp execlpe execv execve execvp execvpe "
        "spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe posix_spawn posix_spawnp "
        "startfile"
    ).split()
    return {n: _no_processes(session, f"os.{n}") for n in names if hasattr(module, n)}


def _no_processes(session: Session, what: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(
            1,
            f"{what}: processes not granted ({session.rules.policy}: [processes] spawn is false). "
            "Only the policy can grant it: spawn = true",
        )

    refuse.__name__ = refuse.__qualname__ = what.rpartition(".")[2]
    refuse.__module__ = "os"
    return session.ownership.lend(refuse)


def _signal(session: Session, module: Any) -> _Names:
    @functools.wraps(module.signal)
    def signal(signalnum: int, handler: Any, /) -> Any:
        if not callable(handler):
            return module.signal(signalnum, handler)
        return module.signal(signalnum, lambda number, frame: handler(number, None))

    return {"signal": signal, "default_int_handler": _interrupt}


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _pickle(session: Session, module: Any) -> _Names:
    class Reader(module.Unpickler):  # type: ignore[misc]
        """The real reader; no cell is handed it."""

        face: Any = None

        def find_class(self, module_name: Any, name: Any) -> Any:
            return self.face.find_class(module_name, name)

        def persistent_load(self, pid: Any) -> Any:
            return self.face.persistent_load(pid)

    class Unpickler:
        """Reads pickles; names are looked up as a cell would import them."""

        def __init__(self, file: Any, /, **options: Any) -> None:
            self._options = (file, options)

        def load(self) -> Any:
            """Read one object."""
            file, options = self._options
            reader = Reader(file, **options)
            reader.face = self
            return reader.load()

        def persistent_load(self, pid: Any) -> Any:
            """Called for persistent ids; a derived class may define it."""
            raise module.UnpicklingError("A load persistent id instruction was encountered")

        def find_class(self, module_name: Any, name: Any) -> Any:
            """The object of that name, as a cell would import it."""
            module_name = plain_text(module_name)
            target: Any
            if module_name == "__main__":
                target = types.SimpleNamespace(**_cell_globals(session))
            elif module_name in ("copyreg", "builtins"):
                target = types.SimpleNamespace(**_pickled_names(session, module_name))
            else:
                found = _pickled_object(session, module_name, plain_text(name))
                if found is not None:
                    return found
                target = session.imports.import_module(module_name, True)
            for part in plain_text(name).split("."):
                known = type(target) is types.SimpleNamespace
                target = (
                    getattr(target, part) if known else session.attributes.getattr(target, part)
                )
            return target

    def loads(data: Any, /, **options: Any) -> Any:
        """Read a pickle from bytes."""
        return Unpickler(io.BytesIO(data), **options).load()

    def load(file: Any, **options: Any) -> Any:
        """Read a pickle from a file."""
        return Unpickler(file, **options).load()

    return {"Unpickler": Unpickler, "loads": loads, "load": load}


def _unittest(session: Session, module: Any) -> _Names:
    def main(
        module: Any = "__main__",
        defaultTest: Any = None,
        argv: Any = None,
        testRunner: Any = None,
        exit: bool = True,
        verbosity: int = 1,
        **options: Any,
    ) -> Any:
        """Run the tests that the cells have defined."""
        space = _cell_globals(session)
        loader = real.defaultTestLoader
        cases = [
            c
            for c in list(space.values())
            if isinstance(c, type)
            and issubclass(c, real.TestCase)
            and session.ownership.owns_class(c)
        ]
        suite = real.TestSuite(loader.loadTestsFromTestCase(c) for c in cases)
        runner = testRunner or real.TextTestRunner(verbosity=verbosity)
        result = runner.run(suite)
        if exit:
            raise SystemExit(not result.wasSuccessful())
        return types.SimpleNamespace(result=result)

    real = module
    return {"main": main, "TestProgram": main}


_PICKLE_HELPERS = frozenset(
    {
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy.random._pickle", "__generator_ctor"),
        ("numpy.random._pickle", "__bit_generator_ctor"),
        ("pandas._libs.internals", "_unpickle_block"),
        ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"),
        ("pandas.core.indexes.base", "_new_Index"),
    }
)
"""Functions in private modules that the pickles of data libraries name."""


def _pickled_object(session: Session, module_name: str, name: str) -> Any:
    """A class, or a listed helper, of a library that the policy gives; None for other names."""
    if not session.imports.allowed(module_name):
        return None
    module = importlib.import_module(module_name)
    found = getattr(module, name, None)
    if (module_name, name) in _PICKLE_HELPERS:
        return found
    if isinstance(found, type) and not issubclass(found, types.ModuleType):
        return found
    return None


def _pickled_names(session: Session, module: str) -> dict[str, Any]:
    import copyreg

    if module == "copyreg":
        return {
            "_reconstructor": copyreg._reconstructor,  # type: ignore[attr-defined]
            "__newobj__": copyreg.__newobj__,  # type: ignore[attr-defined]
        }
    return {k: v for k, v in session.builtins.items() if not k.startswith("_")}


def _importlib(session: Session, module: Any) -> _Names:
    def import_module(name: Any, package: Any = None) -> Any:
        """Import a module by name, as an import statement would."""
        return session.imports.import_module(plain_text(name), True)

    return {"import_module": import_module, "reload": session.imports.reload}


def _builtins(session: Session, module: Any) -> _Names:
    return {k: v for k, v in session.builtins.items() if not k.startswith("__")}


def _sys(session: Session, module: Any) -> _Names:
    return {
        "path": session.imports.extra_places,
        "argv": [""],
        "exception": getattr(module, "exception", None),
    }


REPLACEMENTS: dict[str, Callable[[Session, Any], _Names]] = {
    "functools": _functools,
    "operator": _operator,
    "typing": _typing,
    "inspect": _inspect,
    "collections": _collections,
    "dataclasses": _dataclasses,
    "types": _types,
    "timeit": _timeit,
    "copy": _copy,
    "logging": _logging,
    "os": _os,
    "signal": _signal,
    "pickle": _pickle,
    "unittest": _unittest,
    "importlib": _importlib,
    "builtins": _builtins,
    "sys": _sys,
}
