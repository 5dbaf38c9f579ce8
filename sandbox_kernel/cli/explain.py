"""What a running kernel may do, and which line of which policy says so."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sandbox_kernel.cli import _live
from sandbox_kernel.jupyter.control_client import ControlClient


def main(argv: Sequence[str]) -> int:
    """`sandbox-kernel explain KERNEL [--read PATH …]`: everything, or whether these may be done."""
    parser = argparse.ArgumentParser(prog="sandbox-kernel explain", description=__doc__)
    parser.add_argument("kernel", help=_live.KERNEL_HELP)
    _live.request_options(parser)
    arguments = parser.parse_args(argv)

    def work(client: ControlClient) -> int:
        reply = client.explain(_live.request_of(arguments))
        _live.show({k: v for k, v in reply.items() if k not in ("status", "command")})
        return 0

    return _live.talk(arguments.kernel, work)
