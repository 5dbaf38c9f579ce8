"""A real Jupyter server with JupyterLab, and a real Chromium to look at it."""

from __future__ import annotations

import json
import os
import queue
import re
import secrets
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.features.clients.tour import TOUR

START_DEADLINE = 60.0  # seconds


@dataclass(frozen=True)
class Server:
    """A running Jupyter server and the folder that it serves."""

    url: str
    token: str
    folder: Path

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Call the server's REST API; HTTPError for a refusal."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            content = response.read()
        return json.loads(content) if content else None


def wait_for_address(lines: queue.Queue[str]) -> str:
    """The address that the server's log announces."""
    seen = []
    while True:
        try:
            line = lines.get(timeout=START_DEADLINE)
        except queue.Empty:
            raise AssertionError(f"the server did not start:\n{''.join(seen)}") from None
        seen.append(line)
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        if address:
            return address.group()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab's server over a folder with a copy of the tour."""
    base = tmp_path_factory.mktemp("server")
    folder = base / "work"
    folder.mkdir()
    shutil.copy(TOUR, folder)
    # Else Lab asks whether it may fetch news, over the notebook's lower corner.
    settings = base / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(
        '{"fetchNews": "false", "checkForUpdates": false}'
    )
    token = secrets.token_hex(16)
    environment = {
        **os.environ,
        "JUPYTER_TOKEN": token,
        "JUPYTER_CONFIG_DIR": str(base / "config"),
        "JUPYTER_RUNTIME_DIR": str(base / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(base / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(base / "workspaces"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"]
        + ["--ip=127.0.0.1", f"--ServerApp.root_dir={folder}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()

    def drain() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.put(line)

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        yield Server(wait_for_address(lines), token, folder)
    finally:
        process.terminate()
        process.wait(30)
        reader.join()
        assert process.stderr is not None
        process.stderr.close()
