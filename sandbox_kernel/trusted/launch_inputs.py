"""What the process that starts a kernel tells the supervisor, and the way it is told.

The provisioner (in the Jupyter server, papermill, …) knows which notebook a kernel is for. It hands
that over in a sealed file in memory, which the supervisor inherits; its number stands on the
command line. A kernelspec's `env`, a notebook's metadata and a cell can write none of it.

All of it *asks*: the notebook's requests are bounded by the policy, and the policy that is named
here by the system's.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
from typing import Any

import msgspec

from ..shared.errors import KernelFault
from .options import LaunchOptions

#: Metadata of a notebook is text that somebody else wrote. More than this is not a request.
MOST_BYTES = 1 << 20


class NoRequest(ValueError):
    """The notebook's `sandbox` metadata is no request: more than MOST_BYTES, or no JSON."""


class LaunchInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known about a kernel where it is started.

    `found_by` says how the notebook was found: `hook`, `session`, `client` or `nobody`. `notebook`
    is the absolute path of its file, None where that is not known. `requests` is its `sandbox`
    metadata where the client has the notebook in memory; None means that it stands in the file.
    `policy` names a policy chosen by the one who starts the kernel (a person's command, a course's
    configuration), never by the notebook. Relative paths are relative to the kernel's working
    directory.
    """

    found_by: str = "nobody"
    notebook: str | None = None
    requests: Any = None
    policy: str | None = None
    #: Absolute paths that no cell may open, whatever is granted to it.
    closed: tuple[str, ...] = ()


def hand_over(inputs: LaunchInputs) -> int:
    """Put `inputs` where a child process can take them; the descriptor, which the caller closes.

    Raises NoRequest when the notebook's requests cannot be such.
    """
    try:
        content = msgspec.json.encode(inputs)
    except (TypeError, ValueError, RecursionError) as error:
        raise NoRequest(f"the notebook's sandbox metadata is no JSON: {error}") from None
    if len(content) > MOST_BYTES:
        raise NoRequest(
            f"the notebook's sandbox metadata has {len(content)} bytes, more than {MOST_BYTES}"
        )
    descriptor = os.memfd_create("sandbox-launch-inputs", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(
        descriptor,
        fcntl.F_ADD_SEALS,
        fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE,
    )
    return descriptor


def take(descriptor: int) -> LaunchInputs:
    """Read what was handed over and close it, so that no process started later inherits it.

    Raises KernelFault for a descriptor that holds something else.
    """
    try:
        with open(descriptor, "rb") as file:
            return msgspec.json.decode(file.read(MOST_BYTES + 1), type=LaunchInputs)
    except (OSError, msgspec.DecodeError) as error:
        raise KernelFault(
            f"--launch-inputs {descriptor}: not what the sandbox provisioner hands over ({error})"
        ) from None


def with_inputs(options: LaunchOptions, inputs: LaunchInputs) -> LaunchOptions:
    """`options` with what the provisioner knows, where the launcher has not said it itself."""
    return dataclasses.replace(
        options,
        notebook=options.notebook or inputs.notebook,
        policy=options.policy or inputs.policy,
        closed=(*options.closed, *inputs.closed),
        metadata=inputs.requests if options.metadata is None else options.metadata,
    )
