"""The sandboxed kernel at a chosen level and under a chosen policy, and grants through its channel.

Run as `python -P -m benchmarks.door_kernel LEVEL POLICY_FILE NOTEBOOK -f CONNECTION_FILE`.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from benchmarks.kernels import DEADLINE, ROOT
from sandbox_kernel.__main__ import main
from sandbox_kernel.jupyter.control_client import ControlClient
from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.options import LaunchOptions

#: Until a kernel that has just started is idle: it makes itself ready for the worker after this.
IDLE_SECONDS = 2.0
POLICY = """version = 1
extends = "default"
[[ask.files]]
path = "."
mode = "read"
reason = "benchmark"
"""


@contextmanager
def control_of_a_kernel(folder: Path, level: Level) -> Iterator[ControlClient]:
    """The control channel of a kernel in `folder` that has run a cell and is idle.

    Its own files are in a folder beside that.
    """
    own = folder.parent / f"kernel-{level.value}"
    own.mkdir(exist_ok=True)
    policy, notebook = own / "benchmark.toml", folder / "benchmark.ipynb"
    policy.write_text(POLICY, encoding="utf-8")
    notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    file, _ = write_connection_file(
        str(own / "kernel.json"), ip="127.0.0.1", key=secrets.token_hex(16).encode()
    )
    command = [sys.executable, "-P", "-m", "benchmarks.door_kernel"]
    process = subprocess.Popen(
        [*command, level.value, str(policy), str(notebook), "-f", file],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_DATA_DIR": str(own)},
        stderr=subprocess.DEVNULL,
    )
    client = BlockingKernelClient(connection_file=file)
    client.load_connection_file()
    client.start_channels(hb=False)
    try:
        client.wait_for_ready(DEADLINE)
        client.execute_interactive("1+1", timeout=DEADLINE)
        with ControlClient(file) as control:
            status = control.status()
            if status["level"] != level.value:
                raise RuntimeError(f"the kernel runs at {status['level']}")
            time.sleep(IDLE_SECONDS)
            yield control
    finally:
        client.shutdown()
        process.wait(DEADLINE)
        client.stop_channels()


def grants_and_revocations(control: ControlClient, count: int) -> dict[str, list[float]]:
    """Seconds from sending each command to having its reply; `nothing` is an empty one."""
    takes: dict[str, list[float]] = {"grant": [], "revoke": [], "nothing": []}
    wanted = {"files": [{"path": "small", "mode": "read"}]}

    def timed(name: str, command: str, arguments: dict[str, object]) -> dict[str, object]:
        begun = time.perf_counter()
        reply = control.command(command, arguments)
        takes[name].append(time.perf_counter() - begun)
        return reply

    for _ in range(count):
        reply = timed("grant", "grant", {**wanted, "for": "session"})
        timed("revoke", "revoke", {"ids": reply["ids"]})
        timed("nothing", "limits", {})
    return takes


if __name__ == "__main__":
    level, policy, notebook = sys.argv[1:4]
    options = LaunchOptions(
        level=level,
        policy_paths=[("admin", policy)],
        notebook=notebook,
        data_dir=os.path.dirname(policy),
    )
    sys.exit(main(sys.argv[4:], options))
