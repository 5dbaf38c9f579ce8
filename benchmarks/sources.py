"""Sources fetched for a run: source distributions with pip, repositories with git.

They are read where they lie and never installed; `environment` installs the packages themselves.

``pip download`` asks a source distribution's build backend for its metadata before it keeps the
file. A backend of a few lines, which copies the PKG-INFO that every source distribution carries,
answers for all of them: nothing is built, and no code of the package runs.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

__all__ = ["environment", "fetch", "repository", "unpack"]

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
    into.mkdir(parents=True, exist_ok=True)
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
    """Unpack the plain files of a source distribution; gives its top folder.

    Raises:
        ValueError: a name in it leads out of ``into``. (`tarfile`'s own filter for this is not in
            every CPython 3.11.)
    """
    top = ""
    with tarfile.open(archive) as packed:
        for member in packed:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts:
                raise ValueError(f"{archive.name}: {member.name!r} leads out of the folder")
            top = top or name.parts[0]
            file = packed.extractfile(member) if member.isfile() else None
            if file is not None:
                path = into / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read())
    return into / top


def repository(name: str, into: Path, kept: Path | None = None) -> Path | None:
    """The files of the public repository ``OWNER/NAME``, unpacked below ``into``.

    Taken from ``kept``, where it has a clone in a folder OWNER+NAME, else cloned; None where that
    cannot be, with git's words on stderr.
    """
    clone = kept / name.replace("/", "+") if kept is not None else None
    if clone is None or not clone.is_dir():
        clone = into / (name.replace("/", "+") + ".git")
        command = ["git", "clone", "-q", "--bare", "--depth", "1"]
        command += [f"https://github.com/{name}", str(clone)]
        silent = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        done = subprocess.run(command, env=silent, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name} could not be fetched: {done.stderr.strip()[-300:]}", file=sys.stderr)
            return None
    top = into / name.replace("/", "+")
    for path, content in _files(clone):
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(content)
    return top


def _files(clone: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a clone's newest commit, but those whose content it lacks."""
    command = ["git", "-C", str(clone)]
    listed = subprocess.run(
        [*command, "ls-tree", "-rz", "--format=%(objectmode) %(objectname) %(path)", "HEAD"],
        capture_output=True,
        check=True,
    )
    entries = [line.split(" ", 2) for line in listed.stdout.decode().split("\0") if line]
    plain = [(name, path) for mode, name, path in entries if mode in ("100644", "100755")]
    asked = "".join(f"{name}\n" for name, _ in plain).encode()
    given = subprocess.run(
        [*command, "cat-file", "--batch", "--buffer"],
        input=asked,
        capture_output=True,
        env={**os.environ, "GIT_NO_LAZY_FETCH": "1"},
        check=True,
    )
    stream = io.BytesIO(given.stdout)
    for _, path in plain:
        header = stream.readline().split()
        if len(header) == 3:
            content = stream.read(int(header[2]))
            stream.readline()
            yield path, content


def environment(packages: Sequence[str], folder: Path) -> str:
    """The Python of a virtual environment in ``folder`` that has ``packages`` and what the dialect
    itself needs; one that is there already is taken as it is."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        needed = [f"{n}=={importlib.metadata.version(n)}" for n in ("ipython", "RestrictedPython")]
        command = [str(python), "-m", "pip", "install", "-q", *needed, *packages]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return str(python)
