"""nbconvert's ExecutePreprocessor for the sandboxed kernel.

    jupyter nbconvert --to html a.ipynb \\
      --HTMLExporter.preprocessors=sandbox_kernel.jupyter.nbconvert_preprocessor.SandboxPreprocessor
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager
from nbconvert.preprocessors import ExecutePreprocessor
from nbformat import NotebookNode
from traitlets import Bool

from sandbox_kernel.jupyter.notebook_client import SandboxExecution


class SandboxPreprocessor(SandboxExecution, ExecutePreprocessor):
    """Executes the notebook in the sandboxed kernel before it is converted."""

    # nbconvert's own preprocessor is off unless `--execute` is given; who names this one means it.
    enabled = Bool(True).tag(config=True)

    def preprocess(
        self,
        nb: NotebookNode,
        resources: Any = None,
        km: KernelManager | None = None,
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Run the notebook. Called by the exporter, whose resources name the file."""
        metadata = (resources or {}).get("metadata", {})
        if self.notebook_path is None and metadata.get("name"):
            self.notebook_path = str(Path(metadata.get("path") or ".", f"{metadata['name']}.ipynb"))
        return super().preprocess(nb, resources, km)
