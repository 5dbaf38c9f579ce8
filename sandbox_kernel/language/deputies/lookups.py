"""Libraries that look up an object by a dotted name in a text: it is found as a cell would.

``traitlets.Type("os.system")``, an extension of jinja2, a tag of YAML, pydantic's `ImportString`:
each imports in trusted code what a cell may name. Here the name is imported and read by the rules
of the cell. A library's own classes name what is their own as before.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..attributes import plain_text
from ..namespaces import cell_globals, visible

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["INJECTIONS", "REPLACEMENTS"]

_Names = dict[str, Any]
_NAMED_BY_LIBRARIES = frozenset({"logging.Logger", "collections.abc.Mapping"})
"""Classes of other packages that the traits of libraries name by text: harmless ones."""


def _look_up(session: Session, dotted: Any) -> Any:
    """The object named ``a.b.c`` or ``a.b:c``, as a cell would import and read it.

    Raises:
        RefusedModule: the policy does not give its module.
        ImportError: there is none.
    """
    parts = plain_text(dotted).replace(":", ".").split(".")
    found: Any = session.imports.import_module(parts[0], True)
    for length, part in enumerate(parts[1:], 2):
        try:
            found = session.attributes.getattr(found, part)
        except AttributeError:
            found = session.imports.import_module(".".join(parts[:length]), True)
    return found


def _import_item(session: Session) -> Callable[[Any], Any]:
    def import_item(name: Any) -> Any:
        """The object of that dotted name."""
        return _look_up(session, name)

    return import_item


def _traitlets_names(session: Session, module: Any) -> _Names:
    return {"import_item": session.ownership.lend(_import_item(session))}


def _traitlets(session: Session, module: Any) -> None:
    """traitlets: classes that a trait names by text."""
    real = module.ClassBasedTraitType._resolve_string

    def _resolve_string(self: Any, string: Any) -> Any:
        string, home = plain_text(string), self.this_class
        if string in _NAMED_BY_LIBRARIES:
            return real(self, string)
        if home is None or session.ownership.owns_class(home):
            return _look_up(session, string)
        top = str(home.__module__).partition(".")[0]
        if string.partition(".")[0] == top or not session.imports.allowed(top):
            return real(self, string)
        return _look_up(session, string)

    with session.world.thawed(module.ClassBasedTraitType):
        module.ClassBasedTraitType._resolve_string = _resolve_string


def _jinja_names(session: Session, module: Any) -> _Names:
    def import_string(import_name: Any, silent: bool = False) -> Any:
        """The object of that dotted name."""
        try:
            return _look_up(session, import_name)
        except (ImportError, AttributeError):
            if silent:
                return None
            raise

    return {"import_string": session.ownership.lend(import_string)}


def _jinja(session: Session, module: types.ModuleType) -> None:
    """jinja2: extensions that are named by text."""
    real = module.__dict__["import_string"]

    def import_string(import_name: Any, silent: bool = False) -> Any:
        if plain_text(import_name).startswith("jinja2.ext."):
            return real(import_name, silent)
        return _look_up(session, import_name)

    module.__dict__["import_string"] = import_string


class _Given(Mapping[str, Any]):
    """``sys.modules`` as a cell sees it: what it may import is there."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getitem__(self, name: str) -> Any:
        if name == "__main__":
            return types.SimpleNamespace(**visible(cell_globals(self._session.ownership)))
        if name in ("builtins", "__builtin__"):
            names = self._session.builtins
            return types.SimpleNamespace(**{k: v for k, v in names.items() if k[:1] != "_"})
        try:
            return self._session.imports.import_module(plain_text(name), True)
        except ImportError as error:
            raise KeyError(f"{name}: {error}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _yaml(session: Session, module: types.ModuleType) -> None:
    """yaml: tags that name a Python object."""

    class _System:
        modules = _Given(session)
        intern = staticmethod(sys.intern)

    module.__dict__["sys"] = _System
    module.__dict__["__import__"] = lambda name, *_: _System.modules.get(name)
    module.__dict__["getattr"] = session.builtins["getattr"]
    module.__dict__["hasattr"] = session.builtins["hasattr"]


def _pydantic(session: Session, module: types.ModuleType) -> None:
    """pydantic: `ImportString`."""
    module.__dict__["_import_string_logic"] = lambda path: _look_up(session, path)


REPLACEMENTS: dict[str, Callable[[Session, Any], _Names]] = {
    "traitlets": _traitlets_names,
    "traitlets.utils.importstring": _traitlets_names,
    "jinja2.utils": _jinja_names,
}

INJECTIONS: dict[str, Callable[[Session, types.ModuleType], None]] = {
    "traitlets.traitlets": _traitlets,
    "jinja2.environment": _jinja,
    "jinja2.ext": _jinja,
    "yaml.constructor": _yaml,
    "pydantic._internal._validators": _pydantic,
}
