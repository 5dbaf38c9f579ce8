"""Limits that are raised or lowered while the kernel runs: what may be asked for. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ...policy.model import LimitSet
from ...policy.problems import Origin, nearest
from ...policy.rights import Limit
from ...policy.units import Amount, UnitError
from ...shared.errors import Denied
from .table import BY_NAME


class LimitDenied(Denied):
    """The change was refused; nothing was changed."""

    code = "limit-denied"


def changed(
    limits: Mapping[str, Limit], wanted: Mapping[str, object], origin: Origin
) -> dict[str, Limit]:
    """`limits` with those of `wanted` (as in `{"memory": "3 GB"}`) in their place.

    Raises `LimitDenied`, naming the key, what was asked for and what is the most.
    """
    result = dict(limits)
    names = LimitSet.__struct_fields__
    for name, raw in wanted.items():
        if name not in names:
            raise LimitDenied(f"limits.{name}: there is no such limit; {nearest(name, names)}")
        amount = _amount(name, raw)
        present = limits.get(name)
        if present is not None and amount.value > present.most.value:
            raise LimitDenied(
                f"limits.{name}: {amount} asked for, at most {present.most} can be given "
                f"({present.origin.place}, limits.max)"
            )
        most = amount if present is None else present.most
        result[name] = Limit(name, amount, most, origin)
    return result


def _amount(name: str, raw: object) -> Amount:
    kinds = {field.name: field.type for field in msgspec.structs.fields(LimitSet)}
    unit = BY_NAME[name].unit if name in BY_NAME else _unit(kinds[name])
    try:
        return unit.parse(raw)
    except UnitError as error:
        raise LimitDenied(f"limits.{name}: {error}") from None


def _unit(annotation: object) -> type[Amount]:
    """The unit in an annotation such as `Annotated[Duration | None, …]`."""
    pending = [annotation]
    while pending:
        item = pending.pop()
        if isinstance(item, type) and issubclass(item, Amount):
            return item
        pending += list(getattr(item, "__args__", ()))
        pending += [item.__origin__] if hasattr(item, "__origin__") else []
    raise TypeError(f"{annotation!r} has no unit")
