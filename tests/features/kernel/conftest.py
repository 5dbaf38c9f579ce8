"""A real kernel, started as Jupyter starts it, and a small client for it."""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parents[3]
DEADLINE = 60.0

#: The walls are not what these tests are about, and the cells in them play the attacker.
FULL_LANGUAGE = 'version = 1\nextends = "default"\nlanguage = "full"\n'


@dataclass
class Ran:
    """What came back for a request."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> str:
        return str(self.reply["content"]["status"])

    @property
    def types(self) -> list[str]:
        return [message["msg_type"] for message in self.messages]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [m["content"] for m in self.messages if m["msg_type"] == kind]

    def text(self, name: str = "stdout") -> str:
        return "".join(c["text"] for c in self.of("stream") if c["name"] == name)

    @property
    def error(self) -> str:
        content = self.reply["content"]
        return f"{content.get('ename', '')}: {content.get('evalue', '')}"


class Kernel:
    """A running kernel."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient, folder: Path) -> None:
        self.manager = manager
        self.client = client
        self.folder = folder

    def save_notebook(self, wishes: Any) -> None:
        """Save the notebook of this kernel with these wishes, as an editor does: by rename."""
        document = {"cells": [], "metadata": {"sandbox": wishes}, "nbformat": 4}
        temporary = self.folder / "notebook.saving"
        temporary.write_text(json.dumps({**document, "nbformat_minor": 5}))
        temporary.replace(self.folder / "notebook.ipynb")

    def run(
        self,
        code: str,
        *,
        interrupt_when: str | None = None,
        do: Callable[[], object] | None = None,
        answer: str | None = None,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> Ran:
        """Run a cell. `interrupt_when`: interrupt as soon as stdout contains this, or else `do`.

        `metadata` is the cell's own, as a front end sends it.
        """
        seen: list[dict[str, Any]] = []
        text = ""

        def watch(message: dict[str, Any]) -> None:
            nonlocal text, interrupt_when
            seen.append(message)
            if message["msg_type"] == "stream":
                text += message["content"]["text"]
            if interrupt_when and interrupt_when in text:
                interrupt_when = None
                threading.Thread(target=do or self.manager.interrupt_kernel).start()

        def on_stdin(_message: dict[str, Any]) -> None:
            assert answer is not None, "a question that this test does not expect"
            self.client.input(answer)

        self.client.session.metadata = metadata or {}
        try:
            reply = self.client.execute_interactive(
                code,
                allow_stdin=answer is not None,
                output_hook=watch,
                stdin_hook=on_stdin,
                timeout=DEADLINE,
                **options,
            )
        finally:
            self.client.session.metadata = {}
        return Ran(reply, seen)

    def request(self, kind: str, content: dict[str, Any], channel: str = "shell") -> Ran:
        """Send any request, wait for its reply and its idle."""
        message = self.client.session.msg(kind, content)
        socket = getattr(self.client, f"{channel}_channel")
        socket.send(message)
        wanted = message["header"]["msg_id"]
        reply = self._until(socket.get_msg, lambda m: m["parent_header"].get("msg_id") == wanted)
        seen: list[dict[str, Any]] = []

        def idle(m: dict[str, Any]) -> bool:
            if m["parent_header"].get("msg_id") != wanted:
                return False
            seen.append(m)
            return bool(m["content"].get("execution_state") == "idle")

        self._until(self.client.get_iopub_msg, idle)
        return Ran(reply, seen)

    def interrupt(self) -> None:
        """Interrupt, and wait until the kernel says that it has done so.

        `manager.interrupt_kernel` does not wait: a cell sent after it may be the one that ends.
        """
        assert self.request("interrupt_request", {}, "control").status == "ok"

    def reply_to(self, message_id: str) -> dict[str, Any]:
        """The reply to a request that was sent before."""
        get = self.client.get_shell_msg
        return self._until(get, lambda m: m["parent_header"].get("msg_id") == message_id)

    def published(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first IOPub message from now on that is wanted."""
        return self._until(self.client.get_iopub_msg, wanted)

    @staticmethod
    def _until(
        get: Callable[..., dict[str, Any]], wanted: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        end = time.monotonic() + DEADLINE
        while (left := end - time.monotonic()) > 0:
            try:
                message = get(timeout=left)
            except queue.Empty:
                break
            if wanted(message):
                return message
        raise AssertionError(f"nothing of that kind came within {DEADLINE:g} seconds")


def started(
    folder: Path,
    level: str | None = None,
    policy: str = FULL_LANGUAGE,
    transport: str = "tcp",
    environment: dict[str, str] | None = None,
    module: str = "tests.cases.launch",
) -> Kernel:
    """A kernel that answers; what it needs lies in `folder`. `module` is what starts it."""
    (folder / "policy.toml").write_text(policy)
    config = {
        "level": level,
        "policies": [["admin", str(folder / "policy.toml")]],
        "notebook": str(folder / "notebook.ipynb"),
        "resolver": {},
        "dns": None,
        "data": str(folder / "state"),
    }
    (folder / "config.json").write_text(json.dumps(config))
    manager = KernelManager(transport=transport)
    if transport == "ipc":
        manager.ip = str(folder / "ipc")
    manager._kernel_spec = KernelSpec(
        argv=[sys.executable, "-P", "-m", module, str(folder / "config.json")]
        + ["-f", "{connection_file}"],
        display_name="Sandboxed Python",
        language="python",
        interrupt_mode="message",
        env={"PYTHONPATH": str(ROOT), **(environment or {})},
    )
    manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=DEADLINE)
    return Kernel(manager, client, folder)


@pytest.fixture(scope="module")
def start_kernel(tmp_path_factory) -> Iterator[Callable[..., Kernel]]:
    """Start kernels: `start_kernel(level=…, policy=…, transport=…)`; they end with the module."""
    running: list[Kernel] = []

    def start(**options: Any) -> Kernel:
        running.append(started(tmp_path_factory.mktemp("kernel"), **options))
        return running[-1]

    yield start
    for kernel in running:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=not kernel.manager.is_alive())


@pytest.fixture(scope="module")
def kernel(start_kernel) -> Kernel:
    """One kernel for all tests of a module: each of them must leave it usable."""
    return start_kernel()
