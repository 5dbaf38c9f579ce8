"""Source distributions, fetched for a run with pip and read where they lie; never installed.

``pip download`` asks a source distribution's build backend for its metadata before it keeps the
file. A backend of a few lines, which copies the PKG-INFO that every source distribution carries,
answers for all of them: nothing is built, and no code of the package runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

__all__ = ["fetch", "unpack"]

_BACKENDS = ("mesonpy", "setuptools.build_meta", "flit_core.buildapi", "hatchling.build")
_BACKEND = """
import email, pathlib, shutil

def get_requires_for_build_wheel(config_settings=None):
    return []

get_requires_for_build_sdist = get_requires_for_build_wheel

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    known = email.message_from_string(pathlib.Path("PKG-INFO").read_text("utf-8"))
    name = known["Name"].replace("-", "_").replace(".", "_")
    folder = pathlib.Path(metadata_directory, f"{name}-{known['Version']}.dist-info")
    folder.mkdir()
    shutil.copy("PKG-INFO", folder / "METADATA")
    return folder.name
"""


def _backends(folder: Path) -> None:
    for name in _BACKENDS:
        parts = name.split(".")
        place = folder
        for part in parts[:-1]:
            place = place / part
            place.mkdir(exist_ok=True)
            (place / "__init__.py").write_text("", encoding="utf-8")
        (place / f"{parts[-1]}.py").write_text(_BACKEND, encoding="utf-8")
    legacy = folder / "setuptools" / "build_meta.py"
    legacy.write_text(_BACKEND + "\n__legacy__ = __import__('sys').modules[__name__]\n")


def fetch(package: str, into: Path) -> Path | None:
    """The source distribution of ``package`` (a requirement) in ``into``; None where pip cannot
    have it, with pip's words on stderr."""
    with tempfile.TemporaryDirectory(prefix="backends-") as folder:
        _backends(Path(folder))
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary"]
        command += [":all:", "--no-build-isolation", "-d", str(into), package]
        before = set(into.iterdir())
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": folder},
            capture_output=True,
            text=True,
            check=False,
        )
    made = [p for p in into.iterdir() if p not in before and p.name.endswith((".gz", ".zip"))]
    if done.returncode or not made:
        print(f"{package} could not be fetched: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return made[0]


def unpack(archive: Path, into: Path) -> Path:
    """Unpack a source distribution; gives its top folder."""
    with tarfile.open(archive) as packed:
        packed.extractall(into, filter="data")
        return into / packed.getnames()[0].partition("/")[0]
