"""Replies and prompts: each key has a rule, and what a front end would do is limited."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox_kernel.trusted.output_gate import DisplayRules, OutputGate
from sandbox_kernel.trusted.output_gate.replies import RULES

BAD = "<script>alert(1)</script><b>x</b>"


def reply(kind: str, content: Any) -> dict[str, Any]:
    return OutputGate(DisplayRules()).reply(kind, content)


def test_payloads_are_an_allowlist_and_pages_are_cleaned() -> None:
    payload = [
        {"source": "page", "data": {"text/html": BAD, "text/plain": "x"}, "start": 2, "more": 1},
        {"source": "set_next_input", "text": "y = 1", "replace": 1},
        {"source": "edit_magic", "filename": "/etc/passwd"},
        {"source": "ask_exit", "keepkernel": True},
        {"source": "other"},
        3,
    ]
    content = {"status": "ok", "execution_count": 3, "payload": payload, "user_expressions": {}}
    sent = reply("execute_reply", content)
    assert [each["source"] for each in sent["payload"]] == ["page", "set_next_input", "ask_exit"]
    assert "alert" not in str(sent["payload"][0])
    assert sent["payload"][1] == {"source": "set_next_input", "text": "y = 1", "replace": False}


def test_user_expressions_pass_the_gate() -> None:
    expressions = {"a": {"status": "ok", "data": {"text/html": BAD}, "metadata": {}}, "b": 3}
    sent = reply("execute_reply", {"status": "ok", "user_expressions": expressions})
    assert list(sent["user_expressions"]) == ["a"]
    assert "alert" not in str(sent)


def test_what_an_inspector_shows_is_cleaned() -> None:
    data = {"text/plain": "\x1b[31mx\x1b[0m\x1b]0;t\x07", "text/html": BAD}
    sent = reply("inspect_reply", {"status": "ok", "found": True, "data": data, "metadata": {}})
    assert sent["found"] is True
    assert sent["data"]["text/plain"] == "\x1b[31mx\x1b[0m"
    assert "<script" not in sent["data"]["text/html"]


def test_completions_are_short_texts_with_their_types() -> None:
    content = {
        "status": "ok",
        "matches": ["alpha", "be\nta", 3, "x" * 5_000],
        "cursor_start": 0,
        "cursor_end": "x",
        "metadata": {
            "_jupyter_types_experimental": [{"text": "alpha", "type": "function", "evil": 1}, 3],
            "other": 1,
        },
    }
    sent = reply("complete_reply", content)
    assert sent["matches"] == ["alpha", "beta"]
    assert sent["cursor_end"] == 0
    [entry] = sent["metadata"]["_jupyter_types_experimental"]
    assert set(entry) == {"start", "end", "text", "type", "signature"}
    assert set(sent["metadata"]) == {"_jupyter_types_experimental"}


def test_is_complete_and_history_keep_their_form() -> None:
    assert reply("is_complete_reply", {"status": "incomplete", "indent": "  "}) == {
        "status": "incomplete",
        "indent": "  ",
    }
    assert reply("is_complete_reply", {"status": "evil", "indent": "x"}) == {"status": "unknown"}
    rows = [[1, 2, "a = 1"], [1, 3, ["b", None]], [1], "x"]
    sent = reply("history_reply", {"status": "ok", "history": rows})
    assert sent["history"] == [[1, 2, "a = 1"], [1, 3, ["b", None]]]


@pytest.mark.parametrize("content", [None, [], "x", {}, {"status": 3, "payload": 3, "data": 3}])
@pytest.mark.parametrize("kind", [*RULES, "comm_info_reply", "shutdown_reply", "\n"])
def test_a_malformed_reply_is_still_a_reply(kind: str, content: Any) -> None:
    sent = reply(kind, content)
    assert "status" in sent
    assert kind in RULES or kind == "comm_info_reply" or sent["status"] == "error"


def test_a_huge_reply_is_left_out() -> None:
    sent = reply("inspect_reply", {"status": "ok", "data": {"text/plain": "x" * 30_000_000}})
    assert sent["status"] == "error"
    assert len(str(sent)) < 1_000


@pytest.mark.parametrize(
    ("prompt", "password", "shown"),
    [
        ("name? ", False, "[cell] name? "),
        ("", False, "[cell] "),
        ("Password: ", True, "[the cell asks for a password] Password: "),
        ("a\nb\x1b[2J", False, "[cell] a b "),
        ("\u202etpmorp\u202c", False, "[cell] tpmorp "),
        (None, True, "[the cell asks for a password] "),
        (3, "yes", "[cell] int "),
    ],
)
def test_a_prompt_says_that_it_is_the_cells(prompt: Any, password: Any, shown: str) -> None:
    text, secret = OutputGate(DisplayRules()).input_request(prompt, password)
    assert text.startswith(("[cell] ", "[the cell asks for a password] "))
    assert secret is (password is True)
    if isinstance(prompt, str):
        assert text == shown
    assert len(OutputGate(DisplayRules()).input_request("x" * 9_999, False)[0]) < 1_100
