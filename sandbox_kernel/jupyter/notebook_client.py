"""nbclient with our own hook: it tells the kernel its notebook, and sends each cell's metadata.

`NotebookClient` is recognised without any of this (see `notebook_of`); then the notebook's
requests are known and its file is not, and cell metadata stays at home, because nbclient sends
none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.util import run_sync
from nbformat import NotebookNode
from traitlets import Unicode

from sandbox_kernel.jupyter.notebook_of import attach
from sandbox_kernel.trusted.launch_inputs import LaunchInputs

KERNEL_NAME = "sandbox-python"


class SandboxExecution(NotebookClient):
    """What the hooks for nbclient, nbconvert and papermill share: mix it in before the client.

    The kernel is always the sandboxed one, whatever the notebook's kernelspec says.
    """

    sandbox_policy = Unicode(
        None, allow_none=True, help="Name of the policy to run under; None: the default"
    ).tag(config=True)
    notebook_path = Unicode(
        None, allow_none=True, help="The notebook's own file, which no grant may let a cell change"
    ).tag(config=True)

    def create_kernel_manager(self) -> KernelManager:
        """Make the manager and say which notebook it is for. Called by `setup_kernel`."""
        self.kernel_name = KERNEL_NAME
        manager = super().create_kernel_manager()
        attach(manager, self.launch_inputs())
        return manager

    def launch_inputs(self) -> LaunchInputs:
        """The inputs for this notebook, whose kernel runs in its folder unless told otherwise."""
        file = Path(self.notebook_path).absolute() if self.notebook_path else None
        if file is not None and not file.is_file():
            file = None
        if file is not None:
            metadata = self.resources.setdefault("metadata", {})
            metadata["path"] = metadata.get("path") or str(file.parent)
        return LaunchInputs(
            "hook",
            str(file) if file else None,
            self.nb.metadata.get("sandbox", {}),
            self.sandbox_policy,
        )

    async def async_execute_cell(self, cell: NotebookNode, *args: Any, **kwargs: Any) -> Any:
        """Run a cell with its metadata in the request, as JupyterLab sends it."""
        assert self.kc is not None
        session = self.kc.session
        before = session.metadata
        session.metadata = {**before, **cell.get("metadata", {})}
        try:
            return await super().async_execute_cell(cell, *args, **kwargs)
        finally:
            session.metadata = before

    # nbclient's own is made from its own coroutine; nbconvert and papermill call this one.
    execute_cell = run_sync(async_execute_cell)


class SandboxNotebookClient(SandboxExecution):
    """`nbclient.NotebookClient` for the sandboxed kernel.

    SandboxNotebookClient(nb, notebook_path="a.ipynb", sandbox_policy="locked-down").execute()
    """
