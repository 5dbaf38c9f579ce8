"""Which notebook is a kernel being started for, and what does that notebook ask for?

Jupyter tells a kernel neither. It is found here, in the process that starts the kernel (a Jupyter
server, `jupyter execute`, papermill, …), by the first of these that answers:

| who starts the kernel | how we know | `found_by` |
|---|---|---|
| one of our own hooks (`attach`) | it says so | hook |
| JupyterLab, Notebook 7, Hub | the server sets `JPY_SESSION_NAME` for this kernel | session |
| nbclient, nbconvert, papermill | the `NotebookClient` that made this very manager | client |
| anything else | | nobody |

All of it *asks* and nothing of it grants: what a notebook wants is bounded by the policy that the
supervisor reads. Whatever is unclear is `nobody`, and then the policy's `given` is all there is.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from sandbox_kernel.trusted.launch_inputs import LaunchInputs

SESSION_VARIABLE = "JPY_SESSION_NAME"

# Said by our own hooks before the kernel starts. Keyed by the manager itself, so that nothing has
# to be put into an environment, a file or a command line that others can write.
_attached: weakref.WeakKeyDictionary[Any, LaunchInputs] = weakref.WeakKeyDictionary()


def attach(manager: Any, inputs: LaunchInputs) -> None:
    """Say for which notebook `manager` is about to start a kernel; the last word holds."""
    _attached[manager] = inputs


def find(
    manager: Any,
    environment: Mapping[str, str] | None,
    directory: str | None,
    own_environment: Mapping[str, str] = os.environ,
) -> LaunchInputs:
    """The inputs for the kernel that `manager` is starting.

    `environment` and `directory` are the arguments of this one start, before the kernelspec's own
    `env` is added to them; `own_environment` is that of the starting process.
    """
    if manager is not None and manager in _attached:
        return _attached[manager]
    session = (environment or {}).get(SESSION_VARIABLE)
    # A variable that this process itself inherited (a client run from a cell of another kernel)
    # names that other kernel's notebook.
    if session and session != own_environment.get(SESSION_VARIABLE):
        notebook = session_notebook(session, directory)
        if notebook is not None:
            return LaunchInputs("session", str(notebook))
    client = owning_client(manager)
    if client is not None:
        return client_inputs(client, directory)
    return LaunchInputs()


def session_notebook(session: str, directory: str | None) -> Path | None:
    """The notebook file that a session name means, or None (a console, a name that is no file).

    A server gives the absolute path, or a path relative to the kernel's working directory.
    """
    path = Path(directory or ".", session)
    if path.suffix != ".ipynb" or not path.is_file():
        return None
    return path.absolute()


def client_inputs(client: Any, directory: str | None) -> LaunchInputs:
    """The inputs for a notebook that an nbclient `NotebookClient` holds in memory."""
    path = client.resources.get("metadata", {}).get("path") or directory or os.getcwd()
    requests = client.nb.metadata.get("sandbox", {})
    return LaunchInputs("client", notebook_file(client, path), requests)


def notebook_file(client: Any, directory: str) -> str | None:
    """The notebook's own file, as nbconvert's resources or papermill name it; None if unknown.

    papermill notes it in the metadata of the notebook that it runs, over whatever stood there. In a
    notebook that anything else runs, that note is the notebook's own claim and worth nothing.
    """
    name = client.resources.get("metadata", {}).get("name")
    papermill = sys.modules.get("papermill.clientwrap")
    if papermill is not None and isinstance(client, papermill.PapermillNotebookClient):
        path = Path(str(client.nb.metadata.get("papermill", {}).get("input_path", "")))
    elif isinstance(name, str):
        path = Path(directory, f"{name}.ipynb")
    else:
        return None
    return str(path.absolute()) if path.is_file() else None


def owning_client(manager: Any) -> Any | None:
    """The `NotebookClient` that made `manager` for itself and is starting its kernel right now.

    It is found on the call stack: of this thread, and for a synchronous manager, whose start runs
    on an event loop in another thread, of the others. The match is by identity, so that a client
    which merely happens to be running is never taken for the owner.
    """
    module = sys.modules.get("nbclient.client")
    if module is None or manager is None:
        return None
    stacks = [sys._getframe(), *sys._current_frames().values()]
    for frame in (frame for top in stacks for frame in _outward(top)):
        candidate = frame.f_locals.get("self")
        if (
            isinstance(candidate, module.NotebookClient)
            and candidate.km is manager
            and getattr(candidate, "owns_km", False)
        ):
            return candidate
    return None


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
