"""Every test of this folder drives a browser."""

from __future__ import annotations

import pytest

from tests.browser.fixtures import chromium, jupyter_server, page

__all__ = ["chromium", "jupyter_server", "page"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)
