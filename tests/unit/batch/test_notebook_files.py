"""Files that anybody may have written, each with its own refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from sandbox_kernel.jupyter import notebook_files
from sandbox_kernel.jupyter.notebook_files import BadNotebook, parse, write


def cell(source: str = "1", **fields: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": source,
    } | fields


def notebook(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": list(cells)}


def parsed(document: Any) -> nbformat.NotebookNode:
    return parse(json.dumps(document).encode())


SPANISH = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "notebook.not-json"),
        (b"print('hi')", "notebook.not-json"),
        (b"\xff\xfe\x00", "notebook.not-json"),
        (b"[" * 100_000, "notebook.not-json"),
        (b"[]", "notebook.not-a-notebook"),
        (b"{}", "notebook.not-a-notebook"),
        (b'{"nbformat": 4, "cells": 3}', "notebook.not-a-notebook"),
        (b'{"nbformat": 99, "cells": []}', "notebook.not-a-notebook"),
        (json.dumps(notebook(cell(cell_type="x"))).encode(), "notebook.not-a-notebook"),
        (json.dumps(notebook(cell(source=5))).encode(), "notebook.not-a-notebook"),
        (
            json.dumps(notebook(cell(id="same"), cell(id="same"))).encode(),
            "notebook.duplicate-cell-ids",
        ),
        (json.dumps(notebook(cell(), **SPANISH)).encode(), "notebook.other-language"),
        (
            json.dumps(notebook(cell(), language_info={"name": "julia"})).encode(),
            "notebook.other-language",
        ),
    ],
)
def test_a_file_that_cannot_be_run_says_why(content: bytes, code: str) -> None:
    with pytest.raises(BadNotebook) as refused:
        parse(content)
    assert refused.value.code == code
    assert str(refused.value)


def test_a_file_may_have_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps(notebook(cell())).encode()
    assert parse(content)
    monkeypatch.setattr(notebook_files, "MOST_BYTES", len(content) - 1)
    with pytest.raises(BadNotebook) as refused:
        parse(content)
    assert refused.value.code == "notebook.too-big"


def test_old_outputs_are_dropped_unread() -> None:
    """Fifty megabytes of an output type that no validator knows."""
    huge = [{"output_type": "nonsense", "text": "x" * (50 << 20)}]
    found = parsed(notebook(cell(outputs=huge, execution_count=7)))
    assert found.cells[0].outputs == []
    assert found.cells[0].execution_count is None


def test_a_notebook_without_ids_or_of_an_older_format_is_brought_up_to_date() -> None:
    assert parsed(notebook(cell(), cell("2"))).cells[1].id
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "old"},
        "worksheets": [
            {
                "metadata": {},
                "cells": [
                    {
                        "cell_type": "code",
                        "language": "python",
                        "metadata": {},
                        "collapsed": False,
                        "input": "1",
                        "outputs": [],
                        "prompt_number": 1,
                    }
                ],
            }
        ],
    }
    assert parsed(old).cells[0].source == "1"


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"kernelspec": {"name": "python3", "display_name": "P", "language": "python"}},
        {"kernelspec": {"name": "python3", "display_name": "P"}},
        {"kernelspec": {"name": "x", "display_name": "x"}, "language_info": {"name": "ipython"}},
        {"sandbox": {"files": "everything", "modules": ["*"], "policy": "none"}},
    ],
)
def test_python_and_whatever_it_asks_for_may_run(metadata: dict[str, Any]) -> None:
    assert parsed(notebook(cell(), **metadata)).metadata.get("sandbox") == metadata.get("sandbox")


def test_writing_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out.ipynb"
    write(target, parsed(notebook(cell("new"))), tmp_path)
    assert parse(target.read_bytes()).cells[0].source == "new"
    with pytest.raises(AttributeError):
        write(target, None, tmp_path)  # type: ignore[arg-type]
    assert parse(target.read_bytes()).cells[0].source == "new"
    assert [path.name for path in target.parent.iterdir()] == ["out.ipynb"]
