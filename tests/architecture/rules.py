"""The rules between the rooms of this tree, as one table.

What one package of the project may import of another stands in `pyproject.toml`, as import-linter's
contracts. Here stands the rest: what each room may import from outside the project, which imports
are confined to files whose names say so, and which words and habits have no place.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sandbox_kernel"

# Standard library modules that reach outside the process. A room that is marked PURE decides and
# does not act: it imports none of them.
EFFECTS = frozenset(
    {
        "asyncio",
        "concurrent",
        "fcntl",
        "ftplib",
        "http",
        "mmap",
        "multiprocessing",
        "pty",
        "resource",
        "select",
        "selectors",
        "signal",
        "smtplib",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "urllib.request",
        "webbrowser",
    }
)

# Formats that run code when they are read. No room may use them: what crosses between the two
# sides is data.
RUNS_WHEN_READ = frozenset({"cloudpickle", "dill", "marshal", "pickle", "shelve"})


@dataclass(frozen=True)
class Room:
    """What a package may import from outside the project.

    `third_party` names distributions' top-level modules that every file of the room may import,
    `only_in` those that one file alone may import (path relative to the room), `pure` says that
    the room imports nothing of EFFECTS.
    """

    name: str
    third_party: frozenset[str]
    only_in: dict[str, str]
    pure: bool


ROOMS = (
    Room("shared", frozenset({"msgspec"}), {}, pure=True),
    Room("policy", frozenset({"msgspec"}), {"biscuit_auth": "tickets.py"}, pure=True),
    Room(
        "language",
        frozenset({"RestrictedPython"}),
        {"pandas": "deputies/libraries.py"},
        pure=True,
    ),
    Room(
        "trusted",
        frozenset(
            {"jupyter_client", "jupyter_core", "markdown_it", "msgspec", "nh3", "psutil", "zmq"}
        ),
        {},
        pure=False,
    ),
)

# Modules that only files of this name prefix may import, in the whole package: raw system calls
# stand apart from the decisions about them.
BY_FILE_NAME = {"ctypes": "_sys_"}

# A file of more lines than this holds a second job. The number is where a reviewer looks, with
# slack for a table that is one thing.
MOST_LINES = 600

FILE_NAMES_THAT_SAY_NOTHING = frozenset(
    {"common.py", "helper.py", "helpers.py", "manager.py", "misc.py", "util.py", "utils.py"}
)

# Written only here, in pieces, so that this file does not find itself.
WORDS_OF_NO_USE = ("TO" + "DO", "FIX" + "ME", "XX" + "X:", "/work" + "/", ".." + "/shared/")


def python_files(folder: Path) -> list[Path]:
    """All Python files below `folder`, in a stable order."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Each absolute import of a file, wherever it stands in it: (line, dotted module name)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module


def third_party(module: str) -> str | None:
    """The top-level name of a module from outside the standard library and the project."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "sandbox_kernel":
        return None
    return top


def is_effect(module: str) -> bool:
    """Whether importing `module` brings something that acts outside the process."""
    parts = module.split(".")
    return any(".".join(parts[: i + 1]) in EFFECTS for i in range(len(parts)))
