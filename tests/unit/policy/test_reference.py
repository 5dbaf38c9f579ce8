"""docs/policy.md says what the model says."""

from __future__ import annotations

from pathlib import Path

from sandbox_kernel.policy import load
from sandbox_kernel.policy.load import Source
from sandbox_kernel.policy.reference import TABLES, filled, named

DOCUMENT = Path(__file__).parents[3] / "docs" / "policy.md"


def test_the_tables_of_the_document_are_current() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")

    assert text == filled(text), "run: sandbox-kernel policy reference docs/policy.md"


def test_every_table_of_the_model_is_in_the_document() -> None:
    assert named(DOCUMENT.read_text(encoding="utf-8")) == {table.__name__ for table in TABLES}


def test_the_example_of_the_document_is_a_policy() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    example = text.partition("```toml\n")[2].partition("```")[0]

    assert load([Source("example.toml", example)]).table.extends is None
