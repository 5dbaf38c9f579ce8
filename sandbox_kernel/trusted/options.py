"""What a kernel may be started with, beyond its connection file.

These are Python arguments of `sandbox_kernel.__main__.main`: a launcher written by whoever runs the
kernel (the provisioner in the server, a batch runner, a test) passes them. Nothing in them is read
from the environment or from a notebook, and no command line option weakens a wall.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LaunchOptions:
    """Arguments of a kernel's start.

    `level`: build exactly this level of confinement instead of the best one (tests).
    `policy_paths`: pairs of scope (`system`, `admin`, `user`) and policy file, instead of the
    usual search.
    `policy`: name of the policy to use instead of the default one.
    `notebook`: path of the notebook that the kernel runs for; it may ask for rights.
    `resolver`: gives the addresses of a host name, instead of the system's resolver.
    `data_dir`: where the audit log and the approval store lie, instead of Jupyter's data directory.
    `closed`: absolute paths that no cell may open, whatever is granted to it.
    `metadata`: the notebook's `metadata.sandbox` where there is no notebook file to read it from.
    """

    level: str | None = None
    policy_paths: Sequence[tuple[str, str]] | None = None
    policy: str | None = None
    notebook: str | None = None
    resolver: Callable[[str], list[str]] | None = None
    data_dir: str | None = None
    closed: tuple[str, ...] = ()
    metadata: object = None
