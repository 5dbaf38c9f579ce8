"""Cells of real notebooks, examples and manuals, read out of unpacked sources."""

from __future__ import annotations

import ast
import doctest
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Document", "documents"]

_CELL_MARK = re.compile(r"^(?:# ?%%.*|#{20,})$", re.MULTILINE)
_SKIP = re.compile(
    r"(^|/)(tests?|_build|benchmarks?|asv_benchmarks|build_tools|tools|bin|release|maint_tools"
    r"|\.ipynb_checkpoints|devel|developer)/|/development/contributing"
)
"""Tests and tools, and pages for those who work on the library itself."""
_EXAMPLES = re.compile(r"(^|/)(examples?|galleries|gallery|tutorials?|doc|docs|notebooks)/")
_MANUAL = re.compile(r"(^|/)(docs?|galleries)/")
_DIRECTIVE = re.compile(r"^(?P<indent> *)\.\. (ipython|code-block):: *(python|ipython)[ \t]*$")
_PROMPT = re.compile(r"^(>>>|In \[\d*\]:)", re.MULTILINE)
_PRIVATE = re.compile(r"^(from|import) [\w.]*\._\w+", re.MULTILINE)
_HEADER = {"{{ header }}": "import numpy as np\nimport pandas as pd\n"}
"""What a page's macros stand for."""
_OPTION = re.compile(r"^ *:\w+:.*$")
_DECORATOR = re.compile(r"^@(savefig|suppress|okwarning|okexcept|doctest)\b.*$", re.MULTILINE)


@dataclass(frozen=True)
class Document:
    """A notebook, an example or a page: its cells run one after another in one namespace.

    Where ``each_statement`` is set, a cell shows the value of each of its statements, as the
    page's own prompts do, and not of the last one only.
    """

    package: str
    path: str
    cells: tuple[str, ...]
    each_statement: bool = False


def documents(package: str, root: Path) -> Iterator[Document]:
    """Every notebook, example script and manual page below ``root``, in a fixed order."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if _SKIP.search(name) or not path.is_file():
            continue
        if path.suffix == ".ipynb":
            cells = _notebook(path)
        elif path.suffix == ".py" and _EXAMPLES.search(name) and path.name != "conf.py":
            cells = _script(path)
        elif path.suffix == ".rst" and _MANUAL.search(name):
            cells = _page(path)
        else:
            continue
        if cells:
            yield Document(package, name, tuple(cells), path.suffix == ".rst")


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


def _page(path: Path) -> list[str]:
    """A page of a manual: its code directives and its prompts, in their order."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    found = sorted([*_directives(text), *_prompts(text)])
    return [_HEADER[mark] for mark in _HEADER if mark in text] + [code for _, code in found]


def _directives(text: str) -> Iterator[tuple[int, str]]:
    """Line and code of each ``ipython`` directive, and of each code block that is Python."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        found = _DIRECTIVE.match(line)
        if found is None:
            continue
        block: list[str] = []
        suppressed = False
        for below in lines[number + 1 :]:
            if below.strip() and not below.startswith(found["indent"] + " "):
                break
            block.append(below)
        while block and (_OPTION.match(block[0]) or not block[0].strip()):
            suppressed |= ":suppress:" in block[0]
            del block[0]
        code = textwrap.dedent("\n".join(block)).strip("\n")
        if suppressed and _PRIVATE.search(code):
            continue  # it draws the page, and its reader does not see it
        if code.strip() and "@verbatim" not in code and not _PROMPT.search(code):
            yield number, _DECORATOR.sub("", code)


def _prompts(text: str) -> Iterator[tuple[int, str]]:
    """Line and code of runs of ``>>>`` examples; what stands between two parts the cells."""
    try:
        examples = doctest.DocTestParser().get_examples(text)
    except ValueError:
        return
    cell, began, following = "", 0, -1
    for example in examples:
        if cell and example.lineno != following:
            yield began, cell
            cell = ""
        if not cell:
            began = example.lineno
        cell += example.source
        following = example.lineno + example.source.count("\n") + example.want.count("\n")
    if cell:
        yield began, cell
