"""A program that starts the kernelspec's command itself, as VS Code does: without a provisioner.

It writes the connection file, runs `argv`, talks to the channels, and interrupts by a message.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from jupyter_client.kernelspec import KernelSpecManager

from sandbox_kernel.jupyter.control_client import ControlClient

DEADLINE = 60.0


class Started:
    """The process, its connection file and a client of it."""

    def __init__(self, folder: Path) -> None:
        spec = KernelSpecManager().get_kernel_spec("sandbox-python")
        assert spec.interrupt_mode == "message"
        self.file, _ = write_connection_file(
            str(folder / "connection.json"),
            transport="ipc",
            ip=str(folder / "ipc"),
            key=secrets.token_bytes(16).hex().encode(),
        )
        argv = [word.replace("{connection_file}", self.file) for word in spec.argv]
        if argv[0] in ("python", "python3"):
            argv[0] = sys.executable
        self.process = subprocess.Popen(argv, cwd=folder)
        self.client = BlockingKernelClient(connection_file=self.file)
        self.client.load_connection_file()
        self.client.start_channels(hb=False)

    def run(self, code: str, on_text: Any = None) -> tuple[str, str]:
        """The status of a cell, and what it printed; `on_text` is called at the first output."""
        text: list[str] = []

        def output(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                text.append(message["content"]["text"])
                if on_text is not None and len(text) == 1:
                    threading.Thread(target=on_text).start()

        reply = self.client.execute_interactive(code, output_hook=output, timeout=DEADLINE)
        return str(reply["content"].get("ename", reply["content"]["status"])), "".join(text)

    def interrupt(self) -> None:
        """The button."""
        self.client.control_channel.send(self.client.session.msg("interrupt_request", {}))


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Started]:
    started = Started(tmp_path)
    try:
        started.client.wait_for_ready(timeout=DEADLINE)
        yield started
    finally:
        started.client.stop_channels()
        started.process.kill()
        started.process.wait()


def test_cells_run_are_interrupted_and_survive_a_crash(kernel: Started) -> None:
    assert kernel.run("x = 5\nprint(x)") == ("ok", "5\n")
    endless = "import time\nprint('now', flush=True)\nwhile True: time.sleep(0.05)"
    assert kernel.run(endless, kernel.interrupt)[0] == "KeyboardInterrupt"
    crash = "n = iter([1])\nfor _ in range(10**6): n = filter(None, n)\nnext(n)"
    assert kernel.run(crash)[0] == "WorkerDied"
    assert kernel.run("print('on')") == ("ok", "on\n")


def test_the_default_policy_holds_and_nothing_was_asked_for(kernel: Started) -> None:
    with ControlClient(kernel.file) as control:
        status = control.status()
    assert status["policy"] == "default"
    assert status["notebook"] is None
    assert kernel.run("open('/etc/shadow')")[0] == "PermissionError"


def test_it_ends_when_it_is_told_to(kernel: Started) -> None:
    kernel.client.shutdown()
    assert kernel.process.wait(DEADLINE) == 0
