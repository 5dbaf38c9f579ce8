"""A dialect session: all guards, tied together, for the cells of one worker."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Iterable
from typing import Any

from . import compiler
from .attributes import AttributeGuards
from .cell_builtins import interpreter_builtins, make_builtins, power_table
from .classes import ClassGuards
from .deputies import Deputies
from .evaluate import Evaluation
from .facades import Facades
from .facts import Facts
from .imports import Imports
from .ownership import Ownership
from .rules import DialectRules
from .world import World

__all__ = ["Session"]


class Session:
    """Compile and run cells in the dialect.

    A session takes hold of the process: it freezes the classes of trusted modules and puts the
    dialect's compiler into those that evaluate text. There is one per worker.
    """

    def __init__(self, rules: DialectRules, *, freeze: bool = True) -> None:
        self.rules = rules
        self.ownership = Ownership()
        self.facts = Facts(lambda module: rules.origin(module) is not None)
        self.attributes = AttributeGuards(self.ownership, self.facts)
        self.classes = ClassGuards(self.ownership, self.attributes)
        self.builtins: dict[str, Any] = {}
        self.frame_builtins: dict[str, Any] = {}
        self.evaluation = Evaluation(
            self.ownership, self._compile_text, self._compile_tree, self.frame_builtins
        )
        self.world = World(self.ownership, enabled=freeze)
        self.deputies = Deputies(self)
        make_builtins(
            self.builtins,
            self.ownership,
            self.attributes,
            self.classes,
            self.evaluation,
            self._dunder_import,
        )
        powers = power_table(self.builtins)
        self.facades = Facades(self.ownership, rules, self.deputies.replacements, powers)
        self.imports = Imports(
            self.ownership,
            rules,
            self.facades,
            self._compile_file,
            self.frame_builtins,
            self._settle,
            self.world.importing,
        )
        self.classes.module_names = self.imports.module_names
        self.frame_builtins.update(interpreter_builtins(self.builtins))
        self.guards: dict[str, Any] = {
            "type": type,
            "view": self.attributes.view,
            "foreign": self.attributes.foreign,
            "load": self.attributes.load,
            "walk": self.attributes.walk,
            "store": self.attributes.store,
            "match_args": self.attributes.match_args,
            "module_name": self.attributes.module_name,
            "attribute_hook": self.attributes.attribute_hook,
            "hook_name": self.attributes.hook_name,
            "import": self.builtins["__import__"],
            "import_module": self.imports.import_module,
            "import_from": self.imports.import_from,
            "import_star": self.imports.import_star,
        }
        self._settled = 0
        self._settle()
        self.deputies.watch()

    def add_builtin(self, name: str, value: Any) -> None:
        """Give every cell the name ``name`` (a facade of the shell, `display`)."""
        self.builtins[name] = value
        self.frame_builtins[name] = value

    def protect(self, module: types.ModuleType) -> None:
        """Keep the methods of a trusted module's classes from being hidden by its instances.

        A grader hands out objects; ``checker.grade = ...`` would stand before the method. Nor is
        any private name of them read.
        """
        self.facts.protected.add(module.__name__)
        self.world.protect(module)

    # namespaces ----------------------------------------------------------------------------

    def namespace(self, **names: Any) -> dict[str, Any]:
        """A fresh namespace for cells."""
        return self.adopt_namespace({"__name__": "__main__", **names})

    def adopt_namespace(self, space: dict[str, Any]) -> dict[str, Any]:
        """Make ``space`` the globals of cells: with their builtins, without the real ones."""
        space["__builtins__"] = self.frame_builtins
        space.pop("__builtin__", None)
        return self.ownership.adopt_globals(space)

    # compiling -----------------------------------------------------------------------------

    def parse(self, source: str | bytes, filename: str, mode: str, flags: int = 0) -> Any:
        """CPython's parse of a cell; raises SyntaxError only."""
        return compiler.parse(source, filename, mode, flags)

    def check(
        self, source: str, filename: str, imported: Iterable[str] = (), flags: int = 0
    ) -> None:
        """Refuse a whole cell before any statement of it runs.

        Raises:
            SyntaxError: it is no Python.
            RefusedSyntax: the dialect refuses it.
        """
        self._settle()
        tree = compiler.parse(source, filename, "exec", flags)
        compiler.check(source, filename, tree, imported)

    def compile(
        self,
        source: str | bytes | ast.AST,
        filename: str = "<cell>",
        mode: str = "exec",
        flags: int = 0,
        imported: Iterable[str] = (),
    ) -> types.CodeType:
        """Compile a cell; raises as `check`."""
        if isinstance(source, ast.Module | ast.Expression | ast.Interactive):
            return compiler.compile_tree(
                source, filename, mode, self.guards, flags, imported=imported
            )
        if isinstance(source, ast.AST):
            raise TypeError("a syntax tree to compile is a module, an expression or a statement")
        return compiler.compile_source(
            source, filename, mode, self.guards, flags, imported=imported
        )

    def run(self, source: str, space: dict[str, Any], filename: str = "<cell>") -> None:
        """Compile and run a cell in ``space`` (made by `namespace`)."""
        code = self.compile(source, filename, imported=self.imported(space))
        exec(code, space)

    def imported(self, space: dict[str, Any]) -> set[str]:
        """Names of ``space`` that hold a module which the cell was handed."""
        return {
            k for k, v in list(space.items()) if isinstance(v, types.ModuleType) and k[:1] != "_"
        }

    def _compile_text(
        self, source: str | bytes, filename: str, mode: str, flags: int = 0
    ) -> types.CodeType:
        return compiler.compile_source(source, filename, mode, self.guards, flags)

    def _compile_tree(self, tree: Any, filename: str, mode: str, flags: int = 0) -> types.CodeType:
        return compiler.compile_tree(tree, filename, mode, self.guards, flags)

    def _compile_file(self, source: str, filename: str, package: bool) -> types.CodeType:
        return compiler.compile_source(source, filename, "exec", self.guards, package=package)

    # imports -------------------------------------------------------------------------------

    def _dunder_import(self, *arguments: Any) -> types.ModuleType:
        return self.imports.dunder_import(*arguments)

    def _settle(self) -> None:
        """Prepare the deputies and freeze the classes of modules that came in meanwhile."""
        present = len(sys.modules)
        if present != self._settled:
            self.deputies.settle()
            self.world.settle()
            self._settled = len(sys.modules)
