"""RestrictedPython's own suite against our transformer: what differs is listed with a reason.

The suite is fetched as a source distribution for the run and never kept; where no registry can be
reached the test is skipped, and says so.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.sources import fetch, unpack
from sandbox_kernel.language.differences import differing_tests

ROOT = Path(__file__).resolve().parents[3]
PLUGIN = """
import ast
import RestrictedPython.compile as theirs
from sandbox_kernel.language import DialectRules, Session, compiler

SESSION = Session(DialectRules(modules={m: "" for m in ("math", "string")}), freeze=False)
ORIGINAL = theirs._compile_restricted_mode
TAKEN = (str, bytes, bytearray, ast.Module, ast.Expression, ast.Interactive)

def ours(source, filename="<string>", mode="exec", flags=0, dont_inherit=False, policy=None):
    if policy is None:
        return ORIGINAL(source, filename, mode, flags, dont_inherit, policy)
    if not issubclass(policy, theirs.RestrictingNodeTransformer):
        raise TypeError("Unallowed policy provided for RestrictedPython")
    if not issubclass(type(source), TAKEN):
        raise TypeError(f'Not allowed source type: "{type(source).__name__}".')
    make = compiler.compile_tree if isinstance(source, ast.AST) else compiler.compile_source
    text = bytes(source) if isinstance(source, bytearray) else source
    try:
        code = make(text, filename, mode, SESSION.guards, flags)
    except SyntaxError as e:
        told = f"Line {e.lineno}: {type(e).__name__}: {e.msg} at statement: {e.text!r}"
        return theirs.CompileResult(None, (told,), [], {})
    return theirs.CompileResult(code, (), [], {})

theirs._compile_restricted_mode = ours
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The suite's tests by node id: PASSED, FAILED, ERROR (those that are skipped are left out)."""
    pytest.importorskip("pytest_mock")
    folder = tmp_path_factory.mktemp("restrictedpython")
    version = importlib.metadata.version("RestrictedPython")
    archive = fetch(f"RestrictedPython=={version}", folder)
    if archive is None:
        pytest.skip("RestrictedPython's source distribution cannot be fetched here")
    suite = unpack(archive, folder)
    (folder / "our_transformer.py").write_text(PLUGIN, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "our_transformer", "tests", "-q", "-rfEp"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=suite,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    assert len(found) > 250, done.stdout[-2000:] + done.stderr[-2000:]
    return {test: outcome for outcome, test in found}


def test_every_difference_is_listed_with_its_reason(outcomes: dict[str, str]) -> None:
    listed = dict(differing_tests())
    differing = {test for test, outcome in outcomes.items() if outcome != "PASSED"}
    assert differing - set(listed) == set()


def test_every_listed_test_differs(outcomes: dict[str, str]) -> None:
    same = {test for test, _ in differing_tests() if outcomes.get(test) == "PASSED"}
    assert same == set()
