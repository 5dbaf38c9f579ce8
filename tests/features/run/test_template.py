"""Kernels of a batch that are forked from one process: as good as others, and gone with it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sandbox_kernel.jupyter.kernel_template import KernelTemplate, fork_from
from sandbox_kernel.jupyter.notebook_of import attach
from sandbox_kernel.jupyter.unattended import OwnKernelSpecs
from sandbox_kernel.trusted.launch_inputs import LaunchInputs

pytest.importorskip("nbclient")
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.fixture
def template() -> Iterator[KernelTemplate]:
    with KernelTemplate() as made:
        yield made


class Forked:
    """A kernel from the template, and a client of it."""

    def __init__(self, template: KernelTemplate, folder: Path, **environment: str) -> None:
        self.manager = KernelManager(kernel_name="sandbox-python", transport="ipc")
        self.manager.kernel_spec_manager = OwnKernelSpecs()
        self.manager.connection_file = str(folder / "k.json")
        self.manager.ip = str(folder / "k")
        attach(self.manager, LaunchInputs("hook", None, {}, "default"))
        fork_from(self.manager, template)
        self.manager.start_kernel(cwd=str(folder), env={**os.environ, **environment})
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=100)

    def run(self, code: str) -> str:
        said: list[str] = []
        self.client.execute_interactive(
            code,
            timeout=100,
            output_hook=lambda message: said.append(str(message["content"].get("text", ""))),
        )
        return "".join(said)

    def supervisor(self) -> psutil.Process:
        assert self.manager.provisioner is not None
        return psutil.Process(self.manager.provisioner.pid)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def test_kernels_have_their_own_folder_environment_and_variables(
    template: KernelTemplate, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    kernels = [Forked(template, each, LANG=f"x_{each.name}") for each in folders]
    for kernel, folder in zip(kernels, folders, strict=True):
        said = kernel.run("import os; print(os.getcwd(), os.environ.get('LANG'), 'x' in globals())")
        assert said == f"{folder} x_{folder.name} False\n"
        kernel.run("x = 1")
    pids = {kernel.supervisor().pid for kernel in kernels}
    assert len(pids) == 2
    for kernel in kernels:
        kernel.close()
        assert not kernel.manager.is_alive()


def test_the_template_holds_no_key(template: KernelTemplate, tmp_path: Path) -> None:
    kernel = Forked(template, tmp_path)
    parent = kernel.supervisor().parent()
    assert parent is not None
    key = json.loads((tmp_path / "k.json").read_text())["key"].encode()
    held, found = [], [False, False]
    for number, process in enumerate((parent, kernel.supervisor())):
        with open(f"/proc/{process.pid}/maps") as maps, open(f"/proc/{process.pid}/mem", "rb") as m:
            for line in maps:
                places, rights, *_ = line.split()
                start, end = (int(part, 16) for part in places.split("-"))
                if "rw" in rights and "[v" not in line:
                    m.seek(start)
                    held.append(len(data := m.read(end - start)))
                    found[number] |= key in data
    assert sum(held) > 1_000_000
    assert found == [False, True]  # The second is the control.
    kernel.close()


def test_a_kernel_that_dies_has_its_exit_status(template: KernelTemplate, tmp_path: Path) -> None:
    kernel = Forked(template, tmp_path)
    kernel.supervisor().send_signal(signal.SIGKILL)
    assert kernel.manager.provisioner is not None
    process = kernel.manager.provisioner.process
    assert process.wait(60) == -signal.SIGKILL
    kernel.close()


def test_kernels_end_with_their_template(tmp_path: Path) -> None:
    template = KernelTemplate()
    kernel = Forked(template, tmp_path)
    family = [kernel.supervisor(), *kernel.supervisor().children(recursive=True)]
    assert len(family) >= 3
    template.close()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    assert not template.alive
    kernel.close()
