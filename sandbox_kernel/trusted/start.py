"""From a connection file to a running kernel."""

from __future__ import annotations

import gc
import logging
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..shared.errors import KernelFault, WorkerUnavailable
from .options import LaunchOptions

if TYPE_CHECKING:
    from .channels import Channels
    from .confine.broker import Door, Listener
    from .confine.generation import Generation
    from .confine.head_start import HeadStart
    from .confine.launch import Warden
    from .doors import Doors
    from .limits.person import PersonsKernels
    from .session_rights import SessionRights


def run_kernel(connection_file: str, options: LaunchOptions, ahead: HeadStart) -> int:
    """Go on with the worker's side, then start the kernel's; returns the exit code.

    `ahead` has started for these options already, and is closed by the caller.
    A broken connection file has nowhere to be told but the server's log: it is printed there and
    the exit code is 1. What is wrong with the policy or the walls is told in answer to each cell.
    """
    logging.basicConfig(format="sandbox-kernel: %(message)s", level=logging.WARNING)
    # Each staged place and each connection has a descriptor here. The worker's side runs already,
    # and has its own limit.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    begun = Begun()
    try:
        from .channels import Channels
        from .connection import read_connection

        connection = read_connection(connection_file)
        channels = Channels(connection)
        channels.bind()
    except KernelFault as error:
        print(f"sandbox-kernel cannot start: {error}", file=sys.stderr)
        return 1
    try:
        begun.start(options, ahead)
    except KernelFault as error:
        begun.fault = error
        print(f"sandbox-kernel: {error}", file=sys.stderr)
    session = begun.session
    try:
        if session is not None:
            ports = frozenset(connection.ports.values())
            session.move(replace(session.places, closed_ports=ports))
        import asyncio

        return asyncio.run(_serve(channels, begun, options))
    finally:
        if begun.warden is not None:
            begun.warden.close()
            from .limits import cgroup

            cgroup.remove_own()


class Begun:
    """What runs already while the supervisor's own modules are imported.

    The order saves time and keeps secrets. The worker's process is ordered first; while its Python
    comes up the channels are bound, the policy is read, and only then the rest follows.
    """

    def __init__(self) -> None:
        self.session: SessionRights | None = None
        self.warden: Warden | None = None
        self.fault: KernelFault | None = None
        #: The first worker, until the supervisor asks for it.
        self.first: Generation | None = None
        self.doors: Doors | None = None
        #: This kernel among all of the person's; or why they are not counted.
        self.kernels: PersonsKernels | None = None
        self.not_counted = ""

    def start(self, options: LaunchOptions, ahead: HeadStart) -> None:
        """Raises `KernelFault`, and has then left no process behind."""
        try:
            from .limits.person import joined
            from .session_start import runtime_directory, session_rights, worker_spec

            self.session = session_rights(options)
            limits = self.session.rights.person_limits
            self.kernels, self.not_counted = joined(runtime_directory(), limits)
            spec = worker_spec(self.session, options)
            from .confine.launch import Warden

            self.warden = Warden.start(spec, ahead)
        except BaseException:
            ahead.close()
            raise
        self.first = self.warden.launch(self._door)

    def _door(self, listener: Listener) -> Door:
        """Called when a worker has sealed itself; there are doors by then."""
        assert self.doors is not None
        return self.doors.door_factory(listener)

    async def launch(self) -> Generation:
        """A sealed worker. Raises `KernelFault`."""
        if self.warden is None:
            assert self.fault is not None
            raise self.fault
        generation, self.first = self.first, None
        if generation is None:
            try:
                generation = self.warden.launch(self._door)
            except OSError as error:
                raise WorkerUnavailable(
                    f"the process that starts workers is gone ({error.strerror}); restart the "
                    "kernel"
                ) from None
        await generation.sealed()
        return generation


async def _serve(channels: Channels, begun: Begun, options: LaunchOptions) -> int:
    from .doors import Doors, environment_proxy, system_resolver
    from .session_start import data_directory
    from .supervisor import Supervisor

    if begun.warden is not None:
        resolver = options.resolver or system_resolver
        begun.doors = Doors(begun.warden, resolver=resolver, proxy=environment_proxy())
    supervisor = Supervisor(
        channels,
        begun.launch,
        begun.session,
        begun.doors,
        data_directory(options),
        options.metadata is not None,
    )
    supervisor.watch.join(begun.kernels, begun.not_counted)
    for text in () if begun.warden is None else begun.warden.warnings:
        supervisor.warn(text)
    gc.freeze()
    gc.enable()
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
    import asyncio

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
