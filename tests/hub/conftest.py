"""A real hub with a teacher and a student. Run by tests/hub/alone, see there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hub.people import Person
from tests.ports import unused_ports

STUDENTS = """version = 1
extends = "classroom"
[limits.person]
kernels = 3
memory = "600 MB"
threads = 300
"""
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Hub:
    """A running hub, and where its files and its people's homes lie."""

    place: Path
    port: int
    process: subprocess.Popen[bytes]
    teacher: Person
    student: Person


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """A hub after the recipe in deploy/, with both people's servers running."""
    place = Path(os.environ["SANDBOX_HUB_PLACE"])
    for name, folder in (
        ("jupyter_server_config.py", "/etc/jupyter"),
        ("system.toml", "/etc/sandbox-kernel"),
    ):
        Path(folder).mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / "deploy" / name, folder)
    _student_policy()
    _homes(place)
    ports = unused_ports(3)
    port = ports[0]
    environment = {
        **os.environ,
        "SANDBOX_HUB_PORTS": " ".join(map(str, ports)),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    config = REPOSITORY / "tests" / "hub" / "hub_config.py"
    with open(place / "hub.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(config)],
            cwd=place,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process, place / "hub.log")
        people = [Person(address, name) for name in ("tess", "stu")]
        for person in people:
            person.log_in("let me in")
            person.start_server()
        yield Hub(place, port, process, *people)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        # Its proxy outlives a hub that ends before it is up.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _student_policy() -> None:
    """A classroom policy with numbers that a test can reach, where an administrator puts one."""
    folder = Path("/usr/local/share/jupyter/sandbox-kernel/policies")
    folder.mkdir(parents=True, exist_ok=True)  # In tests/hub/alone it is the tests' own.
    (folder / "students.toml").write_text(STUDENTS)


def _homes(place: Path) -> None:
    """A notebook in each home; the student's asks for everything."""
    asks = {
        "policy": "data-science",
        "files": [{"path": "/", "mode": "write"}],
        "sockets": [{"connect": "*:*"}],
        "environment": ["JUPYTERHUB_API_TOKEN"],
        "processes": [{"spawn": True}],
    }
    for name, metadata in (("tess", {}), ("stu", {"sandbox": asks})):
        home = place / "home" / name
        document = {"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
        (home / "a.ipynb").write_text(json.dumps(document))
        (home / "diary.txt").write_text(f"secret of {name}")
        for file in home.iterdir():
            shutil.chown(file, name, name)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import requests
    from urllib3.util import Retry

    web = requests.Session()
    retries = Retry(total=60, backoff_factor=0.2, backoff_max=2, status_forcelist=[404, 503])
    web.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
    try:
        web.get(f"{address}/hub/api/", timeout=60).raise_for_status()
    except requests.RequestException as error:
        raise AssertionError(f"{error}\n{log.read_text()[-5000:]}") from None
    assert process.poll() is None
