"""One notebook, run by nbclient in a sandboxed kernel with nobody there to answer.

The kernel is this installation's own, whatever kernelspec the notebook names and whoever has placed
one of our name elsewhere; its channels are sockets in a private folder (transport ipc), because of
kernels that start at the same time over TCP some find their port taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from sandbox_kernel.trusted.launch_inputs import LaunchInputs

from .kernel_template import KernelTemplate, fork_from
from .notebook_client import SandboxNotebookClient
from .outcomes import CellRun, Outcome, Verdict

#: Output of a whole notebook that is kept; each cell has the policy's limit besides.
MOST_OUTPUT_BYTES = 64 << 20
#: Seconds within which a kernel must answer for the first time.
STARTUP = 120
#: Seconds from a cell's reply until all of its output is here.
_TRAILING_OUTPUT = 60
_FLOOD = Verdict(
    Outcome.OUTPUT_FLOOD,
    "notebook.output",
    f"the cells' outputs have more than {MOST_OUTPUT_BYTES >> 20} MB together",
)


class OwnKernelSpecs(KernelSpecManager):
    """Knows the sandboxed kernel of this interpreter and no other one."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The spec, without a look at any file. Called by the kernel manager."""
        return KernelSpec(
            argv=[sys.executable, "-P", "-m", "sandbox_kernel", "-f", "{connection_file}"],
            name=kernel_name,
            display_name="Sandboxed Python",
            language="python",
            interrupt_mode="message",
            metadata={"kernel_provisioner": {"provisioner_name": "sandbox-provisioner"}},
        )


class UnattendedClient(SandboxNotebookClient):
    """nbclient that keeps what the supervisor says beside what the cells say."""

    def __init__(
        self,
        notebook: NotebookNode,
        connection_file: Path,
        closed: tuple[str, ...] = (),
        turns: asyncio.Semaphore | None = None,
        template: KernelTemplate | None = None,
        **options: Any,
    ) -> None:
        """`connection_file` must lie in a folder that is private and has a short path.

        `closed` are absolute paths that no cell may open, whatever its policy grants. The cells run
        in one of `turns`; the kernel starts before, and ends after that. It comes from `template`.
        """
        super().__init__(
            notebook,
            timeout=None,
            startup_timeout=STARTUP,
            iopub_timeout=_TRAILING_OUTPUT,
            raise_on_iopub_timeout=True,
            on_cell_execute=self._on_cell_execute,
            on_cell_executed=self._on_cell_executed,
            on_notebook_start=self._on_notebook_start,
            **options,
        )
        self.connection_file = connection_file
        self._closed = closed
        self._template = template
        self._turns = turns or asyncio.Semaphore()
        self._has_turn = False
        #: Runs from the first cell on; None before `execute`.
        self.clock: asyncio.Timeout | None = None
        self.seconds: float | None = None
        self.runs: list[CellRun] = []
        self.output_bytes = 0

    def create_kernel_manager(self) -> KernelManager:
        """Called by nbclient before it starts the kernel."""
        manager = super().create_kernel_manager()
        manager.kernel_spec_manager = OwnKernelSpecs()
        manager.transport = "ipc"
        manager.connection_file = str(self.connection_file)
        manager.ip = str(self.connection_file.with_suffix(""))
        if self._template is not None:
            fork_from(manager, self._template)
        return manager

    def launch_inputs(self) -> LaunchInputs:
        """Called when the kernel's manager is made."""
        return msgspec.structs.replace(super().launch_inputs(), closed=self._closed)

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Called by nbclient for each broadcast of the running cell."""
        if msg["msg_type"] == "sandbox_event":
            self.runs[-1].events.append(msg["content"])
            return None
        self.output_bytes += _size(msg["content"])
        if self.output_bytes > MOST_OUTPUT_BYTES and msg["msg_type"] != "status":
            return None  # The run ends after this cell; what comes until then is not kept.
        return super().process_message(msg, cell, cell_index)

    async def async_execute_cell(self, cell: NotebookNode, *args: Any, **kwargs: Any) -> Any:
        """Run one cell. Raises OutputFlood when the notebook has printed too much."""
        done = await super().async_execute_cell(cell, *args, **kwargs)
        if self.output_bytes > MOST_OUTPUT_BYTES:
            raise OutputFlood
        return done

    async def _on_notebook_start(self, **_: Any) -> None:
        """Called by nbclient when the kernel is up; its own clean-up begins after this."""
        try:
            await self._turns.acquire()
        except BaseException:
            await self._async_cleanup_kernel()
            raise
        self._has_turn = True
        if self.clock is not None and self.seconds is not None:
            self.clock.reschedule(asyncio.get_running_loop().time() + self.seconds)

    async def _async_cleanup_kernel(self) -> None:
        """Called by nbclient, when no further cell runs."""
        if self._has_turn:
            self._has_turn = False
            self._turns.release()
        await super()._async_cleanup_kernel()

    def _on_cell_execute(self, cell: NotebookNode, cell_index: int) -> None:
        tags = cell.metadata.get("tags", [])
        expected = "raises-exception" in tags
        self.runs.append(CellRun(cell_index, expected))

    def _on_cell_executed(
        self, cell: NotebookNode, cell_index: int, execute_reply: Mapping[str, Any] | None
    ) -> None:
        content = (execute_reply or {}).get("content", {})
        if content.get("status") != "ok":
            self.runs[-1].error = content


class OutputFlood(Exception):
    """The outputs of the whole notebook are more than is kept."""


async def execute(client: UnattendedClient, seconds: float | None) -> Verdict | None:
    """Run all cells, at most `seconds` from the first on; the kernel is gone when this returns.

    Returns why the run did not come to its end, or None when it did or a cell's error ended it.
    What was seen of the cells is in `client.runs`, their output in `client.nb`.
    """
    clock = client.clock = asyncio.timeout(None)
    client.seconds = seconds
    try:
        async with clock:
            await client.async_execute()
    except CellExecutionError:
        return None
    except OutputFlood:
        return _FLOOD
    except (TimeoutError, DeadKernelError, RuntimeError) as error:
        # nbclient makes a DeadKernelError of the cancellation by our own clock.
        if clock.expired():
            return Verdict(
                Outcome.TIMED_OUT, "notebook.timeout", f"the notebook took more than {seconds:g} s"
            )
        if not client.runs:
            return Verdict(Outcome.NOT_RUN, "kernel.start", f"no kernel could be started: {error}")
        return Verdict(Outcome.CRASHED, "kernel.died", f"the kernel itself ended: {error}")
    finally:
        with contextlib.suppress(FileNotFoundError):
            client.connection_file.unlink()
    return None


def _size(content: Mapping[str, Any]) -> int:
    """About as many bytes as a broadcast adds to the notebook."""
    parts = [content.get("text", ""), *content.get("traceback", ())]
    data = content.get("data", {})
    parts += data.values() if isinstance(data, Mapping) else ()
    return sum(len(part) if isinstance(part, str) else len(repr(part)) for part in parts)
