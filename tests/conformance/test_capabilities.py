"""One suite over all kinds of capability: what holds for each of them.

A kind that is added gets a row in `KINDS` and must pass everything here.
"""

from __future__ import annotations

import ast
import copy
import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import sandbox_kernel.trusted.capabilities as capabilities
from sandbox_kernel.policy import Grant, Rights, Source, load, parse_request
from sandbox_kernel.policy.model import KINDS as KIND_NAMES
from sandbox_kernel.policy.problems import Origin
from sandbox_kernel.trusted.capabilities.display.decide import decide as decide_display
from sandbox_kernel.trusted.capabilities.display.schema import DisplayRequest
from sandbox_kernel.trusted.capabilities.environment.decide import decide as decide_environment
from sandbox_kernel.trusted.capabilities.environment.schema import EnvironmentRequest
from sandbox_kernel.trusted.capabilities.files.decide import decide as decide_file
from sandbox_kernel.trusted.capabilities.files.schema import FileRequest
from sandbox_kernel.trusted.capabilities.modules.decide import decide as decide_module
from sandbox_kernel.trusted.capabilities.modules.schema import ModuleRequest
from sandbox_kernel.trusted.capabilities.processes.decide import decide as decide_process
from sandbox_kernel.trusted.capabilities.processes.schema import ProcessRequest
from sandbox_kernel.trusted.capabilities.sockets.decide import decide as decide_socket
from sandbox_kernel.trusted.capabilities.sockets.schema import SocketRequest
from sandbox_kernel.trusted.capabilities.verdict import Approved, Denied
from tests.unit.policy.samples import rights, yes


@dataclass(frozen=True)
class Kind:
    """A kind with one access, the line that covers it, and one that covers another access."""

    name: str
    decide: Callable[[Any, Rights], Approved[Any] | Denied]
    wanted: Any
    line: str
    request: dict[str, Any]
    other: str
    told: tuple[str, ...]
    exception: str
    nothing: dict[str, Any]


KINDS = (
    Kind(
        "files",
        decide_file,
        FileRequest("data/x.csv", "/home/ann/nb/data/x.csv", "read", True),
        'path = "data"\nmode = "read"',
        {"files": [{"path": "data", "mode": "read"}]},
        'path = "else"\nmode = "write"',
        ("data/x.csv", "read"),
        "PermissionError",
        {"files": []},
    ),
    Kind(
        "sockets",
        decide_socket,
        SocketRequest("connect", "api.example.org", 443),
        'connect = "api.example.org:443"',
        {"sockets": [{"connect": "api.example.org:443"}]},
        'connect = "api.example.org:80"',
        ("api.example.org:443", "connect"),
        "PermissionError",
        {"sockets": []},
    ),
    Kind(
        "modules",
        decide_module,
        ModuleRequest("scipy.stats"),
        'names = ["scipy"]',
        {"modules": ["scipy"]},
        'names = ["sci", "scipy2"]',
        ("scipy.stats", "import", "modules"),
        "ImportError",
        {"modules": []},
    ),
    Kind(
        "environment",
        decide_environment,
        EnvironmentRequest("MY_DB_URL"),
        'names = ["MY_DB_URL"]',
        {"environment": ["MY_DB_URL"]},
        'names = ["MY_DB"]',
        ("MY_DB_URL", "environment"),
        "KeyError",
        {"environment": []},
    ),
    Kind(
        "processes",
        decide_process,
        ProcessRequest("fork"),
        "spawn = true",
        {"processes": {"spawn": True}},
        "spawn = false",
        ("processes", "fork"),
        "PermissionError",
        {"processes": []},
    ),
    Kind(
        "display",
        decide_display,
        DisplayRequest("html", "frame"),
        'html = "frame"',
        {"display": {"html": "frame"}},
        'javascript = "frame"',
        ("html", "frame", "display"),
        "PermissionError",
        {"display": []},
    ),
)

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def tier(name: str, kind: Kind, line: str = "") -> str:
    return f'[[{name}.{kind.name}]]\n{line or kind.line}\nreason = "the reason"\n'


def denied(kind: Kind, found: Rights) -> Denied:
    answer = kind.decide(kind.wanted, found)
    assert isinstance(answer, Denied)
    return answer


def approved(kind: Kind, found: Rights) -> Approved[Any]:
    answer = kind.decide(kind.wanted, found)
    assert isinstance(answer, Approved)
    return answer


def test_every_kind_of_the_model_is_here() -> None:
    folders = {
        path.name
        for path in Path(capabilities.__file__).parent.iterdir()
        if (path / "decide.py").exists()
    }

    assert {kind.name for kind in KINDS} == set(KIND_NAMES) == folders


@every_kind
def test_nothing_is_allowed_without_a_line(kind: Kind) -> None:
    denied(kind, rights(""))
    denied(kind, rights(tier("given", kind, kind.other)))


@every_kind
def test_a_line_that_is_given_allows(kind: Kind) -> None:
    right = approved(kind, rights(tier("given", kind))).right

    assert right is not None
    assert right.origin.place == "course.toml:2"
    assert right.origin.reason == "the reason"
    assert right.kind == kind.name


