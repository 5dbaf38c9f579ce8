"""papermill's engine for the sandboxed kernel: `papermill --engine sandbox in.ipynb out.ipynb`.

Entry point `sandbox` of `papermill.engine`. A policy is chosen with
`papermill.execute_notebook(..., engine_name="sandbox", sandbox_policy="locked-down")`.
"""

from __future__ import annotations

from typing import Any

from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager

from sandbox_kernel.jupyter.notebook_client import KERNEL_NAME, SandboxExecution


class SandboxPapermillClient(SandboxExecution, PapermillNotebookClient):
    """papermill's client with the hook."""


class SandboxEngine(NBClientEngine):
    """Runs a notebook as papermill's own engine does, in the sandboxed kernel."""

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """Always the sandboxed kernel. Called by papermill before it starts anything."""
        return KERNEL_NAME

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Run the cells. Called by `Engine.execute_notebook`; times in seconds."""
        source = kwargs.pop("input_path", None)
        kwargs.setdefault("notebook_path", source if isinstance(source, str) else None)
        SandboxPapermillClient(
            nb_man,
            **{
                **kwargs,
                "timeout": execution_timeout or kwargs.get("timeout"),
                "startup_timeout": start_timeout,
                "kernel_name": KERNEL_NAME,
                "log_output": log_output,
                "stdout_file": stdout_file,
                "stderr_file": stderr_file,
            },
        ).execute()
