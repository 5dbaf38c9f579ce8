"""Starting the kernels that are compared, and talking to them as a front end does."""

from __future__ import annotations

import compileall
import os
import queue
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from jupyter_client.manager import KernelManager

import sandbox_kernel

PLAIN, SANDBOXED = "python3", "sandbox-python"
#: No kernelspec: the sandboxed kernel with one setting of its policy changed.
WITHOUT_SNAPSHOTS = "sandbox-python without snapshots"
ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 90.0  # seconds; a kernel that needs longer for one answer is broken


@dataclass
class Kernel:
    """A running kernel, and when (in seconds of the monotonic clock) it was started."""

    process: subprocess.Popen[bytes]
    client: BlockingKernelClient
    started: float
    marks: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        """Note how many seconds after the start something was reached."""
        self.marks[name] = time.perf_counter() - self.started

    def reply(self, message_id: str) -> dict[str, Any]:
        """The shell reply to one request."""
        while True:
            message = self.client.get_shell_msg(timeout=DEADLINE)
            if message["parent_header"].get("msg_id") == message_id:
                return message

    def run(self, code: str) -> dict[str, Any]:
        """Run a cell and return its reply's content, not waiting for its output."""
        content: dict[str, Any] = self.reply(self.client.execute(code))["content"]
        return content

    def until_subscribed(self) -> None:
        """Wait until iopub messages arrive: a subscription takes effect some time after it is made.

        Raises `queue.Empty` when none has come within DEADLINE.
        """
        end = time.monotonic() + DEADLINE
        while True:
            self.reply(self.client.kernel_info())
            try:
                self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                if time.monotonic() > end:
                    raise
            else:
                return

    def until_idle(self, message_id: str) -> list[dict[str, Any]]:
        """What a cell put out on iopub, up to its idle status."""
        messages = []
        while True:
            message = self.client.get_iopub_msg(timeout=DEADLINE)
            if message["parent_header"].get("msg_id") != message_id:
                continue
            messages.append(message)
            content = message["content"]
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return messages

    def processes(self) -> list[psutil.Process]:
        """The kernel's own process and all that descend from it."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]


class NotCompiled(Exception):
    """There is no byte code, and none can be written."""


def compile_package() -> None:
    """Bring this package's byte code up to date, as an installer does: ipykernel's is.

    A checkout that is run in place may have none: a worker can write none, and in some shells
    PYTHONDONTWRITEBYTECODE is set. Raises `NotCompiled`.
    """
    for folder in sandbox_kernel.__path__:
        if not compileall.compile_dir(folder, quiet=1):
            raise NotCompiled(f"{folder}: see above for the file")


def command(kernel_name: str, connection_file: str) -> list[str]:
    """The installed kernelspec's command, as jupyter_client would run it."""
    if kernel_name == WITHOUT_SNAPSHOTS:
        words = command(SANDBOXED, connection_file)
        return [words[0], "-m", "benchmarks.without_snapshots", "-f", connection_file]
    manager = KernelManager(kernel_name=kernel_name, connection_file=connection_file)
    return manager.format_kernel_cmd()


@contextmanager
def running(kernel_name: str) -> Iterator[Kernel]:
    """Start a kernel, wait for its first replies, and end it with everything that it started.

    Marks `kernel_info` (first kernel_info_reply) and `cell` (reply to the first cell). The shell is
    not warmed in any way: each start is a new process, with files in the page cache.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, _ = write_connection_file(
            str(Path(folder, "kernel.json")), ip="127.0.0.1", key=secrets.token_hex(16).encode()
        )
        words = command(kernel_name, file)
        started = time.perf_counter()
        process = subprocess.Popen(
            words,
            cwd=ROOT if kernel_name == WITHOUT_SNAPSHOTS else folder,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        client = BlockingKernelClient(connection_file=file)
        client.load_connection_file()
        client.start_channels(hb=False)
        kernel = Kernel(process, client, started)
        try:
            kernel.reply(client.kernel_info())
            kernel.mark("kernel_info")
            kernel.run("1+1")
            kernel.mark("cell")
            kernel.until_subscribed()
            yield kernel
        finally:
            leftovers = kernel.processes() if process.poll() is None else []
            client.shutdown()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            client.stop_channels()
            psutil.wait_procs(leftovers, timeout=5)


def interleaved(
    rounds: int, kernels: Sequence[str] = (PLAIN, SANDBOXED)
) -> Iterator[tuple[int, str]]:
    """(round, kernel name), all kernels in each round, the order turned round each time."""
    compile_package()
    for number in range(rounds):
        names = list(kernels)
        for name in names if number % 2 == 0 else reversed(names):
            yield number, name
