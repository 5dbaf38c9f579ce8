"""File names, file sizes and words: what a reviewer would otherwise have to look for."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

from tests.architecture import rules

TEXT = {".py", ".md", ".toml", ".ipynb", ".json", ".sh", ".cfg", ""}


def project_files() -> list[Path]:
    """The files that git knows, or, in an unpacked sdist, all that are there."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"]
        + ["--exclude-standard"],
        cwd=rules.ROOT,
        capture_output=True,
    )
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
        paths = [rules.ROOT / name for name in names]
    else:
        paths = [path for path in rules.ROOT.rglob("*") if ".venv" not in str(path)]
    return [path for path in paths if path.is_file()]


def test_no_file_has_a_second_job() -> None:
    long = {
        str(path.relative_to(rules.ROOT)): lines
        for path in rules.python_files(rules.PACKAGE)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > rules.MOST_LINES
    }
    assert long == {}


def test_file_names_say_what_is_inside() -> None:
    silent = [
        str(path.relative_to(rules.ROOT))
        for path in rules.python_files(rules.PACKAGE)
        if path.name in rules.FILE_NAMES_THAT_SAY_NOTHING
    ]
    assert silent == []


def test_nothing_is_left_for_later_and_no_path_of_one_machine_is_named() -> None:
    found = []
    for path in project_files():
        if path.suffix not in TEXT or path == Path(rules.__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found += [
                f"{path.relative_to(rules.ROOT)}:{number}: {word}"
                for word in rules.WORDS_OF_NO_USE
                if word in line
            ]
    assert found == []


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches everything and does nothing at all with it."""
    names = (
        {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
        if (handler.type is not None)
        else {"BaseException"}
    )
    catches_all = bool(names & {"Exception", "BaseException"})
    return catches_all and all(isinstance(node, ast.Pass | ast.Continue) for node in handler.body)


def test_no_exception_is_swallowed() -> None:
    found = [
        f"{path.relative_to(rules.ROOT)}:{node.lineno}"
        for path in rules.python_files(rules.PACKAGE)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and swallows(node)
    ]
    assert found == []


def test_no_test_sleeps() -> None:
    """A test waits for an event with a deadline; a sleep is either too short or too long.

    The machinery around the tests may poll what tells nobody when it is ready.
    """
    found = [
        f"{path.relative_to(rules.ROOT)}:{node.lineno}"
        for path in rules.python_files(rules.ROOT / "tests")
        if path.name.startswith("test_")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep"}
        and not (node.args and ast.unparse(node.args[0]) == "0")
    ]
    assert found == []


def test_notebooks_are_committed_without_outputs() -> None:
    """Outputs are what a run gave on one machine; the tour's readers make their own."""
    found = []
    for path in project_files():
        if path.suffix == ".ipynb" and "notebooks" in path.parts:
            notebook = json.loads(path.read_text(encoding="utf-8"))
            cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
            if any(cell["outputs"] or cell["execution_count"] for cell in cells):
                found.append(str(path.relative_to(rules.ROOT)))
    assert found == []
