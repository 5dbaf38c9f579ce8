"""Reading cases: what FORMAT.md does not know is refused, and the shipped file is read whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases.model import BadCase, Case, parse_case, read_cases

FILE = Path(__file__).parents[2] / "cases" / "cases.jsonl"


def case(**fields: Any) -> Case:
    """A case with one cell and what a test adds."""
    return parse_case({"id": "X01", "group": "X", "steps": [{"cell": "1"}]} | fields)


def test_the_shipped_cases_are_all_understood() -> None:
    cases = [each for each, _ in read_cases(FILE)]
    assert len(cases) == len([line for line in FILE.read_text().splitlines() if line.strip()])
    assert {each.group for each in cases} == set("ABCDEFGHI")


def test_absent_fields_have_the_defaults_of_the_format() -> None:
    plain = case()
    assert plain.notebook == "nb/case.ipynb"
    assert plain.metadata is None
    assert not plain.allows_stdin
    assert plain.steps[0].kernel == "a"
    assert plain.steps[0].expect == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"stesp": []},
        {"steps": [{"cell": "1", "expect": {"stduot": ""}}]},
        {"steps": [{"cell": "1", "host": "2"}]},
        {"steps": [{"expect": {}}]},
        {"steps": [{"cell": "1", "channel": "control"}]},
        {"steps": [{"control": {"command": "status"}, "expect": {"stdout": ""}}]},
        {"steps": [{"answer": "maybe"}]},
        {"steps": [{"cell": "1"}, {"client": "nbclient"}]},
        {"steps": [{"client": "nbclient"}, {"control": {"command": "status"}}]},
        {"steps": [{"client": "otter"}]},
        {"after": {"contacts": ["web"]}},
        {"world": [{"path": "a"}]},
        {"world": [{"path": "a", "text": "", "hex": ""}]},
        {"services": [{"name": "s", "kind": "ftp"}]},
        {"services": [{"name": "s", "kind": "tcp", "routes": {}}]},
        {"steps": "1"},
    ],
)
def test_a_case_that_the_format_does_not_know_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadCase):
        case(**fields)


def test_an_id_is_there_once(tmp_path: Path) -> None:
    line = json.dumps({"id": "X01", "group": "X", "steps": []})
    path = tmp_path / "twice.jsonl"
    path.write_text(f"{line}\n\n{line}\n")
    with pytest.raises(BadCase, match="twice"):
        list(read_cases(path))


def test_stdin_is_open_only_where_the_case_holds_an_answer() -> None:
    assert case(steps=[{"stdin": "Ann"}, {"cell": "input()"}]).allows_stdin
    assert case(steps=[{"answer": "once"}, {"cell": "1"}]).allows_stdin


@pytest.mark.parametrize(
    ("fields", "fixed"),
    [
        ({}, False),
        ({"services": [{"name": "s", "kind": "tcp", "host": "127.0.0.1", "port": "auto"}]}, False),
        ({"services": [{"name": "s", "kind": "tcp", "host": "127.0.0.1", "port": 18080}]}, True),
        ({"services": [{"name": "s", "kind": "unix", "path": "@name"}]}, True),
        ({"services": [{"name": "s", "kind": "unix", "path": "outside/s"}]}, False),
        ({"policy": {"ask": {"sockets": [{"listen": "127.0.0.1:18080"}]}}}, True),
        ({"policy": {"given": {"sockets": [{"connect": "localhost:80"}]}}}, False),
    ],
)
def test_cases_that_would_collide_are_known(fields: dict[str, Any], fixed: bool) -> None:
    assert case(**fields).has_fixed_ports is fixed
