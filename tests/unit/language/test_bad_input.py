"""Bad input: a clear SyntaxError or refusal with a line, quickly, and nothing else."""

from __future__ import annotations

import contextlib
import time

import pytest

from sandbox_kernel.language import RefusedSyntax, Session

BAD = {
    "no Python": "x = = 1",
    "ten thousand parentheses": "(" * 10_000 + ")" * 10_000,
    "nested lists": "[" * 5_000,
    "null byte": "x = 1\ny = '\0'",
    "surrogate": "x = '\ud800'",
    "unknown coding": b"# -*- coding: no-such-coding -*-\nx = 1",
    "bytes that are no UTF-8": b"x = '\xff\xfe'",
    "late future": "x = 1\nfrom __future__ import annotations",
    "unknown future": "from __future__ import braces",
    "return outside": "return 1",
    "await in a function": "def f(): await x",
    "bad indentation": "if 1:\nx",
    "mixed tabs": "if 1:\n\tx = 1\n        y = 2",
    "unfinished string": "x = '''",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_syntax_error_with_a_line(name: str, session: Session) -> None:
    began = time.monotonic()
    with pytest.raises(SyntaxError) as caught:
        session.compile(BAD[name])
    assert caught.value.lineno is not None
    assert str(caught.value)
    assert time.monotonic() - began < 10


def test_a_null_byte_is_told_with_its_line(session: Session) -> None:
    with pytest.raises(SyntaxError) as caught:
        session.compile(BAD["null byte"])
    assert caught.value.lineno == 2


def test_four_megabytes_of_source_compile(session: Session) -> None:
    source = "x = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'\n" * 60_000
    assert len(source) > 4_000_000
    space = session.namespace()
    exec(session.compile(source), space)
    assert space["x"].startswith("aaa")


@pytest.mark.parametrize("operator", ["-", "not ", "~", "await "])
def test_deep_unary_chains_end_in_an_answer(operator: str, session: Session) -> None:
    with contextlib.suppress(SyntaxError):
        session.compile(operator * 4_000 + "x")
    assert session.compile("1 + 1", mode="eval") is not None


def test_form_feeds_and_tabs_are_python(session: Session) -> None:
    space = session.namespace()
    session.run("\fx = 1\nif x:\n\ty = 2\f\n", space)
    assert space["y"] == 2


def test_latin_coding_line_is_honoured(session: Session) -> None:
    space = session.namespace()
    exec(session.compile("# coding: latin-1\nx = 'é'".encode("latin-1")), space)
    assert space["x"] == "é"


def test_a_refused_construct_within_four_megabytes_is_told(session: Session) -> None:
    source = "x = 1\n" * 100_000 + "().__class__\n"
    with pytest.raises(RefusedSyntax) as caught:
        session.compile(source)
    assert caught.value.lineno == 100_001
