"""Metadata of notebooks and cells, and control arguments: data from outside."""

from __future__ import annotations

import pytest

from sandbox_kernel.policy import Origin, parse_grant, parse_request
from sandbox_kernel.policy.request import plain_request
from tests.unit.policy.samples import asking

GOOD = {
    "policy": "classroom",
    "files": [{"path": "data/points.csv", "mode": "read"}, "more"],
    "sockets": [{"connect": "api.example.org:443"}, "b.example:80"],
    "modules": ["scipy"],
    "environment": ["LANG"],
    "display": {"html": "frame"},
    "processes": {"spawn": True},
    "limits": {"memory": "4 GB", "threads": 8},
    "tickets": ["abc"],
}


def test_every_key_of_the_vocabulary_is_read() -> None:
    table = asking(GOOD).table

    assert table is not None
    assert [(file.path, file.mode) for file in table.files or ()] == [
        ("data/points.csv", "read"),
        ("more", "read"),
    ]
    assert [socket.connect for socket in table.sockets or ()] == [
        "api.example.org:443",
        "b.example:80",
    ]
    assert table.display
    assert table.display[0].html == "frame"
    assert table.processes
    assert table.processes[0].spawn
    assert table.limits is not None
    assert table.limits.memory is not None
    assert table.limits.memory.value == 4e9


def test_no_metadata_asks_for_nothing_and_is_no_mistake() -> None:
    request = asking(None)

    assert not request.malformed
    assert not request.problems


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ("all", "a string where an object was expected"),
        ([], "a list where an object was expected"),
        (7, "a number where an object was expected"),
        ({1: 2}, "where an object was expected"),
        ({"files": None}, "files: null says neither all nor nothing"),
        ({"sockets": None}, "sockets: null says neither all nor nothing"),
        ({"filess": []}, "did you mean 'files'?"),
        ({"files": {}}, "files: Expected `array"),
        ({"files": [{"path": "x", "mod": "read"}]}, "did you mean 'mode'?"),
        ({"files": [{"path": "x", "mode": "execute"}]}, "files[0].mode"),
        ({"files": [{"path": 7}]}, "files[0].path"),
        ({"files": [{}]}, "'path' is missing"),
        ({"files": [{"path": "a\0b"}]}, "is no path"),
        ({"files": [{"path": "a", "deny": ["b"]}]}, "lies outside its grant"),
        ({"files": [{"path": "a", "expires": "never"}]}, "expires = 'never'"),
        ({"sockets": [{"connect": "a"}]}, "write host:port"),
        ({"sockets": [{}]}, "exactly one of connect, listen, udp"),
        ({"modules": "numpy"}, "modules: Expected `array"),
        ({"modules": ["a b"]}, "'a b' is no module name"),
        ({"modules": [7]}, "modules[0]"),
        ({"environment": ["*"]}, "'*' is no name of a variable"),
        ({"limits": {"memory": 4}}, "4 has no unit"),
        ({"limits": {"max": {}}}, "limits.max: unknown key"),
        ({"display": {"html": "yes"}}, "display[0].html"),
        ({"tickets": "abc"}, "tickets: Expected `array"),
        ({"policy": ["a"]}, "policy: Expected `str"),
    ],
)
def test_malformed_metadata_is_void_and_says_why(metadata: object, told: str) -> None:
    request = asking(metadata)

    assert request.malformed
    assert told in "\n".join(problem.text for problem in request.problems)
    assert all(problem.code.startswith("request.") for problem in request.problems)


def test_deep_metadata_is_void() -> None:
    deep: object = []
    for _ in range(100_000):
        deep = [deep]

    assert asking({"files": deep}).malformed


def test_a_path_of_bytes_that_are_no_text_is_kept() -> None:
    table = asking({"files": [{"path": "a\udcff.csv"}]}).table

    assert table is not None
    assert table.files
    assert table.files[0].path == "a\udcff.csv"


def test_an_empty_list_is_not_the_same_as_none() -> None:
    table = asking({"files": []}).table

    assert table is not None
    assert table.files == ()
    assert table.sockets is None


def test_a_grant_says_for_how_long() -> None:
    request, scope = parse_grant({"files": ["data"], "for": "cell"}, Origin("grant"))
    assert (request.malformed, scope) == (False, "cell")

    _, scope = parse_grant({"files": ["data"]}, Origin("grant"))
    assert scope == "session"

    request, _ = parse_grant({"files": ["data"], "for": "ever"}, Origin("grant"))
    assert request.malformed
    assert "cell, session, notebook" in request.problems[0].text


def test_names_may_stand_as_in_a_policy() -> None:
    table = asking({"modules": [{"names": ["a", "b"]}, "c"]}).table

    assert table is not None
    assert table.modules == ("a", "b", "c")


def test_a_request_reads_back_as_it_was_written() -> None:
    first = asking(GOOD).table
    assert first is not None

    again = parse_request(plain_request(first), Origin("again")).table

    assert again == first
