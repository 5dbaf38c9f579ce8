"""Settings and limits: the stricter of the chosen policy and the system policy holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from . import model
from .load import Policy
from .problems import Origin, Problem
from .request import Request
from .rights import Limit, Settings
from .units import Amount, Count, Duration, Size

NAMES: tuple[str, ...] = model.LimitSet.__struct_fields__
"""Names of all limits."""

# From the least to the most that a policy can demand of the walls.
_ISOLATION: tuple[model.Isolation, ...] = ("landlock-only", "no-namespaces", "full")
_UNIT: Mapping[str, type[Amount]] = {
    "wall_time": Duration,
    "cpu_time": Duration,
    "grace": Duration,
    "memory": Size,
    "output": Size,
    "scratch": Size,
    "written": Size,
    "read": Size,
}

DEFAULT_TIMEOUT = 300.0
"""Seconds for an answer where no policy says."""


class _Yes(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def table(self) -> model.RequestTable: ...


@lru_cache(maxsize=16)
def bounded_settings(policy: Policy, system: Policy | None) -> Settings:
    """The settings that hold; a policy that does not say gets the strict one."""
    both = [policy.table] if system is None else [policy.table, system.table]
    languages = {table.language or "restricted" for table in both}
    isolation = max((table.isolation or "no-namespaces" for table in both), key=_ISOLATION.index)
    snapshots = policy.table.snapshots
    return Settings(
        language="restricted" if "restricted" in languages else "full",
        isolation=isolation,
        background="ended" if any(t.background == "ended" for t in both) else "kept",
        yields_after=min(_seconds(t.limits.yields_after, math.inf) for t in both),
        question_timeout=min(_seconds(t.questions.timeout, DEFAULT_TIMEOUT) for t in both),
        remember=min(_seconds(t.questions.remember, 0.0) for t in both),
        snapshots=snapshots.mode or "adaptive",
        snapshot_budget=_seconds(snapshots.budget, 0.0),
        preload=policy.table.preload,
        issuers=_issuers(policy, system),
    )


def may_choose(name: str, policy: Policy, system: Policy | None) -> bool:
    """Whether a notebook's metadata may choose the policy `name` in place of `policy`."""
    tables = [policy.table] if system is None else [policy.table, system.table]
    return name == policy.name or all(name in table.notebook_policies for table in tables)


def bounded_limits(
    policy: Policy,
    system: Policy | None,
    request: Request | None,
    grants: Sequence[_Yes],
) -> tuple[Mapping[str, Limit], Mapping[str, Limit], list[Problem]]:
    """The limits of a cell and of the session, and what was asked for above the most."""
    within, limited, session = _of_both(policy, system)
    problems: list[Problem] = []
    asked: list[tuple[model.LimitSet, Origin]] = []
    if request is not None and request.table is not None and request.table.limits is not None:
        asked.append((request.table.limits, request.origin))
    for grant in grants:
        if grant.table.limits is not None:
            asked.append((grant.table.limits, Origin(f"grant {grant.id}")))
    for wanted, origin in asked:
        within = {n: _raised(limit, wanted, origin, problems) for n, limit in within.items()}
    return _limited(within) if asked else limited, session, problems


@lru_cache(maxsize=16)
def _of_both(
    policy: Policy, system: Policy | None
) -> tuple[Mapping[str, Limit], Mapping[str, Limit], Mapping[str, Limit]]:
    """What the policies say of each limit for a cell, of those that limit anything, and of those
    for the session.
    """
    within = {name: _both(policy, system, name) for name in NAMES}
    totals = {name: _total(policy, system, name) for name in NAMES}
    session = {name: total for name, total in totals.items() if total is not None}
    return within, _limited(within), session


def _limited(limits: Mapping[str, Limit]) -> Mapping[str, Limit]:
    return {name: limit for name, limit in limits.items() if not limit.amount.unlimited}


@lru_cache(maxsize=16)
def person_limits(policy: Policy, system: Policy | None) -> Mapping[str, Limit]:
    """What all kernels of a person may use together: of both policies the smaller."""
    found: dict[str, Limit] = {}
    for source in (policy, system):
        for name in model.PersonLimits.__struct_fields__ if source else ():
            assert source is not None
            amount = getattr(source.table.limits.person, name)
            if amount is None or amount.unlimited:
                continue
            if name not in found or amount.value < found[name].value:
                origin = source.origin("limits", "person", name)
                found[name] = Limit(name, amount, amount, origin)
    return found


def narrow_limits(
    limits: Mapping[str, Limit], table: model.RequestTable, origin: Origin
) -> Mapping[str, Limit]:
    """The limits of a cell whose own metadata lowers some."""
    narrowed = dict(limits)
    if table.limits is not None:
        for name in NAMES:
            wanted = getattr(table.limits, name)
            here = limits.get(name)
            if wanted is None or (here is not None and wanted.value >= here.value):
                continue
            if not wanted.unlimited:
                narrowed[name] = Limit(name, wanted, here.most if here else wanted, origin)
    return narrowed


def _both(policy: Policy, system: Policy | None, name: str) -> Limit:
    chosen = _own(policy, name)
    if system is None:
        return chosen
    outer = _own(system, name)
    amount = chosen.amount.smaller(outer.amount)
    origin = chosen.origin if amount is chosen.amount else outer.origin
    return Limit(name, amount, chosen.most.smaller(outer.most), origin)


def _own(policy: Policy, name: str) -> Limit:
    """The limit of one policy; `most` is never below the limit itself."""
    table = policy.table.limits
    amount = getattr(table, name)
    origin = policy.origin("limits", name)
    if amount is None:
        amount = _unlimited(name)
    most = getattr(table.max, name)
    if most is None or most.value < amount.value:
        most = amount
    return Limit(name, amount, most, origin)


def _raised(limit: Limit, wanted: model.LimitSet, origin: Origin, problems: list[Problem]) -> Limit:
    amount = getattr(wanted, limit.name)
    if amount is None:
        return limit
    if amount.value > limit.most.value:
        text = (
            f"limits.{limit.name}: {amount} asked for, at most {limit.most} allowed "
            f"({limit.origin.place}, limits.max)"
        )
        problems.append(Problem("limits.above_max", text, origin))
        amount = limit.most
    return Limit(limit.name, amount, limit.most, origin)


def _total(policy: Policy, system: Policy | None, name: str) -> Limit | None:
    found: Limit | None = None
    for source in (policy, system):
        amount = getattr(source.table.limits.session, name) if source else None
        if source is None or amount is None or amount.unlimited:
            continue
        if found is None or amount.value < found.value:
            found = Limit(name, amount, amount, source.origin("limits", "session", name))
    return found


def _unlimited(name: str) -> Amount:
    return _UNIT.get(name, Count)(math.inf, "unlimited")


def _issuers(policy: Policy, system: Policy | None) -> tuple[model.Issuer, ...]:
    """The issuers that both policies list; a ticket is a yes, and the system bounds who says it."""
    listed = policy.table.tickets.issuers
    if system is None:
        return listed
    keys = {issuer.key for issuer in system.table.tickets.issuers}
    return tuple(issuer for issuer in listed if issuer.key in keys)


def _seconds(duration: Duration | None, otherwise: float) -> float:
    return otherwise if duration is None else duration.seconds
