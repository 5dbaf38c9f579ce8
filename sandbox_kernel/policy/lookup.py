"""Which file is meant by the name of a policy?

Folders are searched in the order of `layers`, the first that has the file wins, as Jupyter does
for its own configuration: what stands in JUPYTER_PATH, the person's folder, the environment's
(`sys.prefix`), the system's, and last those shipped in the package.  A policy that extends one of
its own name means the next one down the list, so that a person's `default.toml` can say
`extends = "default"`.

None of this decides what is allowed in the end: the system policy, a root-owned file outside the
list, bounds whatever is found (`resolve`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .load import Policy, Source, extends, load
from .problems import Origin, PolicyError, Problem, nearest

SUBFOLDER = "sandbox-kernel/policies"
"""Below each folder of Jupyter's data path."""

SYSTEM_FILES: tuple[str, ...] = (
    "/etc/sandbox-kernel/system.toml",
    "/usr/local/etc/sandbox-kernel/system.toml",
)
"""Where the policy that bounds all others may lie; the first that exists counts."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DEEPEST = 16

Read = Callable[[str], str | None]
"""Gives the text of a file, or None when there is none; raises for one that it cannot read."""


@dataclass(frozen=True)
class Layer:
    """A folder of policies; `label` tells it from others in messages."""

    label: str
    folder: str


@dataclass(frozen=True)
class FileFacts:
    """Owner and mode of a file or folder, as stat(2) tells them."""

    uid: int
    mode: int


def layers(jupyter_path: Sequence[str], shipped: str) -> tuple[Layer, ...]:
    """The layers of a Jupyter data path (`jupyter_core.paths.jupyter_path()`), then the shipped.

    The same folder is taken once.
    """
    folders = dict.fromkeys([posixpath.join(folder, SUBFOLDER) for folder in jupyter_path])
    folders.setdefault(shipped)
    return tuple(
        Layer(
            "shipped" if folder == shipped else posixpath.dirname(posixpath.dirname(folder)), folder
        )
        for folder in folders
    )


def load_named(name: str, search: Sequence[Layer], read: Read) -> Policy:
    """Find and load the policy `name` with all that it extends.

    Raises PolicyError when it or one below it is missing, malformed, or extends itself for ever.
    """
    sources = _chain(name, 0, search, read)
    return load(sources)


def load_file(path: str, search: Sequence[Layer], read: Read) -> Policy:
    """Load the policy in the file `path`; what it extends is found in the layers."""
    text = read(path)
    file = posixpath.basename(path)
    if text is None:
        raise PolicyError([Problem("policy.missing", "there is no such file", Origin(path))])
    source = Source(file, text, path)
    below = extends(source)
    if below is None:
        return load([source])
    start = 0
    if f"{below}.toml" == file:
        here = posixpath.dirname(path)
        start = 1 + max((i for i, layer in enumerate(search) if layer.folder == here), default=-1)
    return load([*_chain(below, start, search, read, taken={file}), source])


def system_policy_problem(path: str, facts: Sequence[FileFacts]) -> Problem | None:
    """Why a system policy cannot be trusted, from the facts of it and of all its parents.

    It must be root's, with every folder above it, and writable by nobody else (sticky folders
    count as writable).
    """
    for fact in facts:
        if fact.uid != 0 or fact.mode & 0o022:
            text = (
                "a system policy and the folders above it must belong to root and be writable by "
                f"root alone: chown root {path} && chmod go-w {path}, and its parents likewise"
            )
            return Problem("policy.system_not_roots", text, Origin(path))
    return None


def _chain(
    name: str, start: int, search: Sequence[Layer], read: Read, taken: set[str] | None = None
) -> list[Source]:
    used = taken if taken is not None else set()
    chain: list[Source] = []
    asked_by = Origin("")
    while True:
        source, index = _find(name, start, search, read, asked_by, used)
        chain.insert(0, source)
        used.add(source.name)
        below = extends(source)
        if below is None:
            return chain
        if len(chain) > _DEEPEST:
            text = "more than 16 policies extend one another: one of them extends itself"
            raise PolicyError([Problem("policy.loop", text, Origin(source.name))])
        asked_by = Origin(source.name)
        start = index + 1 if below == name else 0
        name = below


def _find(
    name: str,
    start: int,
    search: Sequence[Layer],
    read: Read,
    asked_by: Origin,
    used: set[str],
) -> tuple[Source, int]:
    if not _NAME.fullmatch(name):
        text = f"{name!r} is no name of a policy: letters, digits, - and _"
        raise PolicyError([Problem("policy.name", text, asked_by)])
    for index in range(start, len(search)):
        layer = search[index]
        path = posixpath.join(layer.folder, f"{name}.toml")
        text_found = read(path)
        if text_found is not None:
            file = f"{name}.toml"
            shown = file if file not in used else f"{layer.label}/{file}"
            return Source(shown, text_found, path), index
    folders = ", ".join(layer.folder for layer in search[start:]) or "(nowhere)"
    known = ("default", "locked-down", "data-science", "classroom", "grading", "agent")
    hint = nearest(name, known)
    text = f"there is no policy {name!r} in {folders}; {hint}"
    raise PolicyError([Problem("policy.missing", text, asked_by)])
