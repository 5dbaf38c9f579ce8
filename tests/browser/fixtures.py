"""Fixtures for tests that need a real Jupyter front end in a real Chromium.

`conftest.py` here imports them; other folders of tests may do the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.jupyter import CHROMIUM_ARGUMENTS, JupyterServer, chromium_path

PAGE_SIZE = {"width": 1200, "height": 900}


@pytest.fixture(scope="session")
def chromium(request: pytest.FixtureRequest) -> Any:
    """A running headless Chromium (a Playwright browser)."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = chromium_path()
    if path is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    if not _browsers:
        playwright = sync_api.sync_playwright().start()
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        _browsers.append(browser)
        request.config.add_cleanup(playwright.stop)
        request.config.add_cleanup(browser.close)
    return _browsers[0]


# Several folders of tests take the fixture, and a process can run Playwright once.
_browsers: list[Any] = []


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A fresh page with its own cookies and storage."""
    context = chromium.new_context(viewport=PAGE_SIZE)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def jupyter_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """`jupyter_server("lab")` → a running server, the same one for the same arguments."""
    running: list[JupyterServer] = []

    @functools.cache
    def start(frontend: str) -> JupyterServer:
        folder: Path = tmp_path_factory.mktemp(f"jupyter-{frontend}")
        server = JupyterServer(frontend, folder)
        running.append(server.__enter__())
        return server

    yield start
    for server in running:
        server.__exit__(None, None, None)
