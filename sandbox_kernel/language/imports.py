"""Imports of a cell: allowed modules as facades, granted files in the dialect, nothing else.

Import statements are compiled to calls of these guards; ``builtins.__import__`` itself stays
untouched, because C code of the libraries imports through the calling frame's builtins.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from .facades import Facade, Facades
from .ownership import Ownership
from .refusal import RefusedModule
from .rules import DialectRules, module_refusal
from .withheld import PRIVATE_MODULES

__all__ = ["Imports"]

_EXTENSIONS = (".so", ".pyd", ".dylib")
_PRIVATE_BUT_USED = frozenset(
    {"sklearn.utils._testing", "sklearn.utils._array_api", "scipy.stats._distn_infrastructure"}
)


class Imports:
    """The import guards of one session.

    ``compile_file`` compiles a granted file's text in the dialect; ``settle`` prepares the modules
    that came in since it was last called, by this import or by trusted code, before a facade is
    made of one; a trusted import runs within ``importing``. Granted files are looked for in
    ``places()``.
    """

    def __init__(
        self,
        ownership: Ownership,
        rules: DialectRules,
        facades: Facades,
        compile_file: Callable[[str, str, bool], types.CodeType],
        builtins_of_cells: dict[str, Any],
        settle: Callable[[], None],
        importing: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._own = ownership
        self._rules = rules
        self._facades = facades
        self._compile = compile_file
        self._builtins = builtins_of_cells
        self._settle = settle
        self._importing = importing
        self.own_modules: dict[str, types.ModuleType] = {}
        self._stamps: dict[str, tuple[int, int]] = {}
        self.extra_places: list[str] = []
        self.module_names: set[str] = set()

    # the guards ----------------------------------------------------------------------------

    def import_module(self, name: str, leaf: bool) -> types.ModuleType:
        """``import a.b`` (gives ``a``) or ``import a.b as c`` (gives ``a.b``)."""
        top, last = self._resolve(name)
        return last if leaf else top

    def import_from(self, source: str, *names: str) -> tuple[Any, ...]:
        """``from a.b import c, d``."""
        source = self._absolute(source)
        _, module = self._resolve(source)
        return tuple(self._member(source, module, name) for name in names)

    def import_star(self, source: str) -> None:
        """``from a import *``, into the globals of the calling cell."""
        source = self._absolute(source)
        _, module = self._resolve(source)
        namespace = sys._getframe(1).f_globals
        listed = self._listed(source, module)
        for name in listed:
            if name.startswith("_"):
                continue
            try:
                namespace[name] = self._member(source, module, name)
            except ImportError:
                continue

    def dunder_import(
        self,
        name: Any,
        globals: Any = None,
        locals: Any = None,
        fromlist: Any = (),
        level: int = 0,
    ) -> types.ModuleType:
        """The function ``__import__`` of a cell."""
        if type(name) is not str or level:
            raise RefusedModule("__import__ takes the full name of a module")
        top, last = self._resolve(name)
        if fromlist:
            for each in fromlist:
                if type(each) is str and each != "*":
                    try:
                        self._member(name, last, each)
                    except ImportError:
                        continue
            return last
        return top

    # resolving -----------------------------------------------------------------------------

    def allowed(self, name: str) -> bool:
        """True when the policy gives ``name``."""
        return self._rules.origin(name) is not None

    def _absolute(self, source: str) -> str:
        if not source.startswith("."):
            return source
        level = len(source) - len(source.lstrip("."))
        namespace = sys._getframe(2).f_globals
        package = namespace.get("__package__")
        if not isinstance(package, str) or not package:
            raise ImportError("attempted relative import with no known parent package")
        parts = package.split(".")
        if level > len(parts):
            raise ImportError("attempted relative import beyond top-level package")
        base = ".".join(parts[: len(parts) - level + 1])
        rest = source.lstrip(".")
        return f"{base}.{rest}" if rest else base

    def _resolve(self, name: str) -> tuple[types.ModuleType, types.ModuleType]:
        if type(name) is not str or not name:
            raise RefusedModule("the name of a module must be a string")
        top = name.partition(".")[0]
        if self.allowed(name) or self.allowed(top):
            if not self.allowed(name):
                raise self._refused(name)
            return self._trusted(name)
        if any(given.startswith(name + ".") for given in self._rules.modules):
            return self._package_of_given(name)
        granted = self._granted(name)
        if granted is not None:
            return granted
        raise self._refused(name)

    def _package_of_given(self, name: str) -> tuple[types.ModuleType, types.ModuleType]:
        """A package of which only modules below it are given: it shows these, and no more."""
        parts = name.split(".")
        facades = [
            self._facades.bare(".".join(parts[:length]), self._below)
            for length in range(1, len(parts) + 1)
        ]
        return facades[0], facades[-1]

    def _below(self, package: str, name: str) -> types.ModuleType | None:
        full = f"{package}.{name}"
        below = any(given.startswith(full + ".") for given in self._rules.modules)
        if not (self.allowed(full) or below):
            return None
        return self._resolve(full)[1]

    def _refused(self, name: str) -> RefusedModule:
        error = RefusedModule(module_refusal(self._rules, name), name=name)
        return error

    def _trusted(self, name: str) -> tuple[types.ModuleType, types.ModuleType]:
        parts = name.split(".")
        if any(p.startswith("_") for p in parts) and name not in (
            "__future__",
            "_thread",
            *_PRIVATE_BUT_USED,
            *PRIVATE_MODULES,
        ):
            raise RefusedModule(
                f"{name}: module refused (docs/dialect.md): its name says that it is private; "
                "`modules` give public ones",
                name=name,
            )
        self._withheld_on_the_way(name, parts)
        with self._importing(name):
            importlib.import_module(name)
        self._settle()
        facades: list[Facade] = []
        for length in range(1, len(parts) + 1):
            dotted = ".".join(parts[:length])
            if self.allowed(dotted):
                facade = self._facades.of(sys.modules[dotted], dotted)
            else:
                facade = self._facades.bare(dotted, self._below)
            if facades:
                self._facades.attach(".".join(parts[: length - 1]), parts[length - 1], facade)
            facades.append(facade)
        return facades[0], facades[-1]

    def _withheld_on_the_way(self, name: str, parts: list[str]) -> None:
        """Refuse a module that its package's facade would not show."""
        for length in range(1, len(parts) + 1):
            row = self._facades.withheld(".".join(parts[:length]))
            last = length == len(parts)
            hidden = row.only is not None and (
                (not row.only and name != "builtins") if last else parts[length] not in row.only
            )
            if hidden or (not last and parts[length] in row.names):
                raise RefusedModule(
                    f"{name}: module refused (docs/dialect.md: {row.reason}); `modules` of a "
                    "policy cannot give it in the restricted language",
                    name=name,
                )

    def _member(self, source: str, module: types.ModuleType, name: str) -> Any:
        if (
            name.startswith("__")
            and name.endswith("__")
            and name
            not in (
                "__version__",
                "__doc__",
                "__name__",
                "__author__",
            )
        ):
            raise ImportError(f"cannot import name {name!r} from {source!r}", name=source)
        try:
            return getattr(module, name)
        except AttributeError as error:
            reason = error
        full = f"{source}.{name}"
        if source in self.own_modules or self.allowed(full):
            try:
                return self._resolve(full)[1]
            except ModuleNotFoundError:
                pass
        text = f"cannot import name {name!r} from {source!r}"
        if "refused" in str(reason):
            text = f"{text}: {reason}"
        raise ImportError(text, name=source) from None

    def _listed(self, source: str, module: types.ModuleType) -> list[str]:
        if isinstance(module, Facade):
            return self._facades.public_names(sys.modules[source], source)
        space = module.__dict__
        return list(space.get("__all__") or [n for n in space if not n.startswith("_")])

    # granted files -------------------------------------------------------------------------

    def places(self) -> list[str]:
        """Folders in which granted files are looked for: the notebook's own first."""
        return [os.getcwd(), *self.extra_places]

    def _granted(self, name: str) -> tuple[types.ModuleType, types.ModuleType] | None:
        parts = name.split(".")
        made: list[types.ModuleType] = []
        folders = self.places()
        for length in range(1, len(parts) + 1):
            dotted = ".".join(parts[:length])
            known = self.own_modules.get(dotted)
            if known is None:
                found = self._find(folders, parts[length - 1], dotted)
                if found is None:
                    if made:
                        raise ModuleNotFoundError(f"No module named {dotted!r}", name=dotted)
                    return None
                known = self._load(dotted, *found)
                if made:
                    setattr(made[-1], parts[length - 1], known)
            folders = list(known.__dict__.get("__path__", []))
            made.append(known)
        return made[0], made[-1]

    def _find(self, folders: list[str], leaf: str, dotted: str) -> tuple[Path, bool] | None:
        if not leaf.isidentifier():
            return None
        for folder in folders:
            package = Path(folder, leaf, "__init__.py")
            if _readable(package):
                return package, True
            plain = Path(folder, leaf + ".py")
            if _readable(plain):
                return plain, False
            self._refuse_extension(folder, leaf, dotted)
        return None

    def _refuse_extension(self, folder: str, leaf: str, dotted: str) -> None:
        try:
            entries = os.listdir(folder)
        except OSError:
            return
        for entry in entries:
            if entry.partition(".")[0] == leaf and entry.endswith(_EXTENSIONS):
                raise RefusedModule(
                    f"{dotted}: module refused (policy {self._rules.policy}: no line of its "
                    f"`modules` names it, and {entry} is an extension module: machine code of a "
                    "granted file is never loaded). Ask the administrator to install it and to "
                    "give it in `modules`, or ask for it in the notebook's metadata: "
                    f'{{"sandbox": {{"modules": ["{dotted}"]}}}}',
                    name=dotted,
                )

    def _load(self, dotted: str, path: Path, package: bool) -> types.ModuleType:
        module = types.ModuleType(dotted)
        self._fill(module, dotted, path, package)
        return module

    def _fill(self, module: types.ModuleType, dotted: str, path: Path, package: bool) -> None:
        stamp = _stamp(path)
        code = self._compile(path.read_text(encoding="utf-8-sig"), str(path), True)
        space = module.__dict__
        space["__builtins__"] = self._builtins
        space["__file__"] = str(path)
        space["__package__"] = dotted if package else dotted.rpartition(".")[0]
        if package:
            space["__path__"] = [str(path.parent)]
        self._own.adopt_module(module, own=True)
        self.own_modules[dotted] = module
        self.module_names.add(dotted)
        self._stamps[dotted] = stamp
        try:
            exec(code, space)
        except BaseException:
            self.own_modules.pop(dotted, None)
            raise

    def reload(self, module: Any) -> types.ModuleType:
        """Run a granted file anew in its module.

        Raises:
            RefusedModule: the module was not made from a granted file.
        """
        name = str(getattr(module, "__name__", None))
        known = self.own_modules.get(name)
        if known is None or known is not module:
            raise RefusedModule(
                f"{name}: reload refused: only files beside the notebook can be reloaded",
                name=name,
            )
        path = Path(known.__dict__["__file__"])
        self._fill(known, name, path, "__path__" in known.__dict__)
        return known

    def reload_changed(self) -> list[str]:
        """Reload each granted file that changed since it was loaded; gives their names."""
        changed = []
        for name, module in list(self.own_modules.items()):
            path = Path(module.__dict__["__file__"])
            try:
                stamp = _stamp(path)
            except OSError:
                continue
            if stamp != self._stamps.get(name):
                self.reload(module)
                changed.append(name)
        return changed


def _stamp(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


def _readable(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:
        return False
