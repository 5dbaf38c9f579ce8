"""The notebook that teaches granting, run with a person beside it."""

import json
import shutil

import nbformat
import pytest

from sandbox_kernel.jupyter.control_client import ControlClient
from tests.features.kernel.conftest import ROOT, Kernel, Ran, started

DEFAULT = 'version = 1\nextends = "default"\n'


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> list[tuple[str, Ran]]:
    folder = tmp_path_factory.mktemp("grants")
    for name in ("data", "out"):
        shutil.copytree(ROOT / "notebooks" / name, folder / name)
    notebook = nbformat.read(ROOT / "notebooks" / "grants.ipynb", as_version=4)
    kernel = started(folder, policy=DEFAULT)
    try:
        with ControlClient(kernel.manager.connection_file) as control:
            return [
                (cell.source, run(kernel, control, cell))
                for cell in notebook.cells
                if cell.cell_type == "code"
            ]
    finally:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel()


def run(kernel: Kernel, control: ControlClient, cell) -> Ran:
    person = cell.metadata.get("person", {})
    if "command" in person:
        control.command(person["command"], person["arguments"])
    answer = person.get("answer")
    return kernel.run(cell.source, answer=answer, metadata=json.loads(json.dumps(cell.metadata)))


def test_every_cell_runs(outcomes):
    assert [source for source, ran in outcomes if ran.status != "ok"] == []


def test_it_shows_what_its_text_says(outcomes):
    texts = [ran.text() for _, ran in outcomes]
    opened = [i for i, text in enumerate(texts) if text == "x,y\n\n"]
    denied = [i for i, text in enumerate(texts) if text.startswith("PermissionError")]
    assert len(opened) == 2
    assert len(denied) == 5
    assert "made by a cell\n" in texts
    assert "as it was\n\n" in texts
    assert any("May do" in text for text in texts)
    assert "out/kept.txt was not written" in "".join(ran.text("stderr") for _, ran in outcomes)
