"""What pip installs: built from a copy of the tree, put into an environment of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run(*words: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    tree = folder / "tree"
    shutil.copytree(
        ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache")
    )
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=tree)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def environment(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel that the sdist builds; dependencies are borrowed.

    Borrowed means: this environment's packages are importable there, except for this project.
    """
    folder = tmp_path_factory.mktemp("environment")
    with tarfile.open(sdist) as archive:
        # CPython 3.11 has the filter since 3.11.4.
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safely)
    tree = next(path for path in folder.iterdir() if path.is_dir())
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=tree)
    wheel = next(folder.glob("*.whl"))
    venv = folder / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(site, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv


def test_the_kernel_appears_in_the_list(environment: Path) -> None:
    listed = json.loads(
        run(environment / "bin" / "python", "-m", "jupyter_client.kernelspecapp", "list", "--json")
    )
    entry = listed["kernelspecs"]["sandbox-python"]
    assert Path(entry["resource_dir"]).is_relative_to(environment)
    assert entry["spec"]["display_name"] == "Sandboxed Python"
    assert entry["spec"]["interrupt_mode"] == "message"
    logos = {path.name for path in Path(entry["resource_dir"]).iterdir()}
    assert logos == {"kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"}


def test_the_policies_are_where_they_are_looked_up(environment: Path) -> None:
    folder = environment / "share" / "jupyter" / "sandbox-kernel" / "policies"
    shipped = {path.name for path in (ROOT / "policies").iterdir()}
    assert "default.toml" in shipped
    assert {path.name for path in folder.iterdir()} == shipped


def test_the_package_that_runs_is_the_installed_one(environment: Path) -> None:
    code = "import sandbox_kernel; print(sandbox_kernel.__file__)"
    printed = run(environment / "bin" / "python", "-P", "-c", code, cwd=environment)
    assert Path(printed.strip()).is_relative_to(environment)


def test_the_command_is_on_the_path_of_the_environment(environment: Path) -> None:
    assert run(environment / "bin" / "sandbox-kernel", "--version").startswith("sandbox-kernel ")


def test_the_wheel_holds_the_package_and_nothing_of_the_tests(
    sdist: Path, environment: Path
) -> None:
    code = "import sandbox_kernel; print(sandbox_kernel.__path__[0])"
    site = Path(run(environment / "bin" / "python", "-P", "-c", code).strip()).parent
    assert not (site / "tests").exists()
    tree = sdist.parent / "tree"
    package = {path.relative_to(tree) for path in (tree / "sandbox_kernel").rglob("*.py")}
    installed = {path.relative_to(site) for path in (site / "sandbox_kernel").rglob("*.py")}
    assert installed == package


def test_the_sdist_holds_what_its_tests_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("Makefile", "LICENSE", "README.md", "tests/architecture/rules.py"):
        assert needed in names
    assert not any(name.startswith((".venv", ".git/")) for name in names)
