"""The documentation is what the tables say."""

from __future__ import annotations

from pathlib import Path

from sandbox_kernel.language.document import document

ROOT = Path(__file__).resolve().parents[3]


def test_dialect_md_is_current() -> None:
    written = (ROOT / "docs" / "dialect.md").read_text(encoding="utf-8")
    assert written == document(), "python -m sandbox_kernel.language.document"
