"""A real Jupyter server and a real Chromium, for tests.

    with JupyterServer("lab", folder) as server:
        page = context.new_page()
        notebook = open_notebook(page, server, "nb.ipynb")
        notebook.run_all()

`frontend` is `lab` (JupyterLab 4) or `notebook` (Notebook 7). The server listens on loopback with a
token of its own and keeps its settings, workspaces and runtime files in `folder`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.ports import unused_ports

START_DEADLINE = 60.0
"""Seconds that a server may take until it answers."""

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever a page asks for outside loopback fails at once instead of at a time-out.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]


def chromium_path() -> str | None:
    """Path of an installed Chromium, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    return None


class JupyterServer:
    """One running server: `url`, `token`, and `root`, the folder that it serves."""

    def __init__(
        self,
        frontend: str,
        folder: Path,
        *,
        environment: dict[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        if frontend not in ("lab", "notebook"):
            raise ValueError(f"frontend {frontend!r} is neither lab nor notebook")
        self.frontend = frontend
        self.folder = folder
        self.root = folder / "root"
        self.token = secrets.token_hex(16)
        self._environment = environment or {}
        self._options = list(options)
        self.port = 0
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> JupyterServer:
        self.root.mkdir(parents=True, exist_ok=True)
        (self.port,) = unused_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        app = {"lab": "LabApp", "notebook": "JupyterNotebookApp"}[self.frontend]
        state = self.folder / "state"
        command = [
            sys.executable,
            "-m",
            {"lab": "jupyterlab", "notebook": "notebook"}[self.frontend],
            "--no-browser",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.root}",
            f"--{app}.user_settings_dir={state / 'settings'}",
            f"--{app}.workspaces_dir={state / 'workspaces'}",
            f"--{app}.expose_app_in_browser=True",
            "--LabApp.news_url=",
            *self._options,
        ]
        environment = {
            **os.environ,
            "JUPYTER_RUNTIME_DIR": str(state / "runtime"),
            "JUPYTER_DATA_DIR": str(state / "data"),
            "JUPYTER_CONFIG_DIR": str(state / "config"),
            "JUPYTER_PREFER_ENV_PATH": "0",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            **self._environment,
        }
        self._log = open(self.folder / "server.log", "wb")
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait_until_answering()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        self._log.close()

    def log(self) -> str:
        """What the server has written so far."""
        return (self.folder / "server.log").read_text("utf-8", "replace")

    def kernel(self, name: str, argv: Sequence[str], display_name: str = "") -> None:
        """Add a kernel that only this server knows."""
        place = self.folder / "state" / "data" / "kernels" / name
        place.mkdir(parents=True, exist_ok=True)
        spec = {
            "argv": list(argv),
            "display_name": display_name or name,
            "language": "python",
        }
        (place / "kernel.json").write_text(json.dumps(spec), "utf-8")

    def notebook(self, path: str, cells: Sequence[str], kernel: str, **metadata: Any) -> Path:
        """Write a notebook with code cells into the served folder."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {
                "kernelspec": {"name": kernel, "display_name": kernel, "language": "python"},
                **metadata,
            },
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell-{number}",
                    # A cell that fails does not keep the later ones from running.
                    "metadata": {"tags": ["raises-exception"]},
                    "source": source,
                    "outputs": [],
                    "execution_count": None,
                }
                for number, source in enumerate(cells)
            ],
        }
        file.write_text(json.dumps(content), "utf-8")
        return file

    def request(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """Call the server's API with the token; the decoded JSON, None for an empty answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Authorization": f"token {self.token}"}, method=method
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def _wait_until_answering(self) -> None:
        deadline = time.monotonic() + START_DEADLINE
        while True:
            try:
                self.request("/api/status")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the server did not start: {self.log()[-3000:]}") from error
            _pause()


def _pause() -> None:
    # Between two looks at another process that tells nobody when it is ready.
    time.sleep(0.05)


class OpenNotebook:
    """A notebook that is open in a page of Lab or Notebook 7."""

    def __init__(self, page: Any, server: JupyterServer, path: str) -> None:
        self.page = page
        self.server = server
        self.path = path

    def run_all(self, seconds: float = 90) -> None:
        """Run every cell and wait until the kernel has answered each."""
        self.start_all()
        self.wait_for_run(seconds)

    def start_all(self) -> None:
        """Start running every cell; returns before any has run."""
        self.page.evaluate(
            "command => void setTimeout(() => window.jupyterapp.commands.execute(command), 0)",
            "notebook:run-all-cells",
        )

    def wait_for_run(self, seconds: float = 90) -> None:
        """Wait until no cell is running or queued and every code cell has run."""
        self.page.wait_for_function(
            """() => {
                const panel = window.jupyterapp.shell.currentWidget;
                if (!panel || !panel.content || !panel.content.widgets) return false;
                const kernel = panel.context.sessionContext.session?.kernel;
                if (!kernel || kernel.status !== 'idle') return false;
                return panel.content.widgets.every(cell =>
                    cell.model.type !== 'code' || cell.model.executionCount !== null);
            }""",
            timeout=seconds * 1000,
        )

    def save(self) -> None:
        """Save the notebook through the front end."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")

    def saved(self) -> dict[str, Any]:
        """The notebook file as it is on disk."""
        return dict(json.loads((self.server.root / self.path).read_text("utf-8")))

    def cell_text(self, number: int) -> str:
        """Text of a cell's outputs."""
        return str(self._cell(number).locator(".jp-OutputArea-output").all_inner_texts())

    def outputs(self, number: int) -> Any:
        """Locator of a cell's output area."""
        return self._cell(number).locator(".jp-Cell-outputArea")

    def _cell(self, number: int) -> Any:
        # The notebook in front only: Lab keeps other tabs' notebooks in the page.
        notebook = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        return notebook.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{number}']")


def open_notebook(page: Any, server: JupyterServer, path: str, seconds: float = 60) -> OpenNotebook:
    """Open a notebook in the server's front end and wait until its kernel is ready."""
    prefix = {"lab": "/lab/tree/", "notebook": "/notebooks/"}[server.frontend]
    reset = "&reset" if server.frontend == "lab" else ""
    page.goto(f"{server.url}{prefix}{path}?token={server.token}{reset}")
    page.wait_for_function(
        """() => {
            const panel = window.jupyterapp?.shell?.currentWidget;
            const kernel = panel?.context?.sessionContext?.session?.kernel;
            return !!kernel && kernel.status === 'idle' && panel.content?.widgets?.length > 0;
        }""",
        timeout=seconds * 1000,
    )
    return OpenNotebook(page, server, path)
