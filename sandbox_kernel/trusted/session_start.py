"""What a kernel starts with: the policy, the notebook's wishes, and the worker that they make."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from ..policy import Origin, Places, Problem, Rights, parse_request
from ..policy.kinds.files import FileEntry
from ..policy.kinds.names import EnvironmentEntry
from .confine.environment import scrub
from .confine.plan import Level
from .confine.spec import DEFAULT_RLIMITS, WorkerSpec
from .doors.mount_table import writable_points
from .doors.resolve import Unresolvable, resolve
from .doors.survey import LiveHost
from .limits import walls
from .notebook_wishes import notebook_metadata
from .options import LaunchOptions
from .policy_files import PolicyFiles, load_policies
from .real_path import real_path
from .session_rights import NOTEBOOK, SessionRights


def session_rights(options: LaunchOptions) -> SessionRights:
    """The rights that the kernel starts with. Raises `BadPolicy`."""
    policies = load_policies(options)
    notebook = None if options.notebook is None else os.path.abspath(options.notebook)
    metadata = options.metadata
    problems: list[Problem] = []
    if metadata is None and notebook is not None:
        metadata, problems = notebook_metadata(notebook)
    request = parse_request(metadata, Origin(NOTEBOOK))
    policies, found = policies.for_notebook(request)
    request = replace(request, problems=(*request.problems, *problems, *found))
    folder = os.path.dirname(notebook) if notebook else os.getcwd()
    return SessionRights(policies, _places(folder, notebook, policies, options), request)


def _places(
    folder: str, notebook: str | None, policies: PolicyFiles, options: LaunchOptions
) -> Places:
    return Places(
        folder=folder,
        notebook=notebook,
        home=os.path.expanduser("~"),
        read_only=policies.paths,
        closed=(data_directory(options), runtime_directory(), *options.closed),
        canonical=real_path,
    )


def data_directory(options: LaunchOptions) -> str:
    """Where the audit log and the approval store lie; closed to every cell."""
    if options.data_dir is not None:
        return str(options.data_dir)
    from jupyter_core.paths import jupyter_data_dir

    return os.path.join(jupyter_data_dir(), "sandbox-kernel", "state")


def approvals_file(options: LaunchOptions) -> str:
    """Where answers that a person gave for good are remembered."""
    return os.path.join(data_directory(options), "approvals.json")


def runtime_directory() -> str:
    """Where connection files lie; closed to every cell."""
    from jupyter_core.paths import jupyter_runtime_dir

    return str(jupyter_runtime_dir())


def worker_spec(session: SessionRights, options: LaunchOptions) -> WorkerSpec:
    """The worker that these rights make."""
    rights = session.rights
    least = Level(rights.isolation)
    forced = Level(options.level) if options.level else None
    return WorkerSpec(
        working_directory=rights.places.folder,
        environment={
            **scrub(os.environ, variables(rights, os.environ)).environment,
            **walls.environment(rights.limits),
        },
        scratch_bytes=int(rights.limits["scratch"].value),
        rlimits={**DEFAULT_RLIMITS, **walls.initial(rights.limits)},
        least_level=least,
        forced_level=forced,
        spawn=rights.spawn,
        writable_points=_writable_points(rights),
    )


def variables(rights: Rights, environ: Iterable[str]) -> set[str]:
    """The names of an environment that a cell may see.

    As `capabilities.environment.decide.select` has it, which takes longer to import than this does.
    """
    given = [r.entry for r in rights.rights if isinstance(r.entry, EnvironmentEntry)]
    closed = [r.entry for r in rights.refusals if isinstance(r.entry, EnvironmentEntry)]
    return {
        name
        for name in environ
        if any(entry.covers(name) for entry in given)
        and not any(entry.covers(name) for entry in closed)
    }


def _writable_points(rights: Rights) -> tuple[str, ...]:
    """Every place that a tier of the policy may ever make writable."""
    places = []
    for rule in rights.rules:
        if isinstance(rule.entry, FileEntry) and rule.entry.mode != "read":
            for pattern in rule.entry.places:
                try:
                    places.append(resolve(pattern.fixed_prefix, "/"))
                except Unresolvable:
                    continue  # Nothing can be granted there.
    return writable_points(places, LiveHost())
