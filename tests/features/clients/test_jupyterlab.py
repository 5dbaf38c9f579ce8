"""A person in JupyterLab, in a real Chromium: opens the tour, runs all cells, looks at them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser.jupyter import JupyterServer, open_notebook
from tests.features.clients.tour import TOUR

pytestmark = pytest.mark.browser

RUN_DEADLINE = 120.0  # seconds


@pytest.mark.timeout(240)
def test_the_tour_is_opened_run_and_seen(page: Any, server: JupyterServer) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    # High enough for the whole notebook: Lab keeps cells out of the page that are out of sight.
    page.set_viewport_size({"width": 1200, "height": 3600})
    tour = open_notebook(page, server, "tour.ipynb")
    cells = [cell["id"] for cell in json.loads(TOUR.read_text())["cells"]]

    tour.run_all(RUN_DEADLINE)

    def output(cell: str) -> Any:
        return tour.outputs(cells.index(cell))

    expect(page.get_by_text("Sandboxed Python | Idle")).to_be_visible()
    expect(output("text")).to_contain_text("Hello from a confined cell.")
    expect(output("text")).to_contain_text("285")
    expect(output("table").locator("table")).to_contain_text("Mercury")
    assert output("plot").locator("img").evaluate("image => image.naturalWidth") > 100
    expect(output("slider").locator(".widget-slider .noUi-handle")).to_be_visible()
    expect(output("file")).to_contain_text("PermissionError")
    expect(output("network")).to_contain_text("PermissionError")
    expect(output("segfault")).to_contain_text("WorkerDied")
    expect(output("after")).to_contain_text("The kernel goes on")

    keep = os.environ.get("SANDBOX_KERNEL_SCREENSHOTS")
    if keep:
        page.screenshot(path=str(Path(keep, "jupyterlab-tour.png")))
