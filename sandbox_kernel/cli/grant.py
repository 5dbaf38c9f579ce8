"""Grant rights to a running kernel, within its policy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sandbox_kernel.cli import _live
from sandbox_kernel.jupyter.control_client import ControlClient


def main(argv: Sequence[str]) -> int:
    """`sandbox-kernel grant KERNEL --read PATH …`: prints the ids to revoke or narrow it by."""
    parser = argparse.ArgumentParser(prog="sandbox-kernel grant", description=__doc__)
    parser.add_argument("kernel", help=_live.KERNEL_HELP)
    parser.add_argument("--for", dest="scope", choices=("cell", "session", "notebook"))
    _live.request_options(parser)
    arguments = parser.parse_args(argv)

    def work(client: ControlClient) -> int:
        wanted = {**_live.request_of(arguments), "for": arguments.scope or "session"}
        reply = client.command("grant", wanted)
        print(*reply["ids"])
        for text in reply["left_out"]:
            _live.tell(f"left out: {text}")
        return 0

    return _live.talk(arguments.kernel, work)
