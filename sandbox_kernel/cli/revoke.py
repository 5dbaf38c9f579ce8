"""Take rights back from a running kernel, or forget remembered answers."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from sandbox_kernel.cli import _live
from sandbox_kernel.jupyter.control_client import ControlClient
from sandbox_kernel.trusted.approvals import ApprovalStore, StoreError
from sandbox_kernel.trusted.capabilities.wording import visible
from sandbox_kernel.trusted.options import LaunchOptions
from sandbox_kernel.trusted.session_start import approvals_file


def main(argv: Sequence[str]) -> int:
    """`sandbox-kernel revoke KERNEL [ID …] [--read PATH …]`, or `revoke --remembered`."""
    parser = argparse.ArgumentParser(prog="sandbox-kernel revoke", description=__doc__)
    parser.add_argument("kernel", nargs="?", help=_live.KERNEL_HELP)
    parser.add_argument("ids", nargs="*", metavar="ID", help="ids that `grant` printed")
    parser.add_argument(
        "--remembered",
        action="store_true",
        help="list the answers remembered for notebooks; with ids, forget these; with a "
        "notebook's path, forget all of that notebook",
    )
    _live.request_options(parser)
    arguments = parser.parse_args(argv)
    if arguments.remembered:
        return _remembered([word for word in (arguments.kernel, *arguments.ids) if word])
    if not arguments.kernel:
        parser.error("which kernel? `sandbox-kernel status` lists them")

    def work(client: ControlClient) -> int:
        request = {"ids": arguments.ids} if arguments.ids else _live.request_of(arguments)
        _live.show({k: v for k, v in client.revoke(request).items() if k != "status"})
        return 0

    return _live.talk(arguments.kernel, work)


def _remembered(words: Sequence[str]) -> int:
    store, now = ApprovalStore(approvals_file(LaunchOptions())), time.time()
    try:
        for word in words:
            notebook = os.path.abspath(word) if word.endswith(".ipynb") else None
            ids = () if notebook else (word,)
            gone = store.revoke(now=now, ids=ids, notebook=notebook)
            _live.tell(f"{word}: {len(gone)} forgotten")
        for approval in store.holding(now=now) if not words else ():
            until = time.strftime("%Y-%m-%d", time.localtime(approval.expires))
            _live.tell(f"{approval.id}  until {until}  {approval.notebook}  {approval.request}")
    except StoreError as error:
        print(f"sandbox-kernel: {visible(str(error))}", file=sys.stderr)
        return 1
    return 0
