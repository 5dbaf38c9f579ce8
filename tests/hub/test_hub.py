"""Two people at one hub. Each wall has a control: the same as the same user, outside of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.hub.conftest import Hub
from tests.hub.people import Kernel

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def student(hub: Hub) -> Kernel:
    return hub.student.kernel("a.ipynb")


@pytest.fixture(scope="module")
def teacher(hub: Hub) -> Kernel:
    return hub.teacher.kernel("a.ipynb")


def outside(code: str) -> str:
    """The control: Python as the student, without the walls."""
    words = ["setpriv", "--reuid", "stu", "--regid", "stu", "--init-groups", sys.executable, "-c"]
    done = subprocess.run([*words, code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def own(folder: Path) -> None:
    """Make a folder, and all below it, the student's."""
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, "stu", "stu")


def refused(kernel: Kernel, code: str) -> None:
    reply, _ = kernel.run(code)
    assert (reply["status"], reply["ename"]) == ("error", "PermissionError"), reply


def test_both_run_cells(student: Kernel, teacher: Kernel) -> None:
    for kernel in (student, teacher):
        reply, text = kernel.run("print(6 * 7)")
        assert (reply["status"], text.splitlines()[-1]) == ("ok", "42")


def test_groups_decide_the_policy(student: Kernel, teacher: Kernel) -> None:
    assert student.status()["policy"] == "classroom"
    assert teacher.status()["policy"] == "data-science"


def test_only_the_sandboxed_kernel_is_offered(hub: Hub) -> None:
    assert set(hub.student.api("GET", "kernelspecs").json()["kernelspecs"]) == {"sandbox-python"}
    for name in ("python3", "python", "mine"):
        assert hub.student.api("POST", "kernels", json={"name": name}).status_code >= 400


def test_a_kernelspec_of_ones_own_is_not_started(hub: Hub) -> None:
    home = hub.place / "home" / "stu"
    for name in ("mine", "sandbox-python"):
        folder = home / ".local/share/jupyter/kernels" / name
        folder.mkdir(parents=True)
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Mine",
            "language": "python",
            "metadata": {"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
        }
        (folder / "kernel.json").write_text(json.dumps(spec))
    own(home / ".local")
    assert hub.student.api("POST", "kernels", json={"name": "mine"}).status_code >= 400
    assert hub.student.kernel("a.ipynb").status()["policy"] == "classroom"


def test_there_is_no_terminal(hub: Hub) -> None:
    assert hub.student.api("POST", "terminals").status_code >= 400


def test_no_file_of_the_other(hub: Hub, student: Kernel) -> None:
    diary = hub.place / "home" / "tess" / "diary.txt"
    code = f"print(open({str(diary)!r}).read())"
    assert outside(code) == "secret of tess\n"
    refused(student, code)


def test_no_process_of_others(hub: Hub, student: Kernel) -> None:
    code = "import os; print([p for p in os.listdir('/proc') if p.isdigit()])"
    assert f"'{hub.process.pid}'" in outside(code)
    _, text = student.run(code)
    assert f"'{hub.process.pid}'" not in text


def test_no_port(hub: Hub, student: Kernel) -> None:
    code = f"import socket; print(socket.create_connection(('127.0.0.1', {hub.port}), 5))"
    assert "socket" in outside(code)
    refused(student, code)


def test_no_token(hub: Hub, student: Kernel) -> None:
    servers = [
        each
        for each in psutil.process_iter(["username", "cmdline"])
        if each.info["username"] == "stu" and "jupyterhub" in str(each.info["cmdline"])
    ]
    assert any("JUPYTERHUB_API_TOKEN" in each.environ() for each in servers)
    _, text = student.run("import os; print([n for n in os.environ if 'JUPYTERHUB' in n])")
    assert text.splitlines()[-1] == "[]"


def test_a_policy_of_ones_own_stays_within_the_systems(hub: Hub) -> None:
    home = hub.place / "home" / "stu"
    folder = home / ".local/share/jupyter/sandbox-kernel/policies"
    folder.mkdir(parents=True)
    lines = f"""version = 1
extends = "classroom"
[[given.sockets]]
connect = "127.0.0.1:{hub.port}"
reason = "mine"
[[given.files]]
path = "/"
mode = "read"
reason = "mine"
"""
    (folder / "classroom.toml").write_text(lines)
    own(home / ".local")
    kernel = hub.student.kernel("a.ipynb")
    diary = hub.place / "home" / "tess" / "diary.txt"
    refused(kernel, f"open({str(diary)!r}).read()")
    refused(kernel, f"import socket; socket.create_connection(('127.0.0.1', {hub.port}), 5)")


def test_kernels_end_with_their_server(hub: Hub) -> None:
    def kernels() -> list[psutil.Process]:
        found = psutil.process_iter(["username", "cmdline"])
        return [
            each
            for each in found
            if each.info["username"] == "stu" and "sandbox_kernel" in str(each.info["cmdline"])
        ]

    hub.student.kernel("a.ipynb")
    running = kernels()
    assert running
    hub.student.stop_server()
    _, alive = psutil.wait_procs(running, timeout=60)
    assert not alive
