"""What was put out stays harmless where it is kept: the notebook reopened, the page exported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.jupyter import JupyterServer, open_notebook
from tests.browser.witnesses import Listener, script

GATED = [sys.executable, "-m", "tests.browser.gated_kernel", "{}", "-f", "{connection_file}"]


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as listening:
        yield listening


def _cells(name: str, listener: Listener) -> list[str]:
    image = f'<img src=x onerror="{script(name, listener.url)}">'
    return [
        "from IPython.display import HTML, Markdown, SVG, Javascript",
        f"HTML({image!r})",
        f"HTML({'<script>' + script(name, listener.url) + '</script>'!r})",
        f"Markdown({image!r})",
    ]


def _ran(page: Any, listener: Listener, name: str, milliseconds: int) -> bool:
    for _ in range(milliseconds // 50):
        if f"js-{name}" in listener.paths:
            return True
        page.wait_for_timeout(50)
    return False


@pytest.mark.timeout(240)
@pytest.mark.parametrize("frontend", ["lab", "notebook"])
def test_a_saved_notebook_is_harmless_when_it_is_reopened_and_exported(
    frontend: str, chromium: Any, tmp_path: Path, listener: Listener
) -> None:
    from nbconvert import HTMLExporter

    with JupyterServer(frontend, tmp_path) as server:
        server.kernel("gated", GATED)
        for kernel, acts in (("python3", True), ("gated", False)):
            path = f"{kernel}.ipynb"
            server.notebook(path, _cells(kernel, listener), kernel)
            context = chromium.new_context(viewport={"width": 1200, "height": 3_000})
            notebook = open_notebook(context.new_page(), server, path)
            notebook.run_all()
            notebook.save()
            context.close()

            listener.paths.clear()
            context = chromium.new_context(viewport={"width": 1200, "height": 3_000})
            page = context.new_page()
            open_notebook(page, server, path)
            assert _ran(page, listener, kernel, 15_000 if acts else 2_000) is acts, "reopened"
            context.close()

            exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="")
            text, _ = exporter.from_filename(str(server.root / path))
            exported = tmp_path / f"{kernel}.html"
            exported.write_text(text, "utf-8")
            listener.paths.clear()
            context = chromium.new_context()
            page = context.new_page()
            page.goto(exported.as_uri(), wait_until="domcontentloaded")
            assert _ran(page, listener, kernel, 15_000 if acts else 2_000) is acts, "exported"
            context.close()
