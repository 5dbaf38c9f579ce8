"""From a connection file to a running kernel."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..shared.errors import KernelFault
from .options import LaunchOptions

if TYPE_CHECKING:
    from .confine.launch import Warden


def run_kernel(connection_file: str, options: LaunchOptions) -> int:
    """Start the worker's side, then the kernel's; returns the exit code.

    A `KernelFault` before the channels exist has nowhere to go but the server's log: it is printed
    there and the exit code is 1. Later ones are told in answer to each cell.
    """
    logging.basicConfig(format="sandbox-kernel: %(message)s", level=logging.WARNING)
    try:
        warden = _start_warden(options)
        try:
            # Only now: see the module `sandbox_kernel.__main__`.
            from .connection import read_connection

            connection = read_connection(connection_file)
            return asyncio.run(_serve(connection_file, warden, options, connection))
        finally:
            warden.close()
    except KernelFault as fault:
        print(f"sandbox-kernel cannot start: {fault}", file=sys.stderr)
        return 1


def _start_warden(options: LaunchOptions) -> Warden:
    from .confine import launch

    return launch.Warden.start(launch.default_spec(level=options.level, directory=os.getcwd()))


async def _serve(
    connection_file: str, warden: Warden, options: LaunchOptions, connection: object
) -> int:
    from .channels import Channels
    from .connection import Connection
    from .supervisor import Supervisor

    assert isinstance(connection, Connection)
    supervisor = Supervisor(Channels(connection), warden.launch)
    with _end_with_parent(supervisor.stop):
        await supervisor.run()
    return 0


@contextmanager
def _end_with_parent(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` when the process that started this kernel ends.

    Jupyter names it in JPY_PARENT_PID
    (https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs); without it the
    kernel outlives its parent on purpose.
    """
    parent = os.environ.get("JPY_PARENT_PID", "")
    if not parent.isdecimal() or int(parent) != os.getppid():
        yield
        return
    descriptor = os.pidfd_open(int(parent))
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, stop)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
