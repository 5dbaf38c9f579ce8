"""Find and read policy files: the thin effects around `policy.lookup`.

A missing file is None; one that is there and cannot be read is an error, never a missing one:
a policy that vanishes because of a permission would be a policy that somebody can lift.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_core.paths import jupyter_path

import sandbox_kernel

from ..policy.bounds import may_choose
from ..policy.load import MAX_BYTES, Policy
from ..policy.lookup import (
    SUBFOLDER,
    SYSTEM_FILES,
    FileFacts,
    Layer,
    layers,
    load_file,
    load_named,
    system_policy_problem,
)
from ..policy.problems import Origin, PolicyError, Problem
from ..policy.request import Request
from ..shared.errors import KernelFault
from .options import LaunchOptions


class BadPolicy(KernelFault):
    """A policy is missing or malformed: no cell runs until it is mended."""

    code = "bad-policy"


@dataclass(frozen=True)
class PolicyFiles:
    """The policies of a kernel: the chosen one, and the system's that bounds it, if there is one.

    `search` are the folders in which names are looked up.
    """

    chosen: Policy
    system: Policy | None
    search: tuple[Layer, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """What no cell may change: policy files, and every folder where one is looked up."""
        loaded = [self.chosen] if self.system is None else [self.chosen, self.system]
        files = {source.path for policy in loaded for source in policy.sources}
        folders = {layer.folder for layer in self.search}
        return tuple(sorted({*files, *folders, *SYSTEM_FILES} - {""}))

    def named(self, name: str) -> Policy:
        """The policy of this name; raises BadPolicy."""
        with _as_bad_policy():
            return load_named(name, self.search, read)

    def for_notebook(self, request: Request) -> tuple[PolicyFiles, tuple[Problem, ...]]:
        """The policies after a notebook's metadata has named one, where the chosen one lets it.

        Else these, and why.
        """
        name = None if request.table is None else request.table.policy
        if name is None or name == self.chosen.name:
            return self, ()
        if not may_choose(name, self.chosen, self.system):
            allowed = ", ".join(self.chosen.table.notebook_policies) or "none"
            text = f"policy {name!r}: {self.chosen.file} lets notebooks choose {allowed}"
            return self, (Problem("request.policy", text, request.origin),)
        try:
            return replace(self, chosen=self.named(name)), ()
        except BadPolicy as error:
            return self, (Problem("request.policy", str(error), request.origin),)


def load_policies(options: LaunchOptions) -> PolicyFiles:
    """The policies that a kernel starts with.

    `options.policy_paths` are pairs of scope and file: the file of scope `system` bounds in place
    of the root-owned one, the last of the others is the policy.  Raises BadPolicy: a kernel
    whose policy is missing or malformed must not run cells.
    """
    with _as_bad_policy():
        return choose(options.policy or "default", paths=options.policy_paths)


def choose(
    name: str = "default",
    *,
    paths: Sequence[tuple[str, str]] | None = None,
    system_files: Sequence[str] = SYSTEM_FILES,
) -> PolicyFiles:
    """The policy `name` as Jupyter's path has it, and the system policy that bounds it.

    `paths` as in `load_policies`.  Raises PolicyError.
    """
    search = search_path()
    named = dict(paths or ())
    bound = named.pop("system", None)
    system = load_file(bound, search, read) if bound else _system(system_files, search)
    if system is not None and system.table.own_policies is False:
        search = roots_own(search)
    files = list(named.values())
    policy = load_file(files[-1], search, read) if files else load_named(name, search, read)
    return PolicyFiles(policy, system, search)


@contextmanager
def _as_bad_policy() -> Iterator[None]:
    try:
        yield
    except PolicyError as error:
        raise BadPolicy(str(error)) from None


def search_path() -> tuple[Layer, ...]:
    """The folders of policies on this machine, the first that has a name wins."""
    installed = os.path.join(sys.prefix, "share", "jupyter")
    shipped = _installation()
    if shipped != os.path.join(installed, SUBFOLDER):
        # What an editable install copied is a copy of these from an earlier day.
        return layers([f for f in jupyter_path() if f != installed], shipped)
    return layers(jupyter_path(), shipped)


def _installation() -> str:
    """The folder of the shipped policies."""
    checkout = Path(sandbox_kernel.__file__).resolve().parents[1] / "policies"
    if checkout.is_dir():
        return str(checkout)
    return os.path.join(sys.prefix, "share", "jupyter", SUBFOLDER)


def read(path: str) -> str | None:
    """The text of a policy file, None where there is none; PolicyError where it is unreadable."""
    try:
        # Without O_NONBLOCK a pipe in place of a policy would hold the kernel's start for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _unreadable(path, "it is no regular file")
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
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
        # A person's policy of the same name as what it extends would move the bound.
        return load_file(path, roots_own(search), read)
    return None


def roots_own(search: Sequence[Layer]) -> tuple[Layer, ...]:
    """The folders in which root alone can have put a policy, and the one of the installation."""
    installation = _installation()
    return tuple(
        layer
        for layer in search
        if layer.folder == installation
        or (os.path.isdir(layer.folder) and not system_policy_problem("", _facts(layer.folder)))
    )


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
