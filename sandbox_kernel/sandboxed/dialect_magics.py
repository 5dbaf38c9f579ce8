"""Magics and ``get_ipython()`` in the dialect: an allowlist, and a facade of the shell.

A magic that runs text would go round the dialect; those here hand their text to the shell's
compiler, hold none, or are written anew below. The rest is refused with the way to do without.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError

from ..language import Session
from ..language.namespaces import GlobalsView

__all__ = ["install"]

LINE_MAGICS = frozenset(
    """time timeit matplotlib who who_ls whos lsmagic magic quickref precision pprint pwd
    history hist reset reset_selective xdel tb xmode colors pdoc pdef pinfo pinfo2 psource pfile
    doctest_mode automagic env set_env cd dhist page clear autocall gui unload_ext
    sandbox""".split()
)
CELL_MAGICS = frozenset(
    "time timeit capture html HTML markdown latex svg SVG javascript js writefile file".split()
)
PROCESS_MAGICS = frozenset(
    """sx system bash sh script python python2 python3 perl ruby pypy cmd alias rehashx run ls
    ll lf lk lx ldir mkdir rmdir cp mv rm cat less more man killbgscripts""".split()
)
_INSTEAD = {
    "pip": "packages are installed by the administrator; the policy's `modules` give them",
    "conda": "packages are installed by the administrator; the policy's `modules` give them",
    "mamba": "packages are installed by the administrator; the policy's `modules` give them",
    "uv": "packages are installed by the administrator; the policy's `modules` give them",
    "pylab": "import what you need: `import numpy as np` and `import matplotlib.pyplot as plt`",
    "prun": "it runs text outside the dialect; use `%timeit`",
    "lprun": "it runs text outside the dialect; use `%timeit`",
    "memit": "it runs text outside the dialect",
    "debug": "a debugger sees the frames of trusted code",
    "pdb": "a debugger sees the frames of trusted code",
    "load": "it evaluates text outside the dialect; open the file and paste the code",
    "loadpy": "it evaluates text outside the dialect; open the file and paste the code",
    "store": "it reads and writes pickles",
    "macro": "it evaluates text outside the dialect",
    "edit": "it evaluates text outside the dialect",
    "save": "it evaluates text outside the dialect; use `%%writefile`",
    "sql": "an extension runs trusted code; import the library instead",
}
_OPEN_SETTINGS = ("InlineBackend", "IPCompleter", "InteractiveShell.ast_node_interactivity")
_SETTING = re.compile(r"^\s*(\w+\.\w+)\s*=\s*(.+)$")


def install(shell: Any, session: Session) -> Callable[[], Any]:
    """Hold the shell's magics to the allowlist; gives the cell's ``get_ipython``."""
    shell.var_expand = _expander(shell, session)
    own = _own_magics(shell, session)

    def refuse(name: str, mark: str) -> Any:
        if name in PROCESS_MAGICS:
            raise PermissionError(
                1,
                f"{mark}{name}: processes not granted ({session.rules.policy}: [processes] spawn "
                "is false). Only the policy can grant it: spawn = true",
            )
        why = _INSTEAD.get(name, "only magics that run their text in the dialect are available")
        raise UsageError(f"{mark}{name} is refused: {why}")

    def allowed(name: str, names: frozenset[str]) -> bool:
        return name in names or (session.rules.processes and name in PROCESS_MAGICS)

    def line_magic(name: str, line: str, depth: int) -> Any:
        if name in own:
            return own[name](line)
        if not allowed(name, LINE_MAGICS):
            return refuse(name, "%")
        return shell.run_line_magic(name, line, _stack_depth=depth + 1)

    def cell_magic(name: str, line: str, cell: str) -> Any:
        if not allowed(name, CELL_MAGICS):
            return refuse(name, "%%")
        return shell.run_cell_magic(name, line, cell)

    class ZMQInteractiveShell:
        """The shell as a cell sees it."""

        __slots__ = ()

        def run_line_magic(self, magic_name: str, line: str, _stack_depth: int = 1) -> Any:
            """Run a line magic of the allowlist."""
            return line_magic(str(magic_name), str(line), 2)

        def run_cell_magic(self, magic_name: str, line: str, cell: str) -> Any:
            """Run a cell magic of the allowlist."""
            return cell_magic(str(magic_name), str(line), str(cell))

        def magic(self, arg_s: str) -> Any:
            """Run a line magic given as one string."""
            name, _, line = str(arg_s).lstrip("%").partition(" ")
            return line_magic(name, line, 2)

        def system(self, cmd: str) -> Any:
            """Run a program: with the `processes` capability only."""
            if not session.rules.processes:
                return refuse("system", "!")
            return shell.system(str(cmd))

        def getoutput(self, cmd: str, split: bool = True) -> Any:
            """Output of a program: with the `processes` capability only."""
            if not session.rules.processes:
                return refuse("system", "!!")
            return shell.getoutput(str(cmd), split)

        def getoutput_pipe(self, cmd: str) -> Any:
            """As `getoutput`."""
            return self.getoutput(cmd)

        def run_cell(self, raw_cell: str, store_history: bool = False, silent: bool = False) -> Any:
            """Run text as a cell of the dialect."""
            shell.run_cell(str(raw_cell), store_history=bool(store_history), silent=bool(silent))

        def set_next_input(self, text: str, replace: bool = False) -> None:
            """Put text into the next cell."""
            shell.set_next_input(str(text), replace=bool(replace))

        def getvar(self, name: str) -> Any:
            """The value of a global name."""
            return GlobalsView(shell.user_ns)[name]

        @property
        def user_ns(self) -> GlobalsView:
            """The global names."""
            return GlobalsView(shell.user_ns)

        @property
        def execution_count(self) -> int:
            """Number of the running cell."""
            return int(shell.execution_count)

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(
                f"get_ipython().{name} is refused: the shell is the kernel's own (docs/dialect.md)"
            )

    facade = ZMQInteractiveShell()

    def get_ipython() -> ZMQInteractiveShell:
        """The shell as a cell sees it."""
        return facade

    get_ipython.__module__ = "IPython"
    return session.ownership.lend(get_ipython)


def _own_magics(shell: Any, session: Session) -> dict[str, Callable[[str], Any]]:
    """Magics that IPython implements by evaluating text, written anew."""
    state = {"autoreload": False}

    def config(line: str) -> Any:
        found = _SETTING.match(line)
        if found is None:
            if line.strip() and "=" in line:
                raise UsageError("%config takes `Class.trait = value`")
            return shell.run_line_magic("config", line)
        try:
            value = ast.literal_eval(found[2])
        except (ValueError, SyntaxError) as error:
            raise UsageError(f"%config takes a plain value: {error}") from None
        owner = found[1].partition(".")[0]
        if owner not in _OPEN_SETTINGS and found[1] not in _OPEN_SETTINGS:
            raise UsageError(f"%config {found[1]} is refused: it is the kernel's own")
        return shell.run_line_magic("config", f"{found[1]} = {value!r}")

    def load_ext(line: str) -> None:
        name = line.strip()
        if name in ("autoreload", "sandbox"):
            return
        raise UsageError(
            f"%load_ext {name} is refused: an extension runs trusted code in the kernel"
        )

    def autoreload(line: str) -> None:
        state["autoreload"] = line.strip() not in ("0", "off")

    def reload_before_cell(*_: Any) -> None:
        if state["autoreload"]:
            session.imports.reload_changed()

    def lsmagic(line: str) -> None:
        line_names = LINE_MAGICS | {"config", "load_ext", "autoreload"}
        cell_names = CELL_MAGICS
        if session.rules.processes:
            line_names = line_names | PROCESS_MAGICS
            cell_names = cell_names | PROCESS_MAGICS
        print("Line magics:", "  ".join("%" + n for n in sorted(line_names)))
        print("Cell magics:", "  ".join("%%" + n for n in sorted(cell_names)))

    shell.events.register("pre_run_cell", reload_before_cell)
    return {
        "config": config,
        "lsmagic": lsmagic,
        "load_ext": load_ext,
        "reload_ext": load_ext,
        "autoreload": autoreload,
        "aimport": lambda line: None,
    }


def _expander(shell: Any, session: Session) -> Callable[..., str]:
    """``$name`` and ``{expression}`` in the line of a magic, evaluated in the dialect."""
    braces = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|\$([A-Za-z_]\w*)")

    def var_expand(cmd: str, depth: int = 0, formatter: Any = None) -> str:
        def value(found: re.Match[str]) -> str:
            expression = found[1] or found[2]
            if expression is None:
                return found[0][0]
            try:
                code = session.compile(expression.strip(), "<magic>", "eval")
                return str(eval(code, shell.user_global_ns))
            except Exception:  # as IPython: what cannot be evaluated stays as it was typed
                return found[0]

        return braces.sub(value, cmd)

    return var_expand
