"""Pickles: what a cell reads from one, and by which imports.

A pickle names functions and calls them. Here each name is looked up as the cell itself would
import it.
"""

from __future__ import annotations

import importlib
import io
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..attributes import plain_text
from ..namespaces import cell_globals

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["REPLACEMENTS"]

_Names = dict[str, Any]


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
                target = types.SimpleNamespace(**cell_globals(session.ownership))
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


REPLACEMENTS: dict[str, Callable[[Session, Any], _Names]] = {
    "pickle": _pickle,
}
