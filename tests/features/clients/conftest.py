"""A real Jupyter server with JupyterLab over a copy of the tour, and a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.fixtures import chromium, jupyter_server, page
from tests.browser.jupyter import JupyterServer
from tests.features.clients.tour import TOUR

__all__ = ["chromium", "jupyter_server", "page"]


@pytest.fixture
def server(jupyter_server: Callable[[str], Any]) -> JupyterServer:
    """JupyterLab's server, with the tour in the folder that it serves."""
    running: JupyterServer = jupyter_server("lab")
    shutil.copy(TOUR, running.root)
    return running
