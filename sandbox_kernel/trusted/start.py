"""From a connection file to a running kernel."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from ..shared.errors import KernelFault, WorkerUnavailable
from .options import LaunchOptions

if TYPE_CHECKING:
    from .confine.launch import Warden
    from .connection import Connection
    from .doors import Doors
    from .session_rights import SessionRights
    from .supervisor import Launch
    from .worker_process import Generation


def run_kernel(connection_file: str, options: LaunchOptions) -> int:
    """Start the worker's side, then the kernel's; returns the exit code.

    A broken connection file has nowhere to be told but the server's log: it is printed there and
    the exit code is 1. What is wrong with the policy or the walls is told in answer to each cell.
    """
    logging.basicConfig(format="sandbox-kernel: %(message)s", level=logging.WARNING)
    warden: Warden | None = None
    session: SessionRights | None = None
    fault: KernelFault | None = None
    try:
        session, warden = _start_warden(options)
    except KernelFault as error:
        fault = error
        print(f"sandbox-kernel: {error}", file=sys.stderr)
    try:
        # Only now: see the module `sandbox_kernel.__main__`.
        from .connection import read_connection

        connection = read_connection(connection_file)
        if session is not None:
            ports = frozenset(connection.ports.values())
            session.move(replace(session.places, closed_ports=ports))
        return asyncio.run(_serve(connection, warden, fault, session, options))
    except KernelFault as error:
        print(f"sandbox-kernel cannot start: {error}", file=sys.stderr)
        return 1
    finally:
        if warden is not None:
            warden.close()
            from .limits import cgroup

            cgroup.remove_own()


def _start_warden(options: LaunchOptions) -> tuple[SessionRights, Warden]:
    from .confine.launch import Warden
    from .session_start import session_rights, worker_spec

    session = session_rights(options)
    return session, Warden.start(worker_spec(session, options))


def _launcher(warden: Warden | None, doors: Doors | None, fault: KernelFault | None) -> Launch:
    async def launch() -> Generation:
        assert warden is not None
        assert doors is not None
        try:
            generation = warden.launch(doors.door_factory)
        except OSError as error:
            raise WorkerUnavailable(
                f"the process that starts workers is gone ({error.strerror}); restart the kernel"
            ) from None
        await generation.sealed()
        return generation

    async def refuse() -> NoReturn:
        assert fault is not None
        raise fault

    return refuse if warden is None else launch


async def _serve(
    connection: Connection,
    warden: Warden | None,
    fault: KernelFault | None,
    session: SessionRights | None,
    options: LaunchOptions,
) -> int:
    from .channels import Channels
    from .session_start import data_directory, doors_for
    from .supervisor import Supervisor

    doors = None if warden is None else doors_for(warden, options)
    supervisor = Supervisor(
        Channels(connection),
        _launcher(warden, doors, fault),
        session,
        doors,
        data_directory(options),
        options.metadata is not None,
    )
    for text in () if warden is None else warden.warnings:
        supervisor.warn(text)
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
    if not parent.isdecimal():
        yield
        return
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(int(parent))
    except ProcessLookupError:
        loop.call_soon(stop)  # It ended while this kernel started.
        yield
        return
    if os.getppid() not in (int(parent), 1):
        os.close(descriptor)  # Some other process's variable, inherited.
        yield
        return
    loop.add_reader(descriptor, stop)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
