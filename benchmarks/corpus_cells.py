"""Cells of real notebooks and examples, read out of unpacked source distributions."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Document", "documents"]

_CELL_MARK = re.compile(r"^(?:# ?%%.*|#{20,})$", re.MULTILINE)
_SKIP = re.compile(
    r"(^|/)(tests?|_build|benchmarks?|asv_benchmarks|build_tools|tools|bin|release|maint_tools)/"
)
_EXAMPLES = re.compile(r"(^|/)(examples?|galleries|gallery|tutorials?|doc|docs|notebooks)/")


@dataclass(frozen=True)
class Document:
    """A notebook or an example: its cells run one after another in one namespace."""

    package: str
    path: str
    cells: tuple[str, ...]


def documents(package: str, root: Path) -> Iterator[Document]:
    """Every notebook and every example script below ``root``, in a fixed order."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if _SKIP.search(name) or not path.is_file():
            continue
        if path.suffix == ".ipynb":
            cells = _notebook(path)
        elif path.suffix == ".py" and _EXAMPLES.search(name) and path.name != "conf.py":
            cells = _script(path)
        else:
            continue
        if cells:
            yield Document(package, name, tuple(cells))


def _notebook(path: Path) -> list[str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        return []
    language = found.get("metadata", {}).get("kernelspec", {}).get("language", "python")
    if language != "python" or "cells" not in found:
        return []
    cells = [c for c in found["cells"] if c.get("cell_type") == "code"]
    sources = ["".join(c.get("source", "")) for c in cells]
    return [s for s in sources if s.strip()]


def _script(path: Path) -> list[str]:
    """An example of sphinx-gallery: its cells are between comment rulers; each must parse."""
    try:
        source = path.read_text(encoding="utf-8")
        ast.parse(source)
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return []
    cells: list[str] = []
    waiting = ""
    for part in _CELL_MARK.split(source):
        waiting += part
        try:
            tree = ast.parse(waiting)
        except SyntaxError:
            continue
        if any(not _is_text(node) for node in tree.body):
            cells.append(waiting.strip("\n"))
        waiting = ""
    return cells


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
