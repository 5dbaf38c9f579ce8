"""A submission before anything of it runs: what is read of the file, and the copy that it runs in.

Nothing in a submission is trusted. Of its notebook only the cells are kept: sources, attachments
and nbgrader's own marks, which nbgrader compares with the gradebook afterwards. Kernel, language,
rights, widget states and old outputs are dropped, ids that stand twice are given anew.

Its cells run in a copy made for it alone, without any notebook in it: hidden tests stand in those.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from itertools import count
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from .notebook_files import MOST_BYTES, BadNotebook, parse

#: Tags by which a notebook asks its runner to leave out cells, or to shrug off their errors.
_STEERING_TAGS = frozenset({"skip-execution", "raises-exception", "remove-cell", "hide-output"})


def read_submission(path: Path) -> NotebookNode:
    """The notebook of a submission, reduced to what grading needs.

    Raises BadNotebook for what cannot be one.
    """
    try:
        content = _regular_file(path)
    except OSError as error:
        raise BadNotebook("notebook.unreadable", f"the file cannot be read: {error}") from None
    return parse(reduced(content))


def _regular_file(path: Path) -> bytes:
    """The bytes of a file that is no link: one to the teacher's own answers would earn all points.

    Raises OSError, and BadNotebook for what is no regular file or too big.
    """
    # Without O_NONBLOCK a pipe that was handed in would hold the batch for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadNotebook("notebook.unreadable", "it is no regular file")
        if status.st_size > MOST_BYTES:
            raise BadNotebook(
                "notebook.too-big",
                f"the file has {status.st_size} bytes; a notebook may have {MOST_BYTES}",
            )
        return file.read()


def reduced(content: bytes) -> bytes:
    """`content` without what a submission has no say in; as it is where it is no notebook."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return content  # `parse` says what is wrong with it.
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        return content
    document["metadata"] = {}
    taken: set[str] = set()
    for cell in document["cells"]:
        if isinstance(cell, dict):
            _reduce_cell(cell, taken)
    return json.dumps(document).encode()


def _reduce_cell(cell: dict[str, Any], taken: set[str]) -> None:
    if cell.get("cell_type") == "code":
        cell["outputs"], cell["execution_count"] = [], None
    metadata = cell.get("metadata")
    cell["metadata"] = kept = {}
    if isinstance(metadata, dict):
        if isinstance(metadata.get("nbgrader"), dict):
            kept["nbgrader"] = metadata["nbgrader"]
        tags = metadata.get("tags")
        if isinstance(tags, list):
            plain = [each for each in tags if isinstance(each, str)]
            kept["tags"] = [each for each in plain if each not in _STEERING_TAGS]
        for key in ("editable", "deletable"):
            if isinstance(metadata.get(key), bool):
                kept[key] = metadata[key]
    name = cell.get("id")
    if isinstance(name, str):
        if name in taken:
            name = next(new for n in count(2) if (new := f"{name[:50]}-{n}") not in taken)
            cell["id"] = name
        taken.add(name)


def linked_files(submitted: Path, source: Path, copied: Path) -> list[Path]:
    """Files in `copied` that are copies of what a link in `submitted` leads to.

    nbgrader follows links when it copies a submission, as the teacher: a link named `data.csv` to
    the gradebook becomes a file with the gradebook's content. What `source` has is the teacher's.
    """
    found = []
    for folder, _, names in os.walk(copied):
        for name in names:
            file = Path(folder, name)
            place = file.relative_to(copied)
            if (submitted / place).is_symlink() and not (source / place).exists():
                found.append(file)
    return found


def private_copy(prepared: Path, target: Path) -> Path:
    """Copy the files of a prepared submission, but for notebooks and links, to the new `target`."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        return {
            name
            for name in names
            if name.lower().endswith(".ipynb")
            or name == ".ipynb_checkpoints"
            or os.path.islink(os.path.join(folder, name))
        }

    shutil.copytree(prepared, target, ignore=left_out)
    for folder, _, names in os.walk(target):
        for place in (folder, *(os.path.join(folder, name) for name in names)):
            os.chmod(place, 0o700 if place == folder else 0o600)
    return target


def files_below(folder: Path) -> set[str]:
    """Names of the regular files below a folder, relative to it; links are not followed."""
    return {
        os.path.relpath(os.path.join(at, name), folder)
        for at, _, names in os.walk(folder)
        for name in names
        if not os.path.islink(os.path.join(at, name))
    }
