"""A live kernel with native code in its cells and a policy that a person may widen."""

from __future__ import annotations

import json

import pytest

from sandbox_kernel.jupyter.control_client import ControlClient
from tests.features.kernel.conftest import Kernel, started

POLICY = """
version = 1
extends = "default"
language = "full"
[[ask.sockets]]
connect = "127.0.0.1:*"
private = true
reason = "a service of the test"
[[ask.sockets]]
udp = "127.0.0.1:*"
private = true
reason = "a service of the test"
[[ask.sockets]]
listen = "127.0.0.1:*"
private = true
reason = "a service in the cell"
[[ask.files]]
path = "."
mode = "write"
reason = "the person's folder"
[[on_request.files]]
path = "course"
mode = "read"
reason = "what the course hands out"
[limits]
memory = "300 MB"
"""


@pytest.fixture(scope="module", params=["full", "no-namespaces"])
def kernel(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("assembled")
    wishes = {"sandbox": {"files": [{"path": "course", "mode": "read"}]}}
    document = {"cells": [], "metadata": wishes, "nbformat": 4, "nbformat_minor": 5}
    (folder / "notebook.ipynb").write_text(json.dumps(document))
    level = None if request.param == "full" else request.param
    made = started(folder, level=level, policy=POLICY)
    if request.param != (found := _level(made)):
        _stop(made)
        pytest.skip(f"this machine gives {found}")
    yield made
    _stop(made)


def _level(kernel: Kernel) -> str:
    kernel.run("1")  # Before its worker is sealed a kernel is at no level.
    with ControlClient(kernel.manager.connection_file) as client:
        return str(client.status()["level"])


def _stop(kernel: Kernel) -> None:
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


@pytest.fixture
def control(kernel):
    with ControlClient(kernel.manager.connection_file) as client:
        yield client
