"""Two people at one hub. Each wall has a control: the same as the same user, outside of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
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
    home = str(Path(os.environ["SANDBOX_HUB_PLACE"], "home", "stu"))
    own = {"PATH": os.environ["PATH"], "HOME": home}
    done = subprocess.run([*words, code], capture_output=True, text=True, cwd="/", env=own)
    assert done.returncode == 0, done.stderr
    return done.stdout


def own(folder: Path) -> None:
    """Make a folder, and all below it, the student's."""
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, "stu", "stu")


@pytest.fixture
def fresh(hub: Hub) -> Iterator[Callable[[str], Kernel]]:
    """Start a kernel of the student's now, for another copy of the notebook that asks."""
    home = hub.place / "home" / "stu"
    started: list[Kernel] = []

    def start(name: str) -> Kernel:
        shutil.copy(home / "a.ipynb", home / f"{name}.ipynb")
        own(home / f"{name}.ipynb")
        started.append(hub.student.kernel(f"{name}.ipynb"))
        return started[-1]

    yield start
    for kernel in started:
        hub.student.api("DELETE", f"kernels/{kernel.identity}")


Start = Callable[[str], Kernel]


def refused(kernel: Kernel, code: str) -> None:
    reply, _ = kernel.run(code)
    assert (reply["status"], reply["ename"]) == ("error", "PermissionError"), reply


def test_both_run_cells(student: Kernel, teacher: Kernel) -> None:
    for kernel in (student, teacher):
        reply, text = kernel.run("print(6 * 7)")
        assert (reply["status"], text.splitlines()[-1]) == ("ok", "42")


def test_groups_decide_the_policy(student: Kernel, teacher: Kernel) -> None:
    assert student.status()["policy"] == "students"
    assert teacher.status()["policy"] == "data-science"


def test_only_the_sandboxed_kernel_is_offered(hub: Hub) -> None:
    assert set(hub.student.api("GET", "kernelspecs").json()["kernelspecs"]) == {"sandbox-python"}
    for name in ("python3", "python", "mine"):
        assert hub.student.api("POST", "kernels", json={"name": name}).status_code >= 400


def test_a_kernelspec_of_ones_own_is_not_started(hub: Hub, fresh: Start) -> None:
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
    assert fresh("own-spec").status()["policy"] == "students"
    # The control: Jupyter itself starts what the home has.
    listed = outside("from jupyter_client.kernelspec import find_kernel_specs as f; print(f())")
    assert str(home / ".local") in listed


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


def test_no_port_of_anybody(hub: Hub, student: Kernel) -> None:
    """The proxy's, the hub's, both servers', all kernels'."""
    ports = sorted(
        {
            each.laddr.port
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN
        }
    )
    assert len(ports) > 10
    code = f"""
import socket
reached = []
for port in {ports}:
    try:
        socket.create_connection(('127.0.0.1', port), 5).close()
        reached.append(port)
    except OSError:
        pass
print(reached)
"""
    assert len(json.loads(outside(code))) > 10
    _, text = student.run(code)
    assert text.splitlines()[-1] == "[]"


def test_no_token(hub: Hub, student: Kernel) -> None:
    servers = [
        each
        for each in psutil.process_iter(["username", "cmdline"])
        if each.info["username"] == "stu" and "jupyterhub" in str(each.info["cmdline"])
    ]
    assert any("JUPYTERHUB_API_TOKEN" in each.environ() for each in servers)
    tokens = {each.environ().get("JUPYTERHUB_API_TOKEN") for each in servers} - {None}
    assert tokens
    code = """
import glob, os
print(dict(os.environ))
for path in glob.glob('/proc/*/environ') + glob.glob('/proc/*/cmdline'):
    try:
        print(open(path, 'rb').read())
    except OSError:
        pass
"""
    seen = outside(code)
    assert any(token in seen for token in tokens)
    _, text = student.run(code)
    assert "JUPYTERHUB" not in text
    assert not any(token in text for token in tokens)


def test_a_policy_of_ones_own_stays_within_the_systems(hub: Hub, fresh: Start) -> None:
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
    (folder / "students.toml").write_text(lines)
    own(home / ".local")
    kernel = fresh("own-policy")
    kernel.run("pass")
    assert kernel.status()["person"]["kernels"]["allowed"] == 3  # It is the group's all the same.
    diary = hub.place / "home" / "tess" / "diary.txt"
    refused(kernel, f"open({str(diary)!r}).read()")
    refused(kernel, f"import socket; socket.create_connection(('127.0.0.1', {hub.port}), 5)")


