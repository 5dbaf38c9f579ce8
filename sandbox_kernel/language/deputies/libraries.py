"""The data libraries' deputies: what a cell gets in their place, per module."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..attributes import plain_text
from ..refusal import RefusedAttribute, RefusedValue

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["INJECTIONS", "REPLACEMENTS"]

_Names = dict[str, Any]


def _numpy(session: Session, module: Any) -> _Names:
    @functools.wraps(module.load)
    def load(
        file: Any, mmap_mode: Any = None, allow_pickle: bool = False, *rest: Any, **named: Any
    ) -> Any:
        if allow_pickle:
            raise RefusedValue("numpy.load: allow_pickle is refused: a pickle runs code")
        return module.load(file, mmap_mode, False, *rest, **named)

    return {"load": load}


def _pandas(session: Session, module: Any) -> _Names:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RefusedValue("pandas.read_pickle is refused: a pickle runs code; use parquet or csv")

    refuse.__name__ = "read_pickle"
    return {"read_pickle": refuse}


def _pandas_extensions(session: Session, module: Any) -> _Names:
    """Accessors: registration only adds names."""
    pandas = sys.modules["pandas"]
    return {
        f"register_{kind.lower()}_accessor": _accessor(session, module, getattr(pandas, kind))
        for kind in ("DataFrame", "Series", "Index")
    }


def _xarray(session: Session, module: Any) -> _Names:
    """Accessors, as pandas'."""
    return {
        f"register_{kind.lower()}_accessor": _accessor(session, module, getattr(module, kind))
        for kind in ("DataArray", "Dataset", "DataTree")
        if hasattr(module, f"register_{kind.lower()}_accessor")
    }


def _accessor(session: Session, module: Any, target: type) -> Callable[..., Any]:
    kind = target.__name__
    real = getattr(module, f"register_{kind.lower()}_accessor")

    @functools.wraps(real)
    def register(name: Any) -> Callable[[Any], Any]:
        name = plain_text(name)

        def decorate(accessor: Any) -> Any:
            present = getattr(target, name, None)
            if present is not None and not session.ownership.owns(present):
                raise RefusedAttribute(
                    f"{kind}.{name} is refused: an accessor may only add a name; choose another"
                )
            with session.world.thawed(target):
                return real(name)(accessor)

        return decorate

    return register


def _attrs(session: Session, module: types.ModuleType) -> None:
    """attrs: the names of fields stand in the text of the methods that it writes."""
    real = module.__dict__["_transform_attrs"]

    def _transform_attrs(*arguments: Any, **named: Any) -> Any:
        found = real(*arguments, **named)
        for field in found[0]:
            for name in (field.name, field.alias):
                if name is not None and not (type(name) is str and name.isidentifier()):
                    raise RefusedValue(f"a field named {name!r} is refused: it is no name")
        return found

    module.__dict__["_transform_attrs"] = _transform_attrs


INJECTIONS: dict[str, Callable[[Session, types.ModuleType], None]] = {"attr._make": _attrs}

REPLACEMENTS: dict[str, Callable[[Session, Any], _Names]] = {
    "numpy": _numpy,
    "pandas": _pandas,
    "pandas.api.extensions": _pandas_extensions,
    "xarray": _xarray,
}
