"""A person in JupyterLab, in a real Chromium: opens the tour, runs all cells, looks at them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.features.clients.conftest import Server

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser

CELL = ".jp-Notebook-cell"
RUN_DEADLINE = 120_000  # milliseconds


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[playwright.Page]:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    assert executable, "no Chromium: run tools/chromium"
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-background-networking", "--disable-quic"],
        )
        page = browser.new_page(viewport={"width": 1200, "height": 3400})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def output_of(page: playwright.Page, first_words: str) -> playwright.Locator:
    """The output area of the cell whose source contains some words."""
    cells = page.locator(f"{CELL}.jp-CodeCell")
    return cells.filter(has_text=first_words).locator(".jp-OutputArea").first


def test_the_tour_is_opened_run_and_seen(page: playwright.Page, server: Server) -> None:
    page.goto(f"{server.url}/lab/tree/tour.ipynb?token={server.token}&reset")
    page.locator(CELL).first.wait_for()
    page.get_by_text("Sandboxed Python | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    last = page.locator(".jp-OutputArea-output", has_text="The kernel goes on")
    last.wait_for(timeout=RUN_DEADLINE)

    expect = playwright.expect
    expect(output_of(page, "Hello from a confined")).to_contain_text("285")
    expect(output_of(page, "planets = pd.DataFrame").locator("table")).to_contain_text("Mercury")
    plot = output_of(page, "plt.show()").locator("img")
    assert plot.evaluate("image => image.naturalWidth") > 100
    slider = output_of(page, "IntSlider").locator(".widget-slider .noUi-handle")
    expect(slider).to_be_visible()
    expect(output_of(page, "/etc/hostname")).to_contain_text("PermissionError")
    expect(output_of(page, "as_strided")).to_contain_text("WorkerDied")

    keep = os.environ.get("SANDBOX_KERNEL_SCREENSHOTS")
    if keep:
        page.screenshot(path=str(Path(keep, "jupyterlab-tour.png")))
