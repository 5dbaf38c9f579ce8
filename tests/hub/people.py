"""A person at a hub: logs in, starts a server, runs cells over the websocket."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import requests
import websocket

SECONDS = 180.0


class Person:
    """One user, through the same addresses that a browser uses."""

    def __init__(self, hub: str, name: str) -> None:
        self.hub, self.name = hub, name
        self.web = requests.Session()

    def log_in(self, password: str) -> None:
        """Fill in the form, and get a token for what follows."""
        page = f"{self.hub}/hub/login"
        self.web.get(page, timeout=30).raise_for_status()
        xsrf = self.web.cookies.get("_xsrf", path="/hub/")
        form = {"username": self.name, "password": password, "_xsrf": xsrf}
        self.web.post(page, data=form, timeout=30, allow_redirects=False).raise_for_status()
        xsrf = self.web.cookies.get("_xsrf", path="/hub/")
        made = self.web.post(
            f"{self.hub}/hub/api/users/{self.name}/tokens",
            headers={"X-XSRFToken": xsrf, "Referer": f"{self.hub}/hub/token"},
            timeout=30,
        )
        made.raise_for_status()
        self.token = made.json()["token"]
        self.web = requests.Session()
        self.web.headers["Authorization"] = f"token {self.token}"

    def start_server(self) -> None:
        """Start the server and wait until it answers."""
        address = f"{self.hub}/hub/api/users/{self.name}/server"
        self.web.post(address, timeout=SECONDS).raise_for_status()
        progress = f"{self.hub}/hub/api/users/{self.name}/server/progress"
        with self.web.get(progress, stream=True, timeout=SECONDS) as lines:
            for line in lines.iter_lines():
                if line.startswith(b"data:"):
                    told = json.loads(line[5:])
                    if told.get("ready"):
                        return
                    assert not told.get("failed"), told
        raise AssertionError(f"the server of {self.name} did not start")

    def stop_server(self) -> None:
        """Stop the server and wait for its end, before which the hub may answer."""
        address = f"{self.hub}/hub/api/users/{self.name}"
        self.web.delete(f"{address}/server", timeout=SECONDS).raise_for_status()
        end = time.monotonic() + SECONDS
        while (known := self.web.get(address, timeout=SECONDS).json())["servers"]:
            assert time.monotonic() < end, known
            time.sleep(0.2)

    def restart_server(self) -> None:
        """Start the server anew, whether it runs or not."""
        if self.web.get(f"{self.hub}/hub/api/users/{self.name}", timeout=SECONDS).json()["servers"]:
            self.stop_server()
        self.start_server()

    def api(self, method: str, path: str, **words: Any) -> requests.Response:
        """Ask the person's own server."""
        address = f"{self.hub}/user/{self.name}/api/{path}"
        return self.web.request(method, address, timeout=SECONDS, **words)

    def kernel(self, notebook: str) -> Kernel:
        """A kernel for a notebook of the person's, as JupyterLab starts one."""
        body = {
            "path": notebook,
            "name": Path(notebook).name,
            "type": "notebook",
            "kernel": {"name": "sandbox-python"},
        }
        made = self.api("POST", "sessions", json=body)
        assert made.status_code == 201, made.text
        return Kernel(self, made.json()["kernel"]["id"])


class Kernel:
    """A kernel's channels through the hub's proxy."""

    def __init__(self, person: Person, identity: str) -> None:
        address = person.hub.replace("http", "ws", 1)
        self.identity = identity
        self.line = websocket.create_connection(
            f"{address}/user/{person.name}/api/kernels/{identity}/channels",
            header=[f"Authorization: token {person.token}"],
            timeout=SECONDS,
        )

    def ask(self, channel: str, kind: str, content: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """The reply to a request, and the text that the kernel put out for it."""
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": kind,
            "session": "tests",
            "username": "",
            "version": "5.4",
            "date": "2026-01-01T00:00:00Z",
        }
        message = {
            "channel": channel,
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "buffers": [],
        }
        self.line.send(json.dumps(message))
        text, reply, idle = "", None, False
        end = time.monotonic() + SECONDS
        while reply is None or not idle:
            assert time.monotonic() < end
            told = json.loads(self.line.recv())
            if told["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            if told["msg_type"] == "stream":
                text += told["content"]["text"]
            elif told["msg_type"] == "status":
                idle = told["content"]["execution_state"] == "idle"
            elif told["channel"] == channel:
                reply = told["content"]
        return reply, text

    def run(self, code: str) -> tuple[dict[str, Any], str]:
        """Run a cell."""
        return self.ask("shell", "execute_request", {"code": code, "silent": False})

    def status(self) -> dict[str, Any]:
        """What the supervisor says of itself."""
        reply, _ = self.ask("control", "sandbox_request", {"command": "status", "arguments": {}})
        return reply
