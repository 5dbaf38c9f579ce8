"""When a right ends: a duration from its start, or an instant with its zone."""

from __future__ import annotations

import datetime

from .units import Duration, UnitError


def expiry(written: str | None, start: float) -> float | None:
    """Seconds since the epoch at which a right ends that starts at `start`.

    Raises UnitError for a text that is neither a duration nor an instant with a zone.
    """
    ends, lasts = ending(written)
    return ends if lasts is None else start + lasts


def ending(written: str | None) -> tuple[float | None, float | None]:
    """When a right ends: at an instant (seconds since the epoch), or seconds after its start.

    None where it does not. Raises as `expiry`.
    """
    if written is None:
        return None, None
    try:
        lasts = Duration.parse(written)
    except UnitError:
        return _instant(written), None
    return None, None if lasts.unlimited else lasts.seconds


def check_expiry(written: str | None) -> list[str]:
    """The message for an `expires` that cannot be read, as a list of none or one."""
    try:
        expiry(written, 0.0)
    except UnitError as error:
        return [str(error)]
    return []


def _instant(written: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(written)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UnitError(
            f"expires = {written!r}: write a duration such as '2 h' or an instant with its zone "
            "such as '2026-12-24T18:00:00Z'"
        )
    return moment.timestamp()
