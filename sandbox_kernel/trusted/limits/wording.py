"""What people read about a limit: which, how much, who set it, and how to get more. Pure."""

from __future__ import annotations

import math

from ...policy.rights import Limit
from ...policy.units import Count, Duration, Size
from .verdict import ALL_KERNELS

KEPT = "All variables are kept."


def amount(unit: type, value: float) -> str:
    """A value in the form that a policy is written in: `3.02 s`, `1.2 GB`, `33`."""
    if unit is Duration:
        return duration(value)
    if unit is Size:
        return size(value)
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """`250 ms`, `3.02 s`, `12.5 min`."""
    if math.isinf(seconds):
        return "unlimited"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min"


def size(count: float) -> str:
    """`512 B`, `3.1 MB`, `1.25 GB`; powers of 1000, as in a policy."""
    if math.isinf(count):
        return "unlimited"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}" if count < 1e3 * factor else f"{count:.3e} B"
    return f"{count:.0f} B"


def reached(name: str, unit: type, used: float, limit: Limit, scope: str = "a cell") -> str:
    """`wall_time: 3.02 s used, 3 s allowed for a cell (policy default.toml:31).`"""
    place = _place(limit)
    return f"{name}: {amount(unit, used)} used, {limit.amount} allowed for {scope}{place}."


def _place(limit: Limit) -> str:
    """` (policy default.toml:31)` for a line of a policy, else ` (the notebook's metadata)`."""
    if not limit.origin.file:
        return ""
    return f" (policy {limit.origin.place})" if limit.origin.line else f" ({limit.origin.place})"


def remedy(limit: Limit, scope: str = "a cell") -> str:
    """How to ask for more of it."""
    if scope == "the session":
        return "A restart of the kernel begins a new session."
    if scope == ALL_KERNELS:
        return "Shut down a kernel that you no longer need; its variables go with it."
    if limit.most.value <= limit.amount.value:
        return f"No more can be asked for here: limits.max has {limit.most}."
    more = _more(limit)
    return (
        f'For more, ask in the notebook\'s metadata: "sandbox": {{"limits": {{"{limit.name}": '
        f"{more}}}}} (at most {limit.most}), or raise it while the cell runs with the control "
        f"command `limits`."
    )


def _more(limit: Limit) -> str:
    doubled = min(limit.amount.value * 2, limit.most.value)
    if isinstance(limit.amount, Count):
        return f"{doubled:.0f}"
    if doubled == limit.most.value:
        return f'"{limit.most}"'
    return f'"{amount(type(limit.amount), doubled)}"'


def interrupted(name: str, unit: type, used: float, limit: Limit, scope: str) -> str:
    """Text of the exception that is raised in the cell."""
    return f"{reached(name, unit, used, limit, scope)} {KEPT} {remedy(limit, scope)}"


def killed(name: str, unit: type, used: float, limit: Limit, scope: str, grace: float) -> str:
    """Text for a cell that went on after the exception; what was kept is told apart."""
    return (
        f"{reached(name, unit, used, limit, scope)} The cell did not stop within the grace of "
        f"{duration(grace)}, so its process was killed. {remedy(limit, scope)}"
    )


def killed_at_once(name: str, unit: type, used: float, limit: Limit, scope: str) -> str:
    """Text for a cell whose memory grew too fast to wait for anything."""
    return (
        f"{reached(name, unit, used, limit, scope)} It grew beyond the limit faster than the cell "
        f"could be interrupted, so its process was killed. {remedy(limit, scope)}"
    )


def symptom(name: str, unit: type, used: float, peak: float, limit: Limit) -> str:
    """Added to an error that the limit's wall has caused in the cell."""
    place = _place(limit)
    parts = [f"{amount(unit, used)} used"] if used else []
    if peak > used:
        parts.append(f"{amount(unit, peak)} at most in this cell")
    parts.append(f"{limit.amount} allowed{place}")
    return f"{name}: {', '.join(parts)}. {KEPT} {remedy(limit)}"
