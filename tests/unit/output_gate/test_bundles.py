"""The allowlist of MIME types, row by row, under each display rule."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from sandbox_kernel.trusted.output_gate import DisplayRules, OutputCaps, OutputGate
from sandbox_kernel.trusted.output_gate.rules import IOPUB_RULES, MIME_RULES

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><circle r="3"/></svg>'
SPEC = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "mark": "point"}


def gate(**rules: Any) -> OutputGate:
    made = OutputGate(DisplayRules(**rules))
    made.begin_cell("cell-1", OutputCaps())
    return made


def shown(data: Any, metadata: Any = None, **rules: Any) -> dict[str, Any]:
    """What of a display_data is left."""
    content = {"data": data, "metadata": metadata or {}, "transient": {}}
    [out] = gate(**rules).iopub("display_data", content, {}, [])
    assert out.msg_type == "display_data"
    return dict(out.content["data"])


@pytest.mark.parametrize(
    ("mime", "value", "sanitised", "framed", "raw"),
    [
        ("text/plain", "x", "kept", "kept", "kept"),
        ("text/html", "<b>x</b>", "kept", "kept", "kept"),
        ("text/html", "<script>alert(1)</script>", "note", "frame", "kept"),
        ("text/latex", "$x^2$", "kept", "kept", "kept"),
        ("text/latex", r"$\href{javascript:alert(1)}{x}$", "note", "note", "kept"),
        ("image/png", PNG, "kept", "kept", "kept"),
        ("image/png", "PHN2Zz4=", "note", "note", "note"),
        ("image/png", "data:image/png;base64,x", "note", "note", "note"),
        ("image/svg+xml", "<svg><script>1</script></svg>", "note", "note", "kept"),
        ("application/json", {"a": [1, None]}, "kept", "kept", "kept"),
        ("application/javascript", "alert(1)", "note", "frame", "kept"),
        ("text/javascript", "alert(1)", "note", "frame", "kept"),
        ("application/vnd.vegalite.v5+json", SPEC, "kept", "kept", "kept"),
        (
            "application/vnd.vegalite.v5+json",
            {"data": {"url": "/api/contents"}, "mark": "point"},
            "note",
            "note",
            "kept",
        ),
        ("application/vnd.plotly.v1+json", {"data": []}, "note", None, "kept"),
        ("application/vnd.dataresource+json", {}, "note", "note", "kept"),
        ("text/x-anything", "x", "note", "note", "kept"),
        # What extensions of JupyterLab draw as code, as documents, or with requests.
        ("text/vnd.mermaid", "graph TD; a-->b; click a href 'x'", "note", "note", "kept"),
        ("application/pdf", "JVBERi0xLjQ=", "note", "note", "kept"),
        ("application/vnd.jupyter.error", {"name": "x"}, "note", "note", "kept"),
        ("application/vnd.vega.v4+json", {"marks": []}, "note", "note", "kept"),
        ("application/vnd.drawio+xml", "<mxfile/>", "note", "note", "kept"),
        ("application/vdom.v1+json", {"tagName": "script"}, "note", "note", "kept"),
        ("application/geo+json;x=1", {}, "note", "note", "note"),
    ],
)
def test_each_type_under_each_rule(
    mime: str, value: Any, sanitised: str, framed: str | None, raw: str
) -> None:
    for rules, expected in (
        ({}, sanitised),
        ({"html": "frame", "javascript": "frame"}, framed),
        ({"html": "raw", "javascript": "raw"}, raw),
    ):
        if expected is None:
            continue
        data = shown({"text/plain": "x", mime: value}, **rules)
        assert data["text/plain"] == "x"
        if expected == "kept":
            assert data[mime] == value
        elif expected == "note":
            assert "Withheld: " in data["text/html"]
            assert mime == "text/html" or mime not in data
        else:
            assert 'sandbox="allow-scripts"' in data["text/html"]
            assert "allow-same-origin" not in data["text/html"]
            assert mime == "text/html" or mime not in data


def test_a_note_names_the_rule_that_shows_more_and_where_it_stands() -> None:
    data = shown({"application/javascript": "1"}, origin="default.toml")
    for part in ("application/javascript", "javascript = &quot;frame&quot;", "default.toml"):
        assert part in data["text/html"]


def test_a_note_does_not_hide_a_picture_of_the_same_thing() -> None:
    data = shown({"image/png": PNG, "application/javascript": "1", "text/plain": "x"})
    assert set(data) == {"image/png", "text/plain"}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "x",
        {"text/html": 3},
        {"text/html": None},
        {"text/html": ["<b>", 3]},
        {"text/html": {"a": "<script>"}},
        {"text/html\nX: y": "<script>1</script>"},
        {"TEXT/HTML": "<script>1</script>"},
        {"text/html; charset=x": "<script>1</script>"},
        {"": "x"},
        {"image/png": 3},
        {"image/png": "!!!"},
        {"image/png": "\udc80"},
        {"application/vnd.jupyter.widget-view+json": {"model_id": 3}},
        {"application/vnd.jupyter.widget-view+json": "x"},
        {"application/vnd.vega.v5+json": "x"},
        {"text/plain": "\ud800"},
        {"text/html": "\ud800<b>"},
        {"text/markdown": "\ud800"},
        {"image/svg+xml": "\x00"},
        {"image/svg+xml": '<!DOCTYPE a [<!ENTITY b "c">]><svg>&b;</svg>'},
        {"text/html": "<div>" * 100_000},
        {"text/html": "".join(f"<b id={each}><p>" for each in range(20_000))},
        {"text/html": "<p " + " ".join(f"a{each}" for each in range(100_000)) + ">"},
        {"text/markdown": "[" * 49_000},
        {"text/markdown": ">" * 49_000},
        {"text/markdown": "[" * 1_000_000},
        {f"x/y{each}": "z" for each in range(5_000)},
    ],
)
def test_malformed_data_becomes_a_note_and_the_next_message_is_unharmed(data: Any) -> None:
    made = gate()
    content = {"data": data, "metadata": {}, "transient": {}}
    began = time.process_time()
    [out] = made.iopub("display_data", content, {}, [])
    assert time.process_time() - began < 5
    text = str(out.content["data"])
    assert "script>1" not in text
    text.encode()  # no lone surrogate is left
    [after] = made.iopub("stream", {"name": "stdout", "text": "next"}, {}, [])
    assert after.content == {"name": "stdout", "text": "next"}


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_deep_json_becomes_a_note() -> None:
    data = shown({"application/json": _deep(10_000)})
    assert "deeper" in data["text/html"]


@pytest.mark.parametrize("mime", ["text/html", "text/plain", "image/png", "text/markdown"])
def test_an_output_of_200_megabytes_is_refused_without_being_read(mime: str) -> None:
    made = gate()
    content = {"data": {mime: "<" * 200_000_000}, "metadata": {}, "transient": {}}
    began = time.process_time()
    [out] = made.iopub("display_data", content, {}, [])
    assert time.process_time() - began < 0.5
    assert out.msg_type == "stream"
    assert "output = 10 MB" in out.content["text"]
    assert made.exceeded is not None


def test_what_is_unlimited_is_still_not_parsed_when_it_is_huge() -> None:
    made = OutputGate(DisplayRules())
    made.begin_cell("c", OutputCaps(output=1 << 50))
    content = {"data": {"text/html": "<b>" * 10_000_000}, "metadata": {}, "transient": {}}
    began = time.process_time()
    [out] = made.iopub("display_data", content, {}, [])
    assert time.process_time() - began < 1
    assert "longer than" in out.content["data"]["text/html"]


def test_metadata_is_an_allowlist() -> None:
    content = {
        "data": {"image/png": PNG, "application/vnd.vegalite.v5+json": SPEC},
        "metadata": {
            "image/png": {"width": 3, "isolated": True, "alt": "a"},
            "application/vnd.vegalite.v5+json": {"embed_options": {"loader": 1}},
            "text/html": {"isolated": True},
            "jupyter": {"outputs_hidden": True},
            "tags": ["x"],
        },
        "transient": {"display_id": "d", "other": 1},
    }
    [out] = gate().iopub("display_data", content, {"secret": 1}, [])
    assert out.content["metadata"] == {"image/png": {"width": 3, "alt": "a"}}
    assert out.content["transient"] == {"display_id": "d"}
    assert out.metadata == {}


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("width", 40, True),
        ("width", 0.5, True),
        ("height", "50%", True),
        ("height", "12px", True),
        # An exported page writes it without quotes, where this is one more attribute.
        ("width", "1 onload=alert(1)", False),
        ("height", "1\tonload=alert(1)", False),
        ("width", True, False),
        ("width", float("nan"), False),
        ("width", [1], False),
        ("unconfined", True, True),
        ("unconfined", "yes", False),
        ("needs_background", "dark", True),
        ("needs_background", "dark jp-Dialog", False),
        ("alt", 'a "curve"', True),
        ("alt", "x" * 2_000, False),
    ],
)
def test_metadata_of_a_picture_is_of_its_kind(key: str, value: Any, kept: bool) -> None:
    content = {"data": {"image/png": PNG}, "metadata": {"image/png": {key: value}}}
    [out] = gate().iopub("display_data", content, {}, [])
    assert out.content["metadata"] == ({"image/png": {key: value}} if kept else {})


def test_only_displays_of_this_kernel_are_updated() -> None:
    made = gate()
    update = {"data": {"text/plain": "x"}, "metadata": {}, "transient": {"display_id": "mine"}}
    assert made.iopub("update_display_data", update, {}, []) == []
    made.iopub("display_data", update, {}, [])
    made.begin_cell("cell-2", OutputCaps())
    [out] = made.iopub("update_display_data", update, {}, [])
    assert out.msg_type == "update_display_data"
    assert out.content["transient"] == {"display_id": "mine"}


def test_types_of_messages_are_an_allowlist() -> None:
    made = gate()
    for kind in ("status", "execute_input", "sandbox_event", "shutdown_reply", "debug_event", ""):
        assert kind not in IOPUB_RULES
        assert made.iopub(kind, {"execution_state": "idle"}, {}, []) == []


def test_a_limit_ends_the_output_with_one_line_and_can_be_raised() -> None:
    made = OutputGate(DisplayRules())
    made.begin_cell("c", OutputCaps(output=1_000, output_text="1 KB"))
    line = {"name": "stdout", "text": "spam " * 20}
    sent = [out for _ in range(50) for out in made.iopub("stream", line, {}, [])]
    notes = [out.content["text"] for out in sent if out.content["name"] == "stderr"]
    assert sum(len(out.content["text"]) for out in sent[:-1]) == 1_000
    assert len(notes) == 1
    assert "output = 1 KB" in notes[0]
    made.raise_limit(OutputCaps(output=2_000))
    assert made.iopub("stream", line, {}, [])[0].content == line


def test_outputs_and_messages_of_a_cell_are_counted() -> None:
    made = OutputGate(DisplayRules())
    made.begin_cell("c", OutputCaps(outputs=3))
    content = {"data": {"text/plain": "x"}, "metadata": {}, "transient": {}}
    kinds = [out.msg_type for _ in range(9) for out in made.iopub("display_data", content, {}, [])]
    assert kinds == ["display_data"] * 3 + ["stream"]
    made.begin_cell("d", OutputCaps(messages=3))
    sent = [o for _ in range(9) for o in made.iopub("clear_output", {"wait": 1}, {}, [])]
    assert [out.msg_type for out in sent] == ["clear_output"] * 3 + ["stream"]
    assert sent[0].content == {"wait": False}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m\n", "\x1b[31mred\x1b[0m\n"),
        ("50%|##\r60%|###", "50%|##\r60%|###"),
        ("\x1b[A", "\x1b[A"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]52;c;aGk=\x1b\\x", "x"),
        ("\x1b[2J\x1b[1;1Hx", "x"),
        ("\x1b[?1049hx", "x"),
        ("a\x00\x07b\x9bc", "abc"),
        ("\x1bcx", "x"),
        ("naïve ☃ \ud800", "naïve ☃ \ufffd"),
    ],
)
def test_streams_keep_colours_and_lose_other_control_sequences(text: str, left: str) -> None:
    [out] = gate().iopub("stream", {"name": "stdout", "text": text}, {}, [])
    assert out.content["text"] == left


def test_a_traceback_is_text_with_colours_and_bounded() -> None:
    content = {
        "ename": "Evil\n<script>",
        "evalue": "x" * 1_000_000,
        "traceback": ["\x1b[31mline\x1b[0m\x1b]0;t\x07"] * 10_000 + [3],
        "more": 1,
    }
    [out] = gate().iopub("error", content, {}, [])
    assert set(out.content) == {"ename", "evalue", "traceback"}
    assert len(str(out.content)) < 100_000
    assert out.content["traceback"][0] == "\x1b[31mline\x1b[0m"


def test_every_row_says_why() -> None:
    assert all(rule.reason for rule in MIME_RULES.values())
    assert all(IOPUB_RULES.values())


def test_an_unknown_display_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="html"):
        DisplayRules(html="yes")  # type: ignore[arg-type]


def test_markdown_keeps_its_text_in_both_forms() -> None:
    data = shown({"text/markdown": "a < b, *c*, $x<y_1$ `q<r` <img src=http://e/x>"})
    assert "<em>c</em>" in data["text/html"]
    assert "$x&lt;y_1$" in data["text/html"]
    assert "&lt;img" in data["text/html"]
    assert "a &lt; b" in data["text/markdown"]
    assert "<img" not in data["text/markdown"]
    assert "*c*" in data["text/markdown"]


@pytest.mark.parametrize(
    ("html", "noted"),
    [
        ("<script>draw()</script>", False),
        ('<script src="https://cdn.example/x.js"></script>', True),
        ('<script>load("https://cdn.jsdelivr.net/npm/vega@6?noext")</script>', True),
        ("<script>open('https://example.org/')</script>", False),
        ("<iframe srcdoc='&lt;script src=&quot;https://cdn.example/x.js&quot;>'></iframe>", True),
    ],
)
def test_a_frame_that_stays_empty_says_why(html: str, noted: bool) -> None:
    data = shown({"text/html": html}, html="frame")
    assert "<iframe sandbox=" in data["text/html"]
    assert ("Withheld: what this output loads" in data["text/html"]) is noted


def test_displays_of_a_session_are_counted_and_the_end_is_told_once() -> None:
    made = OutputGate(DisplayRules())
    made.begin_cell("c", OutputCaps(displays=2))
    sent = []
    for number in range(5):
        transient = {"display_id": f"d{number}"}
        content = {"data": {"text/plain": "x"}, "metadata": {}, "transient": transient}
        sent += made.iopub("display_data", content, {}, [])
    assert [out.content.get("transient") for out in sent if out.msg_type == "display_data"] == [
        {"display_id": "d0"},
        {"display_id": "d1"},
        {},
        {},
        {},
    ]
    [told] = [out.content["text"] for out in sent if out.msg_type == "stream"]
    assert "displays limit: 2" in told
