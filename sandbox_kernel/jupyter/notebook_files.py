"""Notebook files that anybody may have written: read, or refused with a code.

A batch meets files that are no JSON, that repeat cell ids, that are for another language or that
carry outputs by the hundred megabytes. Each is a typed refusal of that one file. Outputs are
dropped before anything looks at them: they are about to be made anew, and nobody vouches for the
old ones.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

#: A larger file is refused unread.
MOST_BYTES = 256 << 20


class BadNotebook(ValueError):
    """A file that cannot be run. `code` is stable; the text says what would be right."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def read(path: Path) -> bytes:
    """The bytes of a notebook file, however it came there.

    Raises BadNotebook with code `notebook.not-a-file` or `.too-big`, OSError.
    """
    # Without O_NONBLOCK a pipe in place of a notebook would hold the batch for ever.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise BadNotebook("notebook.not-a-file", "it is no regular file")
        if status.st_size > MOST_BYTES:
            raise BadNotebook(
                "notebook.too-big", f"{status.st_size} bytes; a notebook may have {MOST_BYTES}"
            )
        return file.read(MOST_BYTES + 1)


def parse(content: bytes) -> NotebookNode:
    """The notebook in a file's bytes, in the current format and without outputs.

    Raises BadNotebook with code `notebook.too-big`, `.not-json`, `.not-a-notebook`,
    `.duplicate-cell-ids` or `.other-language`.
    """
    if len(content) > MOST_BYTES:
        raise BadNotebook(
            "notebook.too-big", f"{len(content)} bytes; a notebook may have {MOST_BYTES}"
        )
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadNotebook("notebook.not-json", f"the file is no JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("nbformat"), int):
        raise BadNotebook("notebook.not-a-notebook", "the JSON is no notebook: no nbformat number")
    _drop_outputs(document)
    _refuse_duplicate_ids(document)
    _refuse_other_language(document.get("metadata"))
    try:
        notebook = nbformat.reader.reads(json.dumps(document))
        if notebook.nbformat != nbformat.current_nbformat:
            notebook = nbformat.convert(notebook, nbformat.current_nbformat)
        _add_missing_ids(notebook)
        nbformat.validate(notebook)
    except Exception as error:
        # nbformat meets a hostile document with whatever Python raises.
        said = str(error).partition("\n")[0]
        raise BadNotebook("notebook.not-a-notebook", f"not a valid notebook: {said}") from None
    return notebook


def write(path: Path, notebook: NotebookNode, within: Path) -> None:
    """Write a notebook so that a reader sees all of it or the file that was there before.

    `within` is a resolved folder that no link on the way may lead out of. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.resolve().is_relative_to(within):
        raise PermissionError(f"{path.parent} leads out of {within}")
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            nbformat.write(notebook, file)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _drop_outputs(document: dict[str, Any]) -> None:
    cells = document.get("cells")
    for cell in cells if isinstance(cells, list) else ():
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None


def _add_missing_ids(notebook: NotebookNode) -> None:
    """Ids are required since format 4.5, and not every program that writes it knows that."""
    if notebook.nbformat_minor < 5:
        return
    taken = {cell.get("id") for cell in notebook.cells}
    for number, cell in enumerate(notebook.cells):
        if "id" not in cell:
            cell["id"] = next(name for n in count() if (name := f"cell-{number}-{n}") not in taken)


def _refuse_duplicate_ids(document: dict[str, Any]) -> None:
    cells = document.get("cells")
    found = Counter(
        cell["id"]
        for cell in (cells if isinstance(cells, list) else ())
        if isinstance(cell, dict) and isinstance(cell.get("id"), str)
    )
    twice = sorted(name for name, times in found.items() if times > 1)
    if twice:
        raise BadNotebook(
            "notebook.duplicate-cell-ids",
            f"cell ids that are there more than once: {', '.join(twice[:5])}; give each its own",
        )


def _refuse_other_language(metadata: object) -> None:
    """A notebook that says nothing of its language is taken for Python."""
    said = metadata if isinstance(metadata, dict) else {}
    for table, key in (("kernelspec", "language"), ("language_info", "name")):
        entry = said.get(table)
        language = entry.get(key) if isinstance(entry, dict) else None
        if language is None:
            continue
        if str(language).lower() not in ("python", "python3", "ipython"):
            raise BadNotebook(
                "notebook.other-language",
                f"{table} says {language!s:.60}; the sandboxed kernel runs Python only",
            )
        return
