"""The tour through a real Jupyter server: REST to start the kernel, a websocket to talk to it."""

from __future__ import annotations

import asyncio
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.browser.jupyter import JupyterServer
from tests.features.clients.tour import check

DEADLINE = 120.0  # seconds for one cell
OUTPUT_TYPES = ("stream", "display_data", "execute_result", "error")


class Socket:
    """A notebook front end's side of the websocket."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection = connection
        self.session = uuid.uuid4().hex

    async def send(self, kind: str, content: dict[str, Any], channel: str) -> str:
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": kind,
            "username": "",
            "session": self.session,
            "date": "2026-01-01T00:00:00Z",
            "version": "5.4",
        }
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await self.connection.write_message(
            json.dumps({**message, "channel": channel, "buffers": []})
        )
        return header["msg_id"]

    async def receive(self) -> dict[str, Any]:
        while True:
            raw = await asyncio.wait_for(self.connection.read_message(), DEADLINE)
            assert raw is not None, "the server closed the websocket"
            if isinstance(raw, str):
                message: dict[str, Any] = json.loads(raw)
                return message

    async def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell; its outputs in nbformat's form."""
        request = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        sent = await self.send(
            "execute_request", {**request, "allow_stdin": False, "stop_on_error": True}, "shell"
        )
        outputs, waiting = [], {"execute_reply", "idle"}
        while waiting:
            message = await self.receive()
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            waiting -= {kind, content.get("execution_state", "")}
            if kind in OUTPUT_TYPES:
                outputs.append({"output_type": kind, **content})
        return outputs


async def run_all(server: JupyterServer, notebook: Path, kernel_id: str) -> dict[str, Any]:
    url = f"{server.url.replace('http', 'ws')}/api/kernels/{kernel_id}/channels"
    headers = {"Authorization": f"token {server.token}"}
    socket = Socket(await websocket_connect(HTTPRequest(url, headers=headers)))
    content: dict[str, Any] = json.loads(notebook.read_text())
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = await socket.run("".join(cell["source"]))
    socket.connection.close()
    return content


def test_the_tour_runs_over_the_websocket(server: JupyterServer) -> None:
    kernel = {"name": "sandbox-python"}
    wanted = {"path": "tour.ipynb", "name": "tour.ipynb", "type": "notebook", "kernel": kernel}
    session = server.request("/api/sessions", "POST", wanted)
    try:
        # In a thread of its own: Playwright keeps an event loop in this one.
        with ThreadPoolExecutor(1) as thread:
            talk = run_all(server, server.root / "tour.ipynb", session["kernel"]["id"])
            check(thread.submit(asyncio.run, talk).result())
    finally:
        server.request(f"/api/sessions/{session['id']}", "DELETE")