#: A kernel of the person's own making: environment, provisioner and policy are as they like.
OWN_KERNEL = """
import os, queue, sys
os.environ.update(
    SANDBOX_KERNEL_POLICY='data-science', JUPYTER_DEFAULT_PROVISIONER_NAME='local-provisioner'
)
from jupyter_client.manager import KernelManager
manager = KernelManager(kernel_name={kernel!r})
manager.start_kernel(cwd=os.path.expanduser('~'))
client = manager.client()
client.start_channels()
client.wait_for_ready(120)
for code in {codes!r}:
    reply = client.execute_interactive(code, output_hook=lambda message: None, timeout=60)
    print(reply['content'].get('ename', 'ok'))
manager.shutdown_kernel(now=True)
"""


def test_environment_and_provisioner_of_ones_own_lead_no_further(hub: Hub) -> None:
    # Without the kernelspec and the policy that the tests before this one have planted.
    shutil.rmtree(hub.place / "home" / "stu" / ".local" / "share")
    diary = hub.place / "home" / "tess" / "diary.txt"
    codes = [
        f"open({str(diary)!r}).read()",
        f"import socket; socket.create_connection(('127.0.0.1', {hub.port}), 5)",
    ]
    ours = outside(OWN_KERNEL.format(kernel="sandbox-python", codes=codes))
    assert ours.split() == ["PermissionError", "PermissionError"]
    plain = outside(OWN_KERNEL.format(kernel="python3", codes=codes))
    assert plain.split() == ["ok", "ok"]


def test_the_bound_cannot_be_moved_by_what_it_extends(hub: Hub) -> None:
    """A person's policies named like those that the system policy extends."""
    folder = hub.place / "home" / "stu" / "planted"
    policies = folder / "sandbox-kernel" / "policies"
    policies.mkdir(parents=True)
    diary = hub.place / "home" / "tess" / "diary.txt"
    lines = f"""version = 1
language = "full"
[[given.files]]
path = "{diary}"
mode = "read"
reason = "mine"
"""
    for name in ("data-science", "default", "students"):
        (policies / f"{name}.toml").write_text(lines)
    own(folder)
    plant = f"import os\nos.environ['JUPYTER_PATH'] = {str(folder)!r}\n"
    codes = [f"open({str(diary)!r}).read()"]
    ours = outside(plant + OWN_KERNEL.format(kernel="sandbox-python", codes=codes))
    assert ours.split() == ["PermissionError"]
    # The control: without the system policy theirs is the one that holds.
    found = (
        "from sandbox_kernel.trusted.policy_files import choose\n"
        "print(choose('students', system_files=()).chosen.table.given.files[0].path)"
    )
    assert outside(plant + found).strip() == str(diary)


def test_a_configuration_of_ones_own_is_not_read(hub: Hub) -> None:
    home = hub.place / "home" / "stu"
    (home / ".jupyter").mkdir(exist_ok=True)
    manager = "jupyter_client.kernelspec.KernelSpecManager"
    (home / ".jupyter" / "jupyter_server_config.py").write_text(
        f"c.ServerApp.kernel_spec_manager_class = {manager!r}\n"
        "c.ServerApp.terminals_enabled = True\n"
        "c.KernelProvisionerFactory.default_provisioner_name = 'local-provisioner'\n"
    )
    own(home / ".jupyter")
    hub.student.stop_server()
    hub.student.start_server()
    assert set(hub.student.api("GET", "kernelspecs").json()["kernelspecs"]) == {"sandbox-python"}
    assert hub.student.api("POST", "kernels", json={"name": "python3"}).status_code >= 400
    assert hub.student.api("POST", "terminals").status_code >= 400
    # The control: a server that the person starts reads it.
    shown = outside(
        "import sys; from jupyter_server.serverapp import main; main(['--show-config'])"
    )
    assert manager in shown


def test_a_cell_plants_nothing_that_runs_later(hub: Hub, fresh: Start) -> None:
    """Whoever may write beside a notebook in the home writes no file that a start would run."""
    kernel = fresh("plants")
    home = hub.place / "home" / "stu"
    assert kernel.run(f"open({str(home / 'mine.txt')!r}, 'w').write('mine')")[0]["status"] == "ok"
    for name in (".profile", ".jupyter/x.py", ".local/lib/python3.11/site-packages/x.pth"):
        code = f"""
import os
os.makedirs(os.path.dirname({str(home / name)!r}), exist_ok=True)
open({str(home / name)!r}, 'w').write('planted')
"""
        reply, _ = kernel.run(code)
        assert reply["status"] == "error", name
        before = (home / name).read_text() if (home / name).exists() else ""
        assert before != "planted"
        outside(code)
        assert (home / name).read_text() == "planted"
        (home / name).unlink()


def test_kernels_end_with_their_server(hub: Hub, fresh: Start) -> None:
    def kernels() -> list[psutil.Process]:
        found = psutil.process_iter(["username", "cmdline"])
        return [
            each
            for each in found
            if each.info["username"] == "stu" and "sandbox_kernel" in str(each.info["cmdline"])
        ]

    fresh("ends")
    running = kernels()
    assert running
    hub.student.stop_server()
    _, alive = psutil.wait_procs(running, timeout=60)
    assert not alive