@every_kind
def test_a_line_on_request_allows_when_the_metadata_asks(kind: Kind) -> None:
    text = tier("on_request", kind)

    refusal = denied(kind, rights(text))
    assert "on request only" in refusal.text
    assert refusal.ask is not None
    approved(kind, rights(text, kind.request))


@every_kind
def test_a_line_to_be_asked_for_allows_after_a_yes_only(kind: Kind) -> None:
    text = tier("ask", kind)

    assert denied(kind, rights(text, kind.request)).askable
    right = approved(kind, rights(text, grants=(yes(kind.request, "g1"),))).right
    assert right is not None
    assert (right.grant_id, right.through) == ("g1", "client")


@every_kind
def test_a_yes_grants_nothing_that_no_line_covers(kind: Kind) -> None:
    answer = denied(kind, rights("", grants=(yes(kind.request),)))

    assert not answer.askable


@every_kind
def test_a_yes_to_what_the_refusal_asks_for_is_enough(kind: Kind) -> None:
    text = tier("ask", kind)
    refusal = denied(kind, rights(text))
    assert refusal.ask is not None
    approved(kind, rights(text, grants=(Grant("g1", refusal.ask, "person"),)))


@every_kind
@pytest.mark.parametrize("where", ["policy", "system"])
def test_refuse_wins_over_every_tier_and_every_yes(kind: Kind, where: str) -> None:
    line = kind.line.replace('mode = "read"', "")
    refuse = tier("refuse", kind, line)
    text = tier("given", kind) + (refuse if where == "policy" else "")
    system = tier("given", kind) + refuse if where == "system" else None

    answer = denied(kind, rights(text, kind.request, grants=(yes(kind.request),), system=system))

    assert answer.code == f"{kind.name}.refused"
    assert "refuse" in answer.text
    assert "the reason" in answer.text
    assert not answer.askable
    assert answer.origin.file == ("course.toml" if where == "policy" else "system.toml")


@every_kind
def test_the_system_policy_bounds_it(kind: Kind) -> None:
    text = tier("given", kind)

    approved(kind, rights(text, system=tier("given", kind)))
    denied(kind, rights(text, system=""))
    assert denied(kind, rights(text, system=tier("ask", kind))).askable


@every_kind
def test_a_cell_can_give_it_up(kind: Kind) -> None:
    text = tier("given", kind)

    answer = denied(kind, rights(text, cell=kind.nothing))

    assert "gives it; the cell's metadata" in answer.text
    approved(kind, rights(text, cell={}))


@every_kind
def test_it_can_be_taken_back_for_the_session(kind: Kind) -> None:
    text = tier("given", kind)

    answer = denied(kind, rights(text, revoked=(kind.request,)))

    assert "revoked in this session" in answer.text


@every_kind
def test_a_refusal_names_what_rule_and_remedy(kind: Kind) -> None:
    answer = denied(kind, rights(""))

    for word in (*kind.told, "policy", "course.toml"):
        assert word in answer.text
    assert answer.kind == kind.name
    assert answer.exception == kind.exception
    assert re.fullmatch(rf"{kind.name}\.[a-z_]+", answer.code)


@every_kind
def test_the_line_that_a_refusal_shows_is_the_one_that_helps(kind: Kind) -> None:
    shown = denied(kind, rights("")).remedy.partition("needs:\n")[2]
    line = tomllib.loads(shown)
    policy = load([Source("course.toml", "version = 1\n" + shown)])
    assert policy.table.ask

    assert set(line) == {"ask"}
    assert denied(kind, rights(shown)).askable
    approved(kind, rights(shown, grants=(yes(kind.request),)))


@every_kind
def test_the_metadata_that_a_refusal_shows_is_the_one_that_helps(kind: Kind) -> None:
    text = tier("on_request", kind)
    shown = denied(kind, rights(text)).remedy.partition("metadata: ")[2]

    metadata = json.loads(shown)["sandbox"]

    assert not parse_request(metadata, Origin("m")).malformed
    approved(kind, rights(text, metadata))


@every_kind
def test_an_approval_is_made_by_the_checker_alone(kind: Kind) -> None:
    real = approved(kind, rights(tier("given", kind)))

    with pytest.raises(TypeError, match="only decide"):
        Approved(object(), kind.wanted, None)
    with pytest.raises(TypeError):
        Approved(kind.wanted, kind.wanted, None)
    with pytest.raises(AttributeError, match="does not change"):
        real.request = None
    with pytest.raises(TypeError):
        copy.copy(real)


def test_only_decisions_use_the_seal() -> None:
    """`approve` and the seal are named in the decide modules and where they are defined."""
    root = Path(capabilities.__file__).parents[2]
    users = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = {node.attr} if isinstance(node, ast.Attribute) else set()
            if isinstance(node, ast.ImportFrom):
                named = {alias.name for alias in node.names}
            if named & {"approve", "_SEAL"}:
                users.add(path.relative_to(root / "trusted/capabilities").as_posix())

    assert users == {f"{kind.name}/decide.py" for kind in KINDS}


def test_kinds_do_not_know_each_other() -> None:
    root = Path(capabilities.__file__).parent
    for kind in KINDS:
        for path in (root / kind.name).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.level == 2:
                    named = {str(node.module).partition(".")[0]} | {a.name for a in node.names}
                    assert not named & ({k.name for k in KINDS} - {kind.name}), path
