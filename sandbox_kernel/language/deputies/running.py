"""The standard library's deputies that run things: text, tests, handlers, programs, modules.

As in `standard`, each function gives the names that its module's facade has instead of the real
ones.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..attributes import plain_text
from ..namespaces import GlobalsView, cell_globals, space_of

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["REPLACEMENTS"]

_Names = dict[str, Any]


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
                globals = GlobalsView(cell_globals(session.ownership))
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
        space = cell_globals(session.ownership)
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
    "timeit": _timeit,
    "os": _os,
    "signal": _signal,
    "unittest": _unittest,
    "importlib": _importlib,
    "builtins": _builtins,
    "sys": _sys,
}
