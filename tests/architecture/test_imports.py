"""Which room may import what. The table is in `rules.py` and in pyproject's import-linter part."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import rules


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the import-linter contracts of `root`/pyproject.toml over the package beside it."""
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
        + ["--config", str(root / "pyproject.toml"), "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_projects_packages_import_only_downwards() -> None:
    result = lint_imports(rules.ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_sandboxed_module_that_imports_the_trusted_side_is_found(tmp_path: Path) -> None:
    """The control of the test above: the same contracts over a tree that breaks one."""
    for source in rules.python_files(rules.PACKAGE):
        copy = tmp_path / source.relative_to(rules.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((rules.ROOT / "pyproject.toml").read_bytes())
    guilty = tmp_path / "sandbox_kernel" / "sandboxed" / "guilty.py"
    guilty.write_text("from sandbox_kernel import trusted\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    assert "sandbox_kernel.sandboxed.guilty -> sandbox_kernel.trusted" in result.stdout


@pytest.mark.parametrize("room", rules.ROOMS, ids=lambda room: room.name)
def test_a_room_imports_only_its_third_parties(room: rules.Room) -> None:
    folder = rules.PACKAGE / room.name
    wrong = []
    for path in rules.python_files(folder):
        for line, module in rules.imports(path):
            top = rules.third_party(module)
            if top is None or top in room.third_party:
                continue
            if room.only_in.get(top) == str(path.relative_to(folder)):
                continue
            wrong.append(f"{path.relative_to(rules.ROOT)}:{line} imports {top}")
    assert wrong == []


@pytest.mark.parametrize(
    "room", [room for room in rules.ROOMS if room.pure], ids=lambda room: room.name
)
def test_a_pure_room_imports_nothing_that_acts(room: rules.Room) -> None:
    wrong = [
        f"{path.relative_to(rules.ROOT)}:{line} imports {module}"
        for path in rules.python_files(rules.PACKAGE / room.name)
        for line, module in rules.imports(path)
        if rules.is_effect(module)
    ]
    assert wrong == []


def test_ctypes_is_imported_only_in_files_named_for_it() -> None:
    wrong = [
        f"{path.relative_to(rules.ROOT)}:{line} imports {module}"
        for path in rules.python_files(rules.PACKAGE)
        for line, module in rules.imports(path)
        for only, prefix in rules.BY_FILE_NAME.items()
        if module.partition(".")[0] == only and not path.name.startswith(prefix)
    ]
    assert wrong == []


def test_nothing_that_runs_code_when_read_is_imported() -> None:
    wrong = [
        f"{path.relative_to(rules.ROOT)}:{line} imports {module}"
        for path in rules.python_files(rules.PACKAGE)
        for line, module in rules.imports(path)
        if module.partition(".")[0] in rules.RUNS_WHEN_READ
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os", []),
        ("import zmq.asyncio", ["zmq"]),
        ("def f():\n    from numpy.linalg import inv", ["numpy"]),
        ("from sandbox_kernel.shared import errors", []),
        ("from . import sibling", []),
    ],
)
def test_imports_are_found_wherever_they_stand(
    tmp_path: Path, source: str, found: list[str]
) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    names = [rules.third_party(module) for _, module in rules.imports(path)]
    assert [name for name in names if name] == found


@pytest.mark.parametrize(
    ("module", "expected"),
    [("socket", True), ("urllib.request", True), ("urllib.parse", False), ("http.client", True)],
)
def test_what_counts_as_acting(module: str, expected: bool) -> None:
    assert rules.is_effect(module) is expected
