"""`inspect` finds modules by what `import` has put down, without resolving any file name."""

import inspect
import json.decoder
import os
import sys
import types

import pytest

from sandbox_kernel.sandboxed.module_files import note_modules

CODE = json.decoder.JSONDecoder.decode.__code__


@pytest.fixture
def resolved(monkeypatch):
    """The paths that are resolved from now on; `inspect` knows no file yet."""
    paths = []
    plain = os.path.realpath
    monkeypatch.setattr(inspect, "modulesbyfile", {})
    monkeypatch.setattr(inspect, "_filesbymodname", {})
    monkeypatch.setattr(os.path, "realpath", lambda path: paths.append(path) or plain(path))
    return paths


def test_the_module_of_code_is_found_and_no_name_resolved(resolved):
    note_modules()
    assert inspect.getmodule(CODE) is json.decoder
    assert resolved == []


def test_control_without_it_all_names_are_resolved(resolved):
    assert inspect.getmodule(CODE) is json.decoder
    assert len(resolved) > 100


def test_odd_modules_are_no_obstacle(resolved, monkeypatch):
    odd = types.ModuleType("odd")
    odd.__file__ = 3
    nameless = types.ModuleType("nameless")
    nameless.__file__ = "/nameless.py"
    del nameless.__name__
    for name, module in (("odd", odd), ("nameless", nameless), ("none", None), ("text", "x")):
        monkeypatch.setitem(sys.modules, name, module)
    note_modules()
    assert inspect.getmodule(CODE) is json.decoder


def test_a_module_that_is_imported_later_is_noted_then(resolved, monkeypatch):
    note_modules()
    late = types.ModuleType("late")
    late.__file__ = "/somewhere/late.py"
    monkeypatch.setitem(sys.modules, "late", late)
    note_modules()
    assert inspect.getmodule(compile("0", "/somewhere/late.py", "exec")) is late
    assert resolved == []
