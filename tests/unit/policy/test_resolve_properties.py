"""What must hold for every policy: bounds, narrowing, and the order of lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_kernel.policy import (
    Grant,
    Origin,
    Policy,
    Rights,
    Source,
    load,
    parse_request,
    resolve,
)
from sandbox_kernel.policy.explain import grants
from sandbox_kernel.trusted.capabilities.files.decide import decide as decide_file
from sandbox_kernel.trusted.capabilities.files.schema import FileRequest
from sandbox_kernel.trusted.capabilities.modules.decide import decide as decide_module
from sandbox_kernel.trusted.capabilities.modules.schema import ModuleRequest
from sandbox_kernel.trusted.capabilities.sockets.decide import decide_address
from sandbox_kernel.trusted.capabilities.sockets.schema import AddressRequest
from sandbox_kernel.trusted.capabilities.verdict import Approved
from tests.unit.policy.samples import NOTEBOOK, NOW

TIERS = ("given", "on_request", "ask")
MODES = ("read", "create", "append", "write")

_path = st.sampled_from([".", "a", "a/b", "a/b/c", "../up", "*.x", "a/*", "**/b", "/", "~"])
_inside = st.sampled_from(["a/b", "a/b/c", "**/c"])
_file = st.fixed_dictionaries(
    {"path": _path, "mode": st.sampled_from(MODES)},
    optional={"expires": st.sampled_from(["1 s", "1970-01-01T00:00:00Z"])},
)
_host = st.sampled_from(
    ["*", "example.org", "*.example.org", "127.0.0.1", "10.0.0.0/8", "10.1.0.0/16", "localhost"]
)
_port = st.sampled_from(["*", "80", "443", "80-90"])
_socket = st.builds(
    lambda host, port, private: {"connect": f"{host}:{port}", "private": private},
    _host, _port, st.booleans(),
)  # fmt: skip
_module = st.sampled_from(["*", "os", "os.path", "numpy", "numpy.linalg", "re"])


def _lines(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**entry, "reason": "r"} for entry in entries]


_tier = st.builds(
    lambda files, sockets, modules: {
        "files": _lines(files),
        "sockets": _lines(sockets),
        "modules": [{"names": modules, "reason": "r"}] if modules else [],
    },
    st.lists(_file, max_size=3),
    st.lists(_socket, max_size=2),
    st.lists(_module, max_size=3),
)
_refuse = st.builds(
    lambda paths, modules: {
        "files": [{"path": path, "mode": mode, "reason": "r"} for path, mode in paths],
        "modules": [{"names": modules, "reason": "r"}] if modules else [],
    },
    st.lists(st.tuples(_inside, st.sampled_from(["read", "write"])), max_size=2),
    st.lists(_module, max_size=1),
)
_policy = st.fixed_dictionaries({**dict.fromkeys(TIERS, _tier), "refuse": _refuse})
_request = st.fixed_dictionaries(
    {},
    optional={
        "files": st.lists(_file, max_size=2),
        "sockets": st.lists(_socket, max_size=2),
        "modules": st.lists(_module, max_size=2),
    },
)

PATHS = ("/home/ann/nb", "/home/ann/nb/a", "/home/ann/nb/a/b/c", "/home/ann/nb/q.x",
         "/home/ann/up/z", "/home/ann/nb/case.ipynb", "/home/ann/nb/A/B", "/etc/x")  # fmt: skip
ADDRESSES = ((None, "8.8.8.8"), (None, "127.0.0.1"), (None, "10.1.2.3"), ("example.org", "8.8.8.8"),
             ("a.example.org", "10.1.2.3"), ("example.org", "169.254.169.254"))  # fmt: skip
MODULES = ("os", "os.path", "numpy.linalg", "re", "ctypes")


# A policy is large and the machine may be busy: fewer examples, and no bound on each.
few = settings(max_examples=50, deadline=None)


def build(tables: Mapping[str, Any], name: str, reverse: bool = False) -> Policy:
    lines = ["version = 1"]
    for tier in (*TIERS, "refuse"):
        for kind, entries in tables[tier].items():
            for entry in reversed(entries) if reverse else entries:
                lines.append(f"[[{tier}.{kind}]]")
                lines += [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
    return load([Source(name, "\n".join(lines))])


def allowed(rights: Rights) -> set[tuple[str, ...]]:
    """Everything of a fixed set of accesses that the rights allow."""
    found: set[tuple[str, ...]] = set()
    for path in PATHS:
        for mode in MODES:
            request = FileRequest(path, path, mode, True)  # type: ignore[arg-type]
            if isinstance(decide_file(request, rights), Approved):
                found.add((mode, path))
    for name, address in ADDRESSES:
        for port in (80, 443):
            asked = AddressRequest("connect", name, address, port)
            if isinstance(decide_address(asked, rights), Approved):
                found.add(("connect", name or "", address, str(port)))
    for module in MODULES:
        if isinstance(decide_module(ModuleRequest(module), rights), Approved):
            found.add(("import", module))
    return found


def yes(request: object) -> Grant:
    table = parse_request(request, Origin("grant")).table
    assert table is not None
    return Grant("g", table, "client", "session", NOW)


def everything(policy: Policy) -> Rights:
    """All that a policy can ever allow: each of its lines asked for and said yes to."""
    request = {
        "files": [{"path": "/", "mode": "write"}],
        "sockets": [
            {"connect": f"{host}:*", "private": True}
            for host in ("*", "127.0.0.0/8", "10.0.0.0/8", "localhost", "169.254.0.0/16")
        ],
        "modules": ["*"],
    }
    return resolve(
        policy,
        NOTEBOOK,
        now=NOW,
        request=parse_request(request, Origin("m")),
        grants=(yes(request),),
    )


@few
@given(_policy, _policy, _request, _request)
def test_no_right_lies_outside_the_system_policy(
    own: Any, systems: Any, request: Any, grant: Any
) -> None:
    system = build(systems, "system.toml")
    rights = resolve(
        build(own, "own.toml"),
        NOTEBOOK,
        now=NOW,
        system=system,
        request=parse_request(request, Origin("m")),
        grants=(yes(grant),),
    )

    assert allowed(rights) <= allowed(everything(system))


@few
@given(_policy, _request, _request)
def test_no_right_lies_outside_the_policy(own: Any, request: Any, grant: Any) -> None:
    policy = build(own, "own.toml")
    rights = resolve(
        policy, NOTEBOOK, now=NOW, request=parse_request(request, Origin("m")), grants=(yes(grant),)
    )

    assert allowed(rights) <= allowed(everything(policy))


@few
@given(_policy, _request, _request, _request)
def test_a_cell_never_has_more_than_its_notebook(
    own: Any, request: Any, cell: Any, narrower: Any
) -> None:
    policy = build(own, "own.toml")

    def rights(narrowed: object) -> Rights:
        return resolve(
            policy,
            NOTEBOOK,
            now=NOW,
            request=parse_request(request, Origin("m")),
            cell=None if narrowed is None else parse_request(narrowed, Origin("cell")),
        )

    whole = allowed(rights(None))
    assert allowed(rights(cell)) <= whole
    assert allowed(rights({**cell, "files": [], "modules": []})) <= allowed(rights(cell))


@few
@given(_policy, _request, _request)
def test_narrowing_a_grant_never_adds(own: Any, grant: Any, narrower: Any) -> None:
    policy = build(own, "own.toml")
    whole = yes(grant)
    table = parse_request(narrower, Origin("n")).table
    assert table is not None
    part = Grant("g", whole.table, "client", "session", NOW, (table,))

    few = resolve(policy, NOTEBOOK, now=NOW, grants=(part,))
    many = resolve(policy, NOTEBOOK, now=NOW, grants=(whole,))

    assert allowed(few) <= allowed(many)


@few
@given(_policy, _policy, _request)
def test_the_order_of_lines_does_not_matter(own: Any, systems: Any, request: Any) -> None:
    first, second = (
        resolve(
            build(own, "own.toml", reverse),
            NOTEBOOK,
            now=NOW,
            system=build(systems, "system.toml", reverse),
            request=parse_request(request, Origin("m")),
        )
        for reverse in (False, True)
    )

    assert allowed(first) == allowed(second)
    assert {r.entry for r in first.rights} == {r.entry for r in second.rights}
    assert grants(first)["modules"] == grants(second)["modules"]


@few
@given(_policy, _request)
def test_the_system_policy_itself_is_its_own_bound(own: Any, request: Any) -> None:
    policy = build(own, "own.toml")
    asked = parse_request(request, Origin("m"))

    alone = resolve(policy, NOTEBOOK, now=NOW, request=asked)
    bounded = resolve(policy, NOTEBOOK, now=NOW, system=policy, request=asked)

    assert allowed(bounded) == allowed(alone)
