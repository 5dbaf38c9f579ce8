"""Installed modules are found by list: those that the stock finder finds, and what comes later."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: A Python whose prefix is the folder of its first argument, with one folder of modules in it.
BEGIN = """
import importlib.machinery, importlib.util, json, os, sys
top = sys.argv[1]
sys.prefix = top
sys.path.insert(0, top + "/site")
"""
BY_LIST = """
from sandbox_kernel.sandboxed.installed import InstalledFinder, find_installed_by_list
find_installed_by_list()
"""

Run = Callable[..., Any]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "package" / "inner").mkdir(parents=True)
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "inner" / "__init__.py").write_text("")
    (folder / "package" / "module.py").write_text("value = 1")
    (folder / "package.py").write_text("")  # A package goes before it.
    (folder / "spread" / "part").mkdir(parents=True)  # No __init__: a namespace package.
    (folder / "plain.py").write_text("value = 2")
    return folder


@pytest.fixture
def run(site: Path) -> Run:
    def run(body: str, begin: str = BEGIN + BY_LIST) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", begin + body, str(site.parent)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


FIND = """
KINDS = "ExtensionFileLoader SourceFileLoader SourcelessFileLoader NamespaceLoader".split()
names = "package package.inner package.module plain spread spread.part nothing json.decoder _json"
found = {}
for name in names.split():
    spec = importlib.util.find_spec(name)
    found[name] = spec and [
        spec.origin,
        list(spec.submodule_search_locations) if spec.submodule_search_locations else None,
        [kind for kind in KINDS if isinstance(spec.loader, getattr(importlib.machinery, kind))],
        spec.cached,
    ]
print(json.dumps(found))
"""


def test_the_stock_finder_finds_the_same(run: Run) -> None:
    found = run(FIND)
    assert found == run(FIND, BEGIN)
    assert found["nothing"] is None
    assert found["plain"] is not None


def test_a_listed_module_is_found_without_asking_for_any_path(run: Run) -> None:
    asked = run("""
import package, plain
calls = []
sys.addaudithook(lambda event, arguments: calls.append(event))
kept = os.stat
import _frozen_importlib_external as external
stats = []
external._path_stat = lambda path: stats.append(path) or kept(path)
importlib.util.find_spec("package.inner")
importlib.util.find_spec("package.module")
print(json.dumps([stats, calls.count("os.listdir")]))
""")
    assert asked[0] == []
    assert asked[1] == 1  # The inner package's folder: the others were listed before.


def test_byte_code_and_source_are_read_as_ever(run: Run) -> None:
    assert run("""
import py_compile, package.module
seen = [package.module.value, importlib.util.find_spec("plain").loader.get_source("plain")]
py_compile.compile(top + "/site/plain.py")
with open(top + "/site/plain.py", "w") as file:
    file.write("value = 20")  # Another size: the byte code is stale.
import plain
print(json.dumps([*seen, plain.value]))
""") == [1, "value = 2", 20]


def test_what_is_installed_later_is_found(run: Run) -> None:
    found = run("""
import plain
with open(top + "/site/later.py", "w") as file:
    file.write("value = 3")
os.utime(top + "/site", (2e9, 2e9))  # Whatever the clock's steps: the folder has changed.
import later
print(json.dumps(later.value))
""")
    assert found == 3


def test_a_folder_outside_the_environment_is_looked_for_as_ever(run: Run, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "mine.py").write_text("")
    kind = run(
        f"""
sys.path.insert(0, {str(outside)!r})
import mine
print(json.dumps([type(sys.path_importer_cache[{str(outside)!r}]).__name__,
                  type(sys.path_importer_cache[top + "/site"]).__name__]))
""".replace("import mine", "import mine, plain")
    )
    assert kind == ["FileFinder", "InstalledFinder"]


def test_forgetting_the_lists_sees_what_took_a_modules_place(run: Run) -> None:
    origin = run("""
import plain
os.unlink(top + "/site/plain.py")
os.mkdir(top + "/site/plain")
open(top + "/site/plain/__init__.py", "w").close()
importlib.invalidate_caches()
print(json.dumps(importlib.machinery.PathFinder.find_spec("plain").origin))
""")
    assert origin.endswith("/plain/__init__.py")
