"""Reading cells out of real documents, and comparing what they put out."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from benchmarks.corpus_cells import documents
from benchmarks.corpus_compare import normal
from benchmarks.sources import unpack

PAGE = """
{{ header }}

.. ipython:: python
   :okwarning:

   frame = pd.DataFrame()
   @savefig frame.png width=4in
   frame.plot()

.. code-block:: python

   import math

.. code-block:: sh

   ls

.. ipython:: python
   :suppress:

   from pandas.util._doctools import TablePlotter

>>> 1 + 1
2
>>> x = 3

Words between.

>>> x
3
"""


def _cells(tmp_path: Path, name: str, text: str) -> list[tuple[str, ...]]:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return [document.cells for document in documents("package", tmp_path)]


def test_a_page_gives_its_directives_and_prompts_in_order(tmp_path: Path) -> None:
    assert _cells(tmp_path, "doc/page.rst", PAGE) == [
        (
            "import numpy as np\nimport pandas as pd\n",
            "frame = pd.DataFrame()\n\nframe.plot()",
            "import math",
            "1 + 1\nx = 3\n",
            "x\n",
        )
    ]


def test_an_example_is_parted_at_its_rulers(tmp_path: Path) -> None:
    text = (
        '"""A title."""\n\nx = 1\n\n# %%\n# Words.\n\ny = [\n# %%\n2]\n\n' + "#" * 30 + "\nz = 3\n"
    )
    (cells,) = _cells(tmp_path, "examples/one.py", text)
    assert [c.replace("# Words.", "").strip() for c in cells] == [
        '"""A title."""\n\nx = 1',
        "y = [\n\n2]",
        "z = 3",
    ]


def test_a_notebook_gives_its_code_cells(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["text"]},
        {"cell_type": "code", "source": ["a = 1\n", "a"]},
        {"cell_type": "code", "source": []},
    ]
    assert _cells(tmp_path, "a.ipynb", json.dumps({"cells": cells})) == [("a = 1\na",)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<A at 0x7f00aa11>", "<A at 0x7f00bb22>"),
        ("{'b', 'a'}", "{'a', 'b'}"),
        ("CPU times: user 3 ms", "CPU times: user 17 ms"),
        ("at 10:20:30", "at 10:20:31"),
        ("/tmp/abc/x", "/tmp/def"),
    ],
)
def test_what_differs_from_run_to_run_is_alike(one: str, other: str) -> None:
    assert normal(one) == normal(other)


@pytest.mark.parametrize(("one", "other"), [("3", "4"), ("[1, 2]", "[2, 1]"), ("a", "")])
def test_what_a_cell_computes_is_not(one: str, other: str) -> None:
    assert normal(one) != normal(other)


def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        member = tarfile.TarInfo("top/../../out")
        member.size = 1
        packed.addfile(member, BytesIO(b"x"))
    with pytest.raises(ValueError, match="leads out"):
        unpack(archive, tmp_path / "into")
    assert not (tmp_path.parent / "out").exists()
