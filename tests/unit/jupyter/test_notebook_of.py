"""Who a kernel is started for: sessions, clients, hooks, and the claims that must not count."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager, KernelManager
from nbclient import NotebookClient

from sandbox_kernel.jupyter import notebook_of
from sandbox_kernel.jupyter.notebook_of import find
from sandbox_kernel.trusted.launch_inputs import LaunchInputs


class Manager:
    """Stands for a kernel manager of which only the identity matters."""


class StartStopped(Exception):
    """Raised where a kernel would be started."""


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "course" / "a.ipynb"
    path.parent.mkdir()
    path.write_text("{}")
    return path


def test_a_session_names_its_notebook(notebook: Path) -> None:
    found = find(Manager(), {"JPY_SESSION_NAME": str(notebook)}, str(notebook.parent), {})
    assert found == LaunchInputs("session", str(notebook))


def test_a_relative_session_name_is_relative_to_the_kernels_directory(notebook: Path) -> None:
    found = find(Manager(), {"JPY_SESSION_NAME": "a.ipynb"}, str(notebook.parent), {})
    assert found.notebook == str(notebook)


@pytest.mark.parametrize("name", ["console-1", "missing.ipynb", "a.py", "", "course"])
def test_a_session_that_is_no_notebook_is_nobodys(notebook: Path, name: str) -> None:
    (notebook.parent / "a.py").write_text("")
    found = find(Manager(), {"JPY_SESSION_NAME": name}, str(notebook.parent), {})
    assert found == LaunchInputs()


def test_an_inherited_session_name_is_another_kernels(notebook: Path) -> None:
    """A client that was started from a cell has that cell's notebook in its environment."""
    inherited = {"JPY_SESSION_NAME": str(notebook)}
    found = find(Manager(), dict(inherited), str(notebook.parent), inherited)
    assert found.found_by == "nobody"


def test_a_hooks_word_comes_before_everything_else(notebook: Path) -> None:
    manager, said = Manager(), LaunchInputs("hook", policy="grading")
    notebook_of.attach(manager, said)
    assert find(manager, {"JPY_SESSION_NAME": str(notebook)}, None, {}) is said
    assert find(Manager(), {}, None, {}).found_by == "nobody"


def asking_notebook() -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["sandbox"] = {"files": [{"path": "data.csv", "mode": "read"}]}
    notebook.metadata["papermill"] = {"input_path": "/etc/hostname"}
    return notebook


class Recording:
    """A kernel manager that finds its inputs where a provisioner would, and stops there."""

    found: LaunchInputs

    async def _async_pre_start_kernel(self, **kwargs: Any) -> Any:
        self.found = find(self, kwargs.get("env"), kwargs.get("cwd"), {})
        raise StartStopped

    pre_start_kernel = _async_pre_start_kernel


class AsyncRecording(Recording, AsyncKernelManager):
    """Started on the client's own event loop."""


class SyncRecording(Recording, KernelManager):
    """Started through `run_sync`, which may use another thread."""


@pytest.mark.parametrize("kind", [AsyncRecording, SyncRecording])
def test_the_client_that_made_the_manager_is_recognised(kind: Any, tmp_path: Path) -> None:
    client = NotebookClient(
        asking_notebook(),
        kernel_manager_class=kind,
        resources={"metadata": {"path": str(tmp_path)}},
    )
    manager = client.create_kernel_manager()
    with pytest.raises(StartStopped):
        client.start_new_kernel()
    assert manager.found == LaunchInputs(
        "client", None, {"files": [{"path": "data.csv", "mode": "read"}]}
    )


def test_a_client_that_was_handed_a_manager_is_not_taken_for_its_owner(tmp_path: Path) -> None:
    manager = AsyncRecording()
    client = NotebookClient(asking_notebook(), km=manager)
    with pytest.raises(StartStopped):
        client.start_new_kernel()
    assert manager.found.found_by == "nobody"


def test_a_client_that_only_happens_to_be_running_is_not_taken_for_the_owner() -> None:
    other = AsyncRecording()

    class Starter(NotebookClient):
        """Starts somebody else's kernel from inside its own method."""

        async def async_start_new_kernel(self, **kwargs: Any) -> None:
            await other.start_kernel()

    client = Starter(asking_notebook(), kernel_manager_class=AsyncRecording)
    client.create_kernel_manager()
    with pytest.raises(StartStopped):
        asyncio.run(client.async_start_new_kernel())
    assert other.found.found_by == "nobody"


def test_a_notebooks_own_papermill_note_does_not_name_its_file(notebook: Path) -> None:
    """Else a downloaded notebook could pose as one that a person has approved."""
    content = asking_notebook()
    content.metadata["papermill"]["input_path"] = str(notebook)
    client = NotebookClient(content)
    assert notebook_of.client_inputs(client, str(notebook.parent)).notebook is None


def test_nbconverts_resources_name_the_file(notebook: Path) -> None:
    client = NotebookClient(
        asking_notebook(), resources={"metadata": {"path": str(notebook.parent), "name": "a"}}
    )
    assert notebook_of.client_inputs(client, None).notebook == str(notebook)
