"""Cases that a client of the Jupyter world runs as one notebook: nbclient and papermill."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat

from tests.cases.expectations import Observed
from tests.cases.kernels import Kernel, KernelFault

RUN = 120.0  # seconds for a whole notebook


async def run_nbclient(kernel: Kernel, path: Path, document: Any, allow_errors: bool) -> Any:
    """Run the notebook by nbclient in a kernel that runs already; returns it with its outputs.

    Raises `KernelFault` when nbclient does not come to an end or loses the kernel.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    notebook = nbformat.from_dict(document)
    client = NotebookClient(
        notebook,
        km=kernel.manager,
        timeout=None,
        allow_errors=allow_errors,
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        async with asyncio.timeout(RUN):
            await client.async_execute()
    except CellExecutionError:
        pass  # The error output in the notebook tells it.
    except (DeadKernelError, RuntimeError) as error:
        raise KernelFault(f"nbclient: {error}; {kernel.log_tail()}") from error
    except TimeoutError:
        raise KernelFault(f"nbclient did not end within {RUN:.0f} s") from None
    finally:
        if client.kc is not None:
            client.kc.stop_channels()
    return notebook


async def run_papermill(path: Path, output: Path, parameters: Mapping[str, Any]) -> Any:
    """Run the notebook by papermill, which starts its own kernel; returns the output notebook.

    Raises `KernelFault` when papermill does not come to an end or fails by itself.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    def execute() -> None:
        papermill.execute_notebook(
            str(path),
            str(output),
            parameters=dict(parameters),
            cwd=str(path.parent),
            progress_bar=False,
        )

    try:
        async with asyncio.timeout(RUN):
            await asyncio.to_thread(execute)
    except PapermillExecutionError:
        pass  # The error output in the notebook tells it.
    except TimeoutError:
        raise KernelFault(f"papermill did not end within {RUN:.0f} s") from None
    except Exception as error:
        raise KernelFault(f"papermill: {type(error).__name__}: {error}") from error
    return nbformat.read(str(output), as_version=4)


def observed_in(notebook: Any, cell: str, sources: tuple[str, ...]) -> Observed:
    """What the notebook holds of one cell. Raises `KernelFault` when the cell is not in it."""
    found = next((each for each in notebook["cells"] if each.get("id") == cell), None)
    if found is None:
        raise KernelFault(f"the cell {cell} is not in the notebook that came back")
    seen = Observed(sources, reply={}, seconds=_seconds(found))
    for output in found["outputs"]:
        kind = output["output_type"]
        seen.message_types.append(kind)
        if kind == "stream" and output["name"] == "stdout":
            seen.stdout += output["text"]
        elif kind == "stream":
            seen.stderr += output["text"]
        elif kind == "error":
            seen.errors.append(output)
        else:
            seen.displayed.append(output["data"])
    seen.status = "error" if seen.errors else "ok"
    return seen


def same_sandbox_metadata(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """A client may add to a notebook's metadata, but never change what it asks of the sandbox."""
    asked, kept = (document["metadata"].get("sandbox") for document in (before, after))
    if json.dumps(asked, sort_keys=True) == json.dumps(kept, sort_keys=True):
        return []
    return [f"metadata.sandbox became {kept!r}"]


def _seconds(cell: Mapping[str, Any]) -> float | None:
    """Seconds from sending to the reply, as the client recorded them in the cell."""
    metadata = cell["metadata"]
    if "papermill" in metadata:
        duration = metadata["papermill"].get("duration")
        return None if duration is None else float(duration)
    times = metadata.get("execution", {})
    start, end = times.get("iopub.status.busy"), times.get("shell.execute_reply")
    if not (start and end):
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
