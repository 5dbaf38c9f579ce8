"""The tour as every client must show it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
TOUR = ROOT / "notebooks" / "tour.ipynb"


def outputs(notebook: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Cell id → its outputs, of a notebook as parsed JSON or as nbformat reads it."""
    return {cell["id"]: cell["outputs"] for cell in notebook["cells"] if "outputs" in cell}


def printed(cell: list[dict[str, Any]]) -> str:
    """What a cell printed."""
    return "".join("".join(out["text"]) for out in cell if out["output_type"] == "stream")


def data(cell: list[dict[str, Any]], mime: str) -> str:
    """The first output of a MIME type; an AssertionError when there is none."""
    for output in cell:
        if mime in output.get("data", {}):
            found = output["data"][mime]
            return "".join(found) if isinstance(found, list) else str(found)
    raise AssertionError(f"no {mime} in {cell}")


def check(notebook: dict[str, Any]) -> None:
    """Assert that a run of the tour gave what it promises, whoever ran it."""
    got = outputs(notebook)
    assert printed(got["text"]) == "Hello from a confined cell.\n"
    assert data(got["text"], "text/plain") == "285"
    assert "<table" in data(got["table"], "text/html")
    assert "Mercury" in data(got["table"], "text/html")
    assert data(got["plot"], "image/png").startswith("iVBORw0KGgo")
    assert "model_id" in data(got["slider"], "application/vnd.jupyter.widget-view+json")
    assert data(got["await"], "text/plain") == "'a top-level await'"
    assert data(got["scratch"], "text/plain") == "'only this kernel can read me'"
    for refused in ("file", "network"):
        assert re.match(r"PermissionError: .", printed(got[refused])), printed(got[refused])
    assert data(got["secrets"], "text/plain") == "[]"
    assert printed(got["endless"])
    crash = got["segfault"][-1]
    assert crash["output_type"] == "error"
    assert crash["ename"] == "WorkerDied"
    assert printed(got["after"]).startswith("The kernel goes on")
