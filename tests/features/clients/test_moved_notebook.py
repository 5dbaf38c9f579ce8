"""A notebook that is renamed or moved in a real Jupyter server while its kernel runs."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_notebook
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.browser.jupyter import JupyterServer
from tests.features.clients.test_server import DEADLINE, Socket

ANSWER = 2.0  # seconds for the answer to one kernel_info_request


def save(path: Path, modules: list[str]) -> None:
    """Save a notebook that asks for these modules."""
    nbformat.write(new_notebook(metadata={"sandbox": {"modules": modules}}), path)


class Front(Socket):
    """The front end, which asks for the kernel's status besides."""

    async def notebook(self) -> str:
        """Where the kernel takes its notebook to be."""
        content = {"command": "status", "arguments": {}}
        sent = await self.send("sandbox_request", content, "control")
        while True:
            message = await asyncio.wait_for(self.receive(), DEADLINE)
            if message["parent_header"].get("msg_id") == sent and message["channel"] == "control":
                return str(message["content"]["notebook"])

    async def ready(self) -> None:
        """Wait until what the kernel publishes arrives again, as front ends do after a restart."""
        async with asyncio.timeout(DEADLINE):
            while True:
                sent = await self.send("kernel_info_request", {}, "shell")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ANSWER):
                        await self._idle(sent)
                        return

    async def _idle(self, sent: str) -> None:
        while True:
            message = await self.receive()
            state = message["content"].get("execution_state")
            if message["parent_header"].get("msg_id") == sent and state == "idle":
                return

    async def error(self, code: str) -> str:
        """The name of a cell's error, or nothing."""
        outputs = await self.run(code)
        return next((str(o["ename"]) for o in outputs if o["output_type"] == "error"), "")


async def play(server: JupyterServer, kernel: str) -> None:
    url = f"{server.url.replace('http', 'ws')}/api/kernels/{kernel}/channels"
    headers = {"Authorization": f"token {server.token}"}
    front = Front(await websocket_connect(HTTPRequest(url, headers=headers)))
    await front.ready()
    old, new = server.root / "old.ipynb", server.root / "new.ipynb"
    elsewhere = server.root / "deeper" / "new.ipynb"
    assert await front.error("import mmap") == "ImportError"
    assert await front.notebook() == str(old)

    server.request("/api/contents/old.ipynb", "PATCH", {"path": "new.ipynb"})
    save(old, ["resource"])  # Somebody else's, by now.
    save(new, ["mmap"])
    assert await front.error("import mmap") == ""
    assert await front.error("import resource") == "ImportError"
    assert await front.notebook() == str(new)

    elsewhere.parent.mkdir()
    server.request("/api/contents/new.ipynb", "PATCH", {"path": "deeper/new.ipynb"})
    server.request(f"/api/kernels/{kernel}/restart", "POST", {})
    await front.ready()
    assert await front.error("import mmap") == ""
    assert await front.error("import resource") == "ImportError"
    assert await front.notebook() == str(elsewhere)
    assert (await front.run("import os; os.getcwd()"))[-1]["data"] == {
        "text/plain": repr(str(elsewhere.parent))
    }
    front.connection.close()


def test_a_kernel_follows_its_notebook(server: JupyterServer) -> None:
    save(server.root / "old.ipynb", [])
    wanted = {"path": "old.ipynb", "name": "old.ipynb", "type": "notebook"}
    body: dict[str, Any] = {**wanted, "kernel": {"name": "sandbox-python"}}
    session = server.request("/api/sessions", "POST", body)
    try:
        # In a thread of its own: Playwright keeps an event loop in this one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, play(server, session["kernel"]["id"])).result()
    finally:
        server.request(f"/api/sessions/{session['id']}", "DELETE")
