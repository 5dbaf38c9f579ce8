"""Find and read policy files: the thin effects around `policy.lookup`.

A missing file is None; one that is there and cannot be read is an error, never a missing one:
a policy that vanishes because of a permission would be a policy that somebody can lift.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyter_core.paths import jupyter_path

import sandbox_kernel

from ..policy.load import MAX_BYTES, Policy
from ..policy.lookup import (
    SYSTEM_FILES,
    FileFacts,
    Layer,
    layers,
    load_file,
    load_named,
    system_policy_problem,
)
from ..policy.problems import Origin, PolicyError, Problem


@dataclass(frozen=True)
class Chosen:
    """The policies of a kernel, and the paths that no cell may change because of them."""

    policy: Policy
    system: Policy | None
    search: tuple[Layer, ...]

    @property
    def protected(self) -> tuple[str, ...]:
        """Policy files and every folder in which one is looked up."""
        loaded = [self.policy] if self.system is None else [self.policy, self.system]
        files = {source.path for policy in loaded for source in policy.sources}
        folders = {layer.folder for layer in self.search}
        return tuple(sorted({*files, *folders, *SYSTEM_FILES} - {""}))


def choose(
    name: str = "default",
    *,
    paths: Sequence[tuple[str, str]] | None = None,
    system_files: Sequence[str] = SYSTEM_FILES,
) -> Chosen:
    """The policy `name` as Jupyter's path has it, and the system policy that bounds it.

    `paths` (pairs of scope and file) replaces the search: the file of scope `system` bounds, and
    the last of the others is the policy.  Raises PolicyError: a kernel whose policy is missing or
    malformed must not start.
    """
    search = search_path()
    if paths is not None:
        named = dict(paths)
        bound = named.pop("system", None)
        system = None if bound is None else load_file(bound, search, read)
        files = list(named.values())
        policy = load_file(files[-1], search, read) if files else load_named(name, search, read)
        return Chosen(policy, system, search)
    return Chosen(load_named(name, search, read), _system(system_files, search), search)


def search_path() -> tuple[Layer, ...]:
    """The folders of policies on this machine, the first that has a name wins."""
    return layers(jupyter_path(), shipped_folder())


def shipped_folder() -> str:
    """Where the policies of this package lie: in the wheel, or beside a checkout's package."""
    package = Path(sandbox_kernel.__file__).resolve().parent
    inside = package / "policies"
    return str(inside if inside.is_dir() else package.parent / "policies")


def read(path: str) -> str | None:
    """The text of a policy file, None where there is none; PolicyError where it is unreadable."""
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _unreadable(path, "it is no regular file")
            content = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"it is not UTF-8 (byte {error.start})") from None


def _system(files: Sequence[str], search: Sequence[Layer]) -> Policy | None:
    for path in files:
        if not os.path.lexists(path):
            continue
        problem = system_policy_problem(path, _facts(path))
        if problem is not None:
            raise PolicyError([problem])
        return load_file(path, search, read)
    return None


def _facts(path: str) -> list[FileFacts]:
    """Owner and mode of a file, of every folder above it, and of what links lead to."""
    found = []
    for start in {path, os.path.realpath(path)}:
        here = Path(start)
        for place in (here, *here.parents):
            status = os.stat(place)
            found.append(FileFacts(status.st_uid, stat.S_IMODE(status.st_mode)))
    return found


def _unreadable(path: str, why: str) -> PolicyError:
    text = f"the policy cannot be read: {why}"
    return PolicyError([Problem("policy.unreadable", text, Origin(path))])
