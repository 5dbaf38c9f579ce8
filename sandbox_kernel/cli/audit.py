"""The decisions of a running kernel: what was denied, granted, revoked, and by which rule."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sandbox_kernel.cli import _live
from sandbox_kernel.jupyter.control_client import ControlClient


def main(argv: Sequence[str]) -> int:
    """`sandbox-kernel audit KERNEL [--last N]`: a JSON record a line, the oldest first."""
    parser = argparse.ArgumentParser(prog="sandbox-kernel audit", description=__doc__)
    parser.add_argument("kernel", help=_live.KERNEL_HELP)
    parser.add_argument("--last", type=int, default=100, help="how many records (default 100)")
    arguments = parser.parse_args(argv)

    def work(client: ControlClient) -> int:
        for record in client.audit(arguments.last):
            _live.show(record, indent=None)
        return 0

    return _live.talk(arguments.kernel, work)
