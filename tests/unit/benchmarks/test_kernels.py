"""What the benchmarks do before they measure."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import sandbox_kernel
from benchmarks.kernels import NotCompiled, compile_package


def test_the_package_has_byte_code_before_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "module.py"
    module.write_text("x = 1\n")
    monkeypatch.setattr(sandbox_kernel, "__path__", [str(tmp_path)])
    compile_package()
    assert Path(importlib.util.cache_from_source(str(module))).exists()


def test_a_package_that_cannot_be_compiled_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text("x = (\n")
    monkeypatch.setattr(sandbox_kernel, "__path__", [str(tmp_path)])
    with pytest.raises(NotCompiled):
        compile_package()
    assert "broken.py" in capsys.readouterr().out
