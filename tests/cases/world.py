"""The world of a case: a fresh folder with its fixtures, and what became of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cases.model import FIRST_KERNEL, Step

ALWAYS = ("nb", "outside", "home")
KERNEL_NAME = "sandbox-python"
LARGE = 64 << 20  # bytes; a larger fixture is a sparse one and is compared without reading it


def lay_down(root: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Make the folders that always exist and the fixtures, parents included, in `root`."""
    for name in ALWAYS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for entry in entries:
        path = inside(root, entry["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        if "text" in entry:
            path.write_bytes(entry["text"].encode())
        elif "hex" in entry:
            path.write_bytes(bytes.fromhex(entry["hex"]))
        elif "size" in entry:
            with open(path, "wb") as stream:
                stream.truncate(entry["size"])
        elif "symlink" in entry:
            path.symlink_to(entry["symlink"])
        elif "hardlink" in entry:
            path.hardlink_to(inside(root, entry["hardlink"]))
        elif entry.get("dir"):
            path.mkdir(exist_ok=True)


def inside(root: Path, path: str) -> Path:
    """A world path as a path of this machine. Raises `ValueError` when it leads out."""
    joined = Path(os.path.normpath(root / path))
    if not joined.is_relative_to(root):
        raise ValueError(f"{path} is not inside the world")
    return joined


def notebook_path(notebook: str, kernel: str) -> str:
    """World path of a kernel's own copy of the notebook: in the same folder."""
    if kernel == FIRST_KERNEL:
        return notebook
    path = Path(notebook)
    return str(path.with_name(f"{path.stem}-{kernel}{path.suffix}"))


def cell_id(number: int) -> str:
    """Id of the cell of step `number`."""
    return f"step-{number}"


def notebook_document(steps: Sequence[Step], metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """The notebook that the runner writes: the cells of all steps and what the case asks for."""
    top: dict[str, Any] = {
        "kernelspec": {
            "name": KERNEL_NAME,
            "display_name": "Sandboxed Python",
            "language": "python",
        },
        "language_info": {"name": "python"},
    }
    if metadata is not None:
        top["sandbox"] = metadata
    cells = [
        {
            "cell_type": "code",
            "id": cell_id(number),
            "metadata": cell_metadata(step),
            "execution_count": None,
            "outputs": [],
            "source": step.value,
        }
        for number, step in enumerate(steps, 1)
        if step.kind == "cell"
    ]
    return {"cells": cells, "metadata": top, "nbformat": 4, "nbformat_minor": 5}


def cell_metadata(step: Step) -> dict[str, Any]:
    """A cell's metadata as the notebook and the execute request carry it."""
    metadata: dict[str, Any] = {}
    if "tags" in step.options:
        metadata["tags"] = list(step.options["tags"])
    if "metadata" in step.options:
        metadata["sandbox"] = step.options["metadata"]
    return metadata


def write_notebook(path: Path, document: Mapping[str, Any]) -> None:
    """Write a notebook file, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")


@dataclass(frozen=True)
class Snapshot:
    """What was at some world paths before the first cell."""

    before: Mapping[str, tuple[Any, ...]]

    @classmethod
    def take(cls, root: Path, paths: Iterable[str]) -> Snapshot:
        """Read the paths as they are now."""
        return cls({path: _state(inside(root, path)) for path in paths})

    def changes(self, root: Path) -> list[str]:
        """A sentence for every path that is not as it was."""
        return [
            f"{path} is not as it was before the first cell"
            for path, state in self.before.items()
            if _state(inside(root, path)) != state
        ]


def _state(path: Path) -> tuple[Any, ...]:
    """What a path is, down to the bytes; links are told from what they lead to."""
    if path.is_symlink():
        return ("link", os.readlink(path), _state(path.resolve()) if path.exists() else None)
    if path.is_dir():
        return ("folder", *((name, _state(path / name)) for name in sorted(os.listdir(path))))
    if path.is_file():
        found = path.stat()
        if found.st_size > LARGE:
            return ("large file", found.st_size, found.st_blocks, found.st_mtime_ns)
        return ("file", path.read_bytes())
    return ("other",) if path.exists() else ("nothing",)


def check_paths(root: Path, after: Mapping[str, Any], snapshot: Snapshot | None) -> list[str]:
    """The reasons why ``unchanged``, ``absent`` and ``present`` do not hold."""
    reasons = []
    if after.get("unchanged"):
        if snapshot is None:
            reasons.append("unchanged: no kernel was started, so nothing is shown")
        else:
            reasons += [f"unchanged: {change}" for change in snapshot.changes(root)]
    for path in after.get("absent", ()):
        if os.path.lexists(inside(root, path)):
            reasons.append(f"absent: {path} is there")
    for path in after.get("present", ()):
        if not os.path.lexists(inside(root, path)):
            reasons.append(f"present: {path} is not there")
    return reasons
