"""Running sandboxed kernels: walls, rights, limits and use."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sandbox_kernel.cli import _live
from sandbox_kernel.jupyter.control_client import ControlClient, running


def main(argv: Sequence[str]) -> int:
    """`sandbox-kernel status [KERNEL]`: all kernels a line each, or everything about one."""
    parser = argparse.ArgumentParser(prog="sandbox-kernel status", description=__doc__)
    parser.add_argument("kernel", nargs="?", help=_live.KERNEL_HELP)
    arguments = parser.parse_args(argv)
    if arguments.kernel:
        return _live.talk(arguments.kernel, _one)
    found = list(running())
    for path, status in found:
        kernel = path.stem.removeprefix("kernel-")
        state = "busy" if status["busy"] else "idle"
        what = status["notebook"] or "(no notebook)"
        _live.tell(f"{kernel}  {state}  {status['level']}  {status['policy']}  {what}")
    if not found:
        print("no sandboxed kernel runs")
    return 0


def _one(client: ControlClient) -> int:
    _live.show(client.status())
    return 0
