"""The provisioner: what it starts, and how the supervisor gets what it knows."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory

from sandbox_kernel.jupyter.notebook_of import attach
from sandbox_kernel.jupyter.provisioner import NotASandboxedKernel, SandboxProvisioner
from sandbox_kernel.trusted.launch_inputs import LaunchInputs

OURS = ["/opt/python", "-P", "-m", "sandbox_kernel", "-f", "{connection_file}"]
PLAIN = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]

# Stands for the supervisor: writes down what it was handed, and under which environment.
WITNESS = """
import json, os, sys
from pathlib import Path
fd = int(sys.argv[sys.argv.index("--launch-inputs") + 1])
Path(os.environ["WITNESS"]).write_bytes(os.read(fd, 1 << 20))
"""


def provisioner(argv: list[str], language: str = "python") -> SandboxProvisioner:
    spec = KernelSpec(argv=argv, display_name="Some kernel", language=language)
    manager = AsyncKernelManager(connection_file="/run/kernel-1.json")
    return SandboxProvisioner(kernel_id="1", kernel_spec=spec, parent=manager)


def test_the_entry_point_is_ours() -> None:
    factory = KernelProvisionerFactory.instance()
    assert factory.provisioners["sandbox-provisioner"].load() is SandboxProvisioner


def test_our_own_command_is_left_as_it_is() -> None:
    assert provisioner(OURS).sandboxed_command(OURS) == OURS


@pytest.mark.parametrize("argv", [PLAIN, ["python3"], ["evil", "sandbox_kernel"]])
def test_another_python_kernel_becomes_the_sandboxed_one(argv: list[str]) -> None:
    assert provisioner(argv).sandboxed_command(argv) == [
        *(sys.executable, "-P", "-m", "sandbox_kernel", "-f", "/run/kernel-1.json")
    ]


def test_a_kernel_for_another_language_is_refused() -> None:
    argv = ["R", "--slave"]
    with pytest.raises(NotASandboxedKernel, match="for R cannot be started"):
        provisioner(argv, "R").sandboxed_command(argv)


def launch(said: LaunchInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Start the witness as a kernel, through a real manager, and return what it was handed."""
    witness = tmp_path / "witness.json"
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(SandboxProvisioner, "sandboxed_command", lambda self, cmd: cmd)

    async def start() -> None:
        spec = KernelSpec(
            argv=[sys.executable, "-c", WITNESS],
            display_name="Witness",
            language="python",
            env={"WITNESS": str(witness)},
            metadata={"kernel_provisioner": {"provisioner_name": "sandbox-provisioner"}},
        )
        manager = AsyncKernelManager()
        manager._kernel_spec = spec
        attach(manager, said)
        await manager.start_kernel()
        await asyncio.wait_for(manager.provisioner.wait(), 20)
        await manager.cleanup_resources()

    asyncio.run(start())
    return json.loads(witness.read_bytes())


def test_the_supervisor_is_handed_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = LaunchInputs("hook", "/course/a.ipynb", {"modules": ["scipy"]}, "classroom")
    expected = json.loads(msgspec.json.encode(said))
    assert launch(said, tmp_path, monkeypatch) == expected


def test_a_request_that_is_none_is_left_out_and_the_kernel_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = LaunchInputs("hook", "/course/a.ipynb", {"x": "y" * (1 << 20)}, "classroom")
    handed = launch(said, tmp_path, monkeypatch)
    assert handed["requests"] == {}
    assert handed["policy"] == "classroom"
