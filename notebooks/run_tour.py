"""Run a notebook headless in the sandboxed kernel and print what each cell gave.

    python notebooks/run_tour.py notebooks/tour.ipynb

Exit status 1 when a cell fails that is not tagged `raises-exception`. A cell that is tagged
`press-stop` is interrupted once it runs, as the stop button of a front end does it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import nbformat

from sandbox_kernel.jupyter.notebook_client import SandboxNotebookClient

PRESS_STOP, MAY_FAIL = "press-stop", "raises-exception"
STOP_AFTER = 1.0  # seconds that a cell runs before it is stopped
CELL_TIMEOUT = 120  # seconds


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def described(output: nbformat.NotebookNode) -> str:
    """One output as text; pictures and widgets are named with their size."""
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}"
    data: dict[str, Any] = output.data
    lines = []
    for mime in data:
        if mime.startswith("image/"):
            lines.append(f"[{mime}, {len(data[mime])} characters of base64]")
        elif mime == "application/vnd.jupyter.widget-view+json":
            lines.append(f"[widget {data[mime]['model_id'][:8]}…]")
        elif mime == "text/html":
            lines.append(f"[text/html, {len(data[mime])} characters]")
    lines.append(str(data.get("text/plain", "")))
    return "\n".join(line for line in lines if line)


def indented(text: str, mark: str) -> str:
    """Text with a mark before its first line and space before the others."""
    lines = text.rstrip("\n").splitlines() or [""]
    return "\n".join(f"{mark if i == 0 else ' ' * len(mark)}{line}" for i, line in enumerate(lines))


class Tour:
    """Runs the cells one by one, printing as it goes."""

    def __init__(self, path: Path) -> None:
        notebook = nbformat.read(path, as_version=4)
        self.client = SandboxNotebookClient(
            notebook,
            notebook_path=str(path),
            allow_errors=True,
            timeout=CELL_TIMEOUT,
            on_cell_execute=self._stop_if_asked,
        )
        self.failed = 0
        self._stopper: asyncio.Task[None] | None = None

    async def _stop_if_asked(self, cell: nbformat.NotebookNode, cell_index: int) -> None:
        if PRESS_STOP in tags(cell):
            self._stopper = asyncio.create_task(self._press_stop())

    async def _press_stop(self) -> None:
        await asyncio.sleep(STOP_AFTER)
        await self.client.km.interrupt_kernel()

    async def run(self) -> int:
        """Run the notebook; the number of cells that failed and should not have."""
        async with self.client.async_setup_kernel():
            for index, cell in enumerate(self.client.nb.cells):
                await self._one(cell, index)
        return self.failed

    async def _one(self, cell: nbformat.NotebookNode, index: int) -> None:
        if cell.cell_type != "code":
            title = str(cell.source).partition("\n")[0]
            print(f"\n{title}" if title.startswith("#") else "", flush=True)
            return
        await self.client.async_execute_cell(cell, index)
        if self._stopper is not None:
            await self._stopper
            self._stopper = None
        print(indented(cell.source, "> "))
        for output in cell.outputs:
            print(indented(described(output), "  "))
        wrong = any(output.output_type == "error" for output in cell.outputs)
        if wrong and MAY_FAIL not in tags(cell):
            self.failed += 1
            print("  ^ this cell should not have failed")
        print(flush=True)


def main() -> int:
    """Run the notebook that is named on the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("notebook", type=Path)
    failed = asyncio.run(Tour(words.parse_args().notebook).run())
    print("Every cell did what it should." if not failed else f"{failed} cells failed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
