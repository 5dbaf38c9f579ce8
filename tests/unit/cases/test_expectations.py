"""Each expectation of a case: once satisfied, once violated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.cases.expectations import (
    Observed,
    check_cell,
    check_reply,
    denial_text,
    everything_text,
    without_own_source,
)
from tests.cases.model import CELL_EXPECT, REPLY_EXPECT

FAILED = {
    "ename": "PermissionError",
    "evalue": "data/x.csv: read not granted",
    "traceback": ["\x1b[0;31mPermissionError\x1b[0m: data/x.csv", "a note: ask in the metadata"],
}


def seen(**changes: Any) -> Observed:
    """A cell that printed, displayed and failed."""
    values: dict[str, Any] = {
        "sources": ("open('data/x.csv')",),
        "reply": {"status": "error"},
        "seconds": 1.0,
        "status": "error",
        "stdout": "one\ntwo\n",
        "stderr": "a warning\n",
        "errors": [FAILED],
        "displayed": [{"text/plain": "Fig", "text/html": "<b>Bold</b>"}],
        "message_types": ["stream", "display_data"],
    }
    return Observed(**(values | changes))


CELL_CASES = [
    ("status", "error", "ok"),
    ("stdout", "one\ntwo\n", "one\ntwo"),
    ("stdout_has", ["one", "two\n"], ["One"]),
    ("error", ["OSError", "PermissionError"], ["OSError"]),
    ("text_has", ["permissionerror", "X.CSV", "a note", "a WARNING"], ["two"]),
    ("text_lacks", ["three"], ["Two"]),
    ("mime_has", ["text/html"], ["image/png"]),
    ("mime_lacks", ["application/javascript"], ["text/plain"]),
    ("messages_has", ["display_data"], ["update_display_data"]),
    ("within_s", 1.0, 0.9),
]
REPLY_CASES = [
    ("reply", {"status": "ok"}, {"status": "error"}),
    ("reply_has", ["a = 1"], ["a = 2"]),
    ("reply_lacks", ["denied"], ["history"]),
    ("within_s", 2, 0.5),
]


def test_every_expectation_of_the_format_is_tried_here() -> None:
    assert {key for key, *_ in CELL_CASES} == CELL_EXPECT
    assert {key for key, *_ in REPLY_CASES} == REPLY_EXPECT


@pytest.mark.parametrize(("key", "holds", "fails"), CELL_CASES, ids=[c[0] for c in CELL_CASES])
def test_a_cell_is_measured_by(key: str, holds: Any, fails: Any) -> None:
    assert check_cell({key: holds}, seen()) == []
    reasons = check_cell({key: fails}, seen())
    assert len(reasons) == 1
    assert reasons[0].startswith(key)


@pytest.mark.parametrize(("key", "holds", "fails"), REPLY_CASES, ids=[c[0] for c in REPLY_CASES])
def test_a_reply_is_measured_by(key: str, holds: Any, fails: Any) -> None:
    content = {"status": "ok", "history": [[1, 1, "a = 1"]]}
    observed = Observed(reply=content, seconds=1.0)
    assert check_reply({key: holds}, observed) == []
    reasons = check_reply({key: fails}, observed)
    assert len(reasons) == 1
    assert reasons[0].startswith(key)


def test_no_expectation_asks_nothing() -> None:
    assert check_cell({}, seen()) == []
    assert check_reply({}, Observed(reply={"status": "error"})) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"stdout": "CANARY"},
        {"stderr": "CANARY"},
        {"displayed": [{"application/json": {"deep": ["CANARY"]}}]},
        {"errors": [FAILED | {"evalue": "CANARY"}]},
        {"errors": [FAILED | {"traceback": ["\x1b[31mCANARY\x1b[0m"]}]},
        {"errors": [FAILED | {"traceback": ["CA\x1b[31mNARY"]}]},
    ],
    ids=["stdout", "stderr", "data", "value", "traceback", "colours within the word"],
)
def test_what_may_not_show_is_found_wherever_the_cell_sent_it(changes: Mapping[str, Any]) -> None:
    assert check_cell({"text_lacks": ["canary"]}, seen(**changes)) != []
    assert check_cell({"text_lacks": ["canary"]}, seen()) == []


def test_no_error_is_not_the_right_error() -> None:
    assert check_cell({"error": ["ValueError"]}, seen(errors=[])) != []


def test_a_refusal_at_compile_time_counts_as_the_syntax_error_that_it_is() -> None:
    refused = [FAILED | {"ename": "RefusedSyntax"}]
    assert check_cell({"error": ["SyntaxError"]}, seen(errors=refused)) == []
    assert check_cell({"error": ["ImportError"]}, seen(errors=refused)) != []


def test_a_part_of_the_cell_is_no_part_of_the_answer() -> None:
    """The traceback quotes the cell, with IPython's margins; those lines do not count."""
    source = "x = 1\nopen('secret.txt')  # read\n1 + 1"
    traceback = (
        "Traceback (most recent call last)\n"
        "Cell \x1b[0;32mIn[1], line 2\x1b[0m\n"
        "      1 x = 1\n"
        "\x1b[0;32m----> 2 open('secret.txt')  # read\x1b[0m\n"
        "      3 1 + 1\n"
        "File <string>:1\n"
        "    open('secret.txt')  # read\n"
        "PermissionError: not granted"
    )
    error = {"ename": "PermissionError", "evalue": "not granted", "traceback": [traceback]}
    text = denial_text(seen(sources=(source,), errors=[error], stderr=""))
    assert "secret.txt" not in text
    assert "1 + 1" not in text
    assert "Cell In[1], line 2" in text
    assert "not granted" in text
    # Another cell's words do count.
    assert "secret.txt" in denial_text(seen(sources=("pass",), errors=[error]))


def test_a_line_that_says_more_than_the_cell_is_kept() -> None:
    kept = without_own_source("----> 1 import ctypes\nctypes: not in modules", ["import ctypes"])
    assert kept == ["ctypes: not in modules"]


def test_everything_holds_the_denial_too() -> None:
    text = everything_text(seen())
    assert all(part in text for part in ("PermissionError", "a warning", "two", "<b>Bold</b>"))
