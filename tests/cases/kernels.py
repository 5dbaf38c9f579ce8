"""One kernel of a case and the client that talks to it.

The client reads all its channels all the time, so that what arrives late, or while another
message is awaited, is neither lost nor timed wrongly. Nothing here waits without a deadline, and
a kernel process that ends is noticed within `POLL` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from zmq.utils.monitor import recv_monitor_message

from tests.cases.expectations import Observed

START = 60.0  # seconds until a kernel must answer
STOP = 10.0  # seconds until it must have ended
REPLY = 60.0  # seconds for a reply when the case gives no time
SPARE = 20.0  # seconds beyond the time that the case gives, to tell slow from dead
IDLE = 10.0  # seconds from the reply to the idle status
POLL = 0.25  # seconds between two looks at the process
NUDGE = 1.0  # seconds between two kernel_info requests while it starts
LOG_TAIL = 700  # characters of the kernel's own output in a report


class KernelFault(Exception):
    """The kernel did not do what every kernel must: start, answer, go on living."""


@dataclass
class Exchange:
    """A request of ours and all that came back for it."""

    message_id: str
    sent: float
    seen: Observed = field(default_factory=Observed)
    replied: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    on_start: list[Callable[[], None]] = field(default_factory=list)


# Called with the prompt and whether a password is asked; returns the answer, or None: none given.
AskedOnStdin = Callable[[str, bool], str | None]


class Kernel:
    """A running kernel of one case."""

    def __init__(
        self, spec_folder: Path, spec: str, cwd: Path, log: Path, *, tcp: bool = False
    ) -> None:
        """`spec_folder` holds the kernelspec `spec`; the process's own output goes to `log`.

        Its sockets are files. With `tcp` they are ports of localhost, for a case that names them:
        between the choice of a free port and its use another kernel's start can take it.
        """
        self.spec = spec
        self.cwd = cwd
        self.log = log
        specs = KernelSpecManager(kernel_dirs=[str(spec_folder)], ensure_native_kernel=False)
        self.manager = AsyncKernelManager(kernel_name=spec, kernel_spec_manager=specs)
        self.client: AsyncKernelClient | None = None
        self.stdout = ""
        self.events: list[Mapping[str, Any]] = []
        self.faults: list[str] = []
        self.comm_models: dict[str, str] = {}
        self.asked: AskedOnStdin = lambda prompt, password: None
        self._exchanges: dict[str, Exchange] = {}
        self._pumps: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._files = contextlib.ExitStack()
        if not tcp:
            folder = self._files.enter_context(tempfile.TemporaryDirectory(prefix="sockets-"))
            self.manager.transport = "ipc"
            self.manager.ip = str(Path(folder, "kernel"))

    async def start(self) -> None:
        """Start the process and wait until it answers and its broadcasts arrive.

        Raises `KernelFault`.
        """
        output = self._files.enter_context(self.log.open("ab"))
        await self.manager.start_kernel(cwd=str(self.cwd), stdout=output, stderr=output)
        self.client = self.manager.client()
        self.client.start_channels(hb=False)
        for channel, handle in (
            (self.client.shell_channel, self._on_reply),
            (self.client.control_channel, self._on_reply),
            (self.client.iopub_channel, self._on_broadcast),
            (self.client.stdin_channel, self._on_question),
        ):
            self._pumps.append(asyncio.create_task(self._pump(channel, handle)))
        await self._until_it_answers()

    async def restart(self) -> None:
        """What a client's restart button does. Raises `KernelFault`."""
        self._exchanges.clear()
        async with self._fault_after(START, "the restart did not end"):
            await self.manager.restart_kernel()
        await self._until_it_answers()

    async def stop(self) -> None:
        """End the kernel, by force where it does not go by itself."""
        try:
            async with asyncio.timeout(STOP):
                await self.manager.shutdown_kernel()
        except TimeoutError:
            await self.manager.shutdown_kernel(now=True)
        finally:
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)
            if self.client is not None:
                self.client.stop_channels()
            self._files.close()

    @property
    def ports(self) -> list[int]:
        """The five ports of the connection file."""
        info = self.manager.get_connection_info()
        names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
        return [int(info[name]) for name in names]

    @property
    def connection_file(self) -> str:
        """Path of the connection file."""
        return str(self.manager.connection_file)

    def send(
        self,
        message_type: str,
        content: Mapping[str, Any],
        *,
        channel: str = "shell",
        metadata: Mapping[str, Any] | None = None,
        sources: tuple[str, ...] = (),
    ) -> Exchange:
        """Send a request; `sources` are the cells that a traceback may quote."""
        assert self.client is not None
        socket = self.client.control_channel if channel == "control" else self.client.shell_channel
        message = self.client.session.msg(
            message_type, dict(content), metadata=dict(metadata or {})
        )
        exchange = Exchange(message["header"]["msg_id"], time.monotonic(), Observed(sources))
        self._exchanges[exchange.message_id] = exchange
        socket.send(message)
        return exchange

    def execute(
        self,
        source: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        allow_stdin: bool = False,
        sources: tuple[str, ...] = (),
    ) -> Exchange:
        """Send a cell as a notebook's front end does, but for ``stop_on_error``."""
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": False,
        }
        return self.send("execute_request", content, metadata=metadata, sources=(*sources, source))

    def interrupt_after(self, exchange: Exchange, seconds: float) -> None:
        """Interrupt `seconds` after the kernel says that it began this exchange."""

        def arm() -> None:
            asyncio.get_running_loop().call_later(seconds, self._interrupt)

        exchange.on_start.append(arm)

    async def reply(self, exchange: Exchange, within: float | None = None) -> Observed:
        """Wait for the reply. Raises `KernelFault` when none comes or the kernel ends."""
        allowed = max(REPLY, within + SPARE) if within is not None else REPLY
        left = exchange.sent + allowed - time.monotonic()
        await self._wait(exchange.replied, left, f"no reply in {allowed:.0f} s")
        return exchange.seen

    async def idle(self, exchange: Exchange, within: float = IDLE) -> Observed:
        """Wait for the idle status, after which all output of the exchange has come."""
        await self._wait(exchange.idle, within, f"no idle status within {within:.0f} s")
        return exchange.seen

    def log_tail(self) -> str:
        """The end of what the kernel process itself wrote."""
        if not self.log.exists():
            return ""
        return self.log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:].strip()

    def _interrupt(self) -> None:
        task = asyncio.ensure_future(self._interrupt_now())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _interrupt_now(self) -> None:
        try:
            async with asyncio.timeout(STOP):
                await self.manager.interrupt_kernel()
        except (TimeoutError, RuntimeError) as error:
            self.faults.append(f"the interrupt could not be sent: {error!r}")

    async def _until_it_answers(self) -> None:
        deadline = time.monotonic() + START
        answered = False
        while True:
            exchange = self.send("kernel_info_request", {})
            for event in (exchange.replied, exchange.idle):
                with contextlib.suppress(TimeoutError):
                    await self._wait_or_end(event, NUDGE)
            answered = answered or exchange.replied.is_set()
            if exchange.replied.is_set() and exchange.idle.is_set():
                break
            if time.monotonic() > deadline:
                state = "its broadcasts do not arrive" if answered else "it does not answer"
                raise KernelFault(f"{state} in {START:.0f} s{self._said()}")
        await self._connect_stdin(deadline)
        # A kernel may answer before it can run cells. Its start is not the first cell's time.
        empty = {"code": "", "silent": True, "store_history": False, "allow_stdin": False}
        ready = self.send("execute_request", empty)
        await self._wait(ready.replied, deadline - time.monotonic(), "it runs no cell")

    async def _connect_stdin(self, deadline: float) -> None:
        """Connect the stdin channel anew, now that the kernel listens, and wait until it is.

        Each channel is a socket of its own that connects when it can, and ipykernel drops a prompt
        that finds the client's stdin not connected.
        """
        assert self.client is not None
        socket = self.client.stdin_channel.socket
        address = socket.getsockopt(zmq.LAST_ENDPOINT)
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        try:
            socket.disconnect(address)
            socket.connect(address)
            async with asyncio.timeout(max(0, deadline - time.monotonic())):
                await recv_monitor_message(monitor)
        except TimeoutError:
            raise KernelFault(f"its stdin cannot be connected to{self._said()}") from None
        finally:
            socket.disable_monitor()

    async def _wait(self, event: asyncio.Event, seconds: float, otherwise: str) -> None:
        try:
            await self._wait_or_end(event, max(seconds, 0))
        except TimeoutError:
            raise KernelFault(f"{otherwise}{self._said()}") from None

    async def _wait_or_end(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event; `TimeoutError` when it does not come, `KernelFault` at the end."""
        deadline = time.monotonic() + seconds
        while not event.is_set():
            left = deadline - time.monotonic()
            try:
                async with asyncio.timeout(max(0, min(POLL, left))):
                    await event.wait()
            except TimeoutError:
                if not await self.manager.is_alive():
                    # What it sent before it ended may still be on its way to us.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(POLL):
                            await event.wait()
                            return
                    raise KernelFault(f"the kernel process ended{self._said()}") from None
                if left <= POLL:
                    raise

    def _said(self) -> str:
        faults = "; ".join(self.faults)
        tail = self.log_tail()
        return (f"; {faults}" if faults else "") + (f"; the kernel wrote: {tail}" if tail else "")

    @contextlib.asynccontextmanager
    async def _fault_after(self, seconds: float, text: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise KernelFault(f"{text} within {seconds:.0f} s{self._said()}") from None

    async def _pump(self, channel: Any, handle: Callable[[Mapping[str, Any], float], None]) -> None:
        while True:
            try:
                message = await channel.get_msg(timeout=None)
            except ValueError as error:
                # A wrong signature or a malformed message: the kernel's fault, told in the report.
                self.faults.append(f"a message that cannot be read: {error}")
                continue
            handle(message, time.monotonic())

    def _exchange_of(self, message: Mapping[str, Any]) -> Exchange | None:
        return self._exchanges.get(message["parent_header"].get("msg_id", ""))

    def _on_reply(self, message: Mapping[str, Any], now: float) -> None:
        exchange = self._exchange_of(message)
        if exchange is None:
            return
        if exchange.replied.is_set():
            self.faults.append(f"a second reply: {message['msg_type']}")
            return
        content = message["content"]
        exchange.seen.reply = content
        exchange.seen.status = content.get("status")
        exchange.seen.seconds = now - exchange.sent
        if message["msg_type"] == "execute_reply" and content.get("status") == "error":
            exchange.seen.errors.append(content)
        exchange.replied.set()

    def _on_broadcast(self, message: Mapping[str, Any], now: float) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "sandbox_event":
            self.events.append(content)
        if kind == "stream" and content.get("name") == "stdout":
            self.stdout += content["text"]
        if kind == "comm_open":
            model = content.get("data", {}).get("state", {}).get("_model_name")
            if model:
                self.comm_models[model] = content["comm_id"]
        exchange = self._exchange_of(message)
        if exchange is None:
            return
        _note(exchange.seen, kind, content)
        if kind == "status" and content["execution_state"] == "busy":
            while exchange.on_start:
                exchange.on_start.pop()()
        if kind == "status" and content["execution_state"] == "idle":
            exchange.idle.set()

    def _on_question(self, message: Mapping[str, Any], now: float) -> None:
        assert self.client is not None
        if message["msg_type"] != "input_request":
            return
        content = message["content"]
        answer = self.asked(content.get("prompt", ""), bool(content.get("password")))
        if answer is not None:
            self.client.input(answer)


def _note(seen: Observed, kind: str, content: Mapping[str, Any]) -> None:
    """Add one broadcast to what was seen of its exchange."""
    seen.message_types.append(kind)
    if kind == "stream":
        if content["name"] == "stdout":
            seen.stdout += content["text"]
        else:
            seen.stderr += content["text"]
    elif kind == "error":
        seen.errors.append(content)
    elif kind in ("display_data", "execute_result", "update_display_data"):
        seen.displayed.append(content["data"])
