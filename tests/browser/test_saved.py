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


_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNk+M9Qz0AEYBxVSF+FABJADveWkH6o"
    "AAAAAElFTkSuQmCC"
)
_IMAGE = '<img src=x onerror="{}">'
OUTPUTS: dict[str, tuple[str, set[str]]] = {
    "onerror": ("HTML(BAD)", {"reopened", "exported"}),
    "script": ("HTML('<script>' + JS + '</script>')", {"reopened", "exported"}),
    "markdown": ("Markdown('*x*\\n\\n' + BAD)", {"reopened", "exported"}),
    "javascript": ("Javascript(JS)", {"reopened", "exported"}),
    # An exported page writes the width without quotes.
    "width": (
        f"display({{'image/png': '{_PNG}'}}, metadata={{'image/png': {{'width': "
        "'9 onload=' + JS.replace(' ', '/**/')}}, raw=True)",
        {"exported"},
    ),
}
"""Name → what the cell shows, and where that acts under plain ipykernel."""


def _cells(kernel: str, listener: Listener) -> list[str]:
    head = "from IPython.display import HTML, Javascript, Markdown, display\n"
    cells = []
    for name, (code, _) in OUTPUTS.items():
        js = script(f"{kernel}-{name}", listener.url)
        cells.append(f"{head}JS = {js!r}\nBAD = {_IMAGE.format(js)!r}\n{code}")
    return cells


def _acted(page: Any, listener: Listener, kernel: str, place: str) -> set[str]:
    """The outputs that have left their witness, of those that may."""
    may = {name for name, (_, places) in OUTPUTS.items() if place in places}
    acted: set[str] = set()
    # Nothing announces an absence: behind the gate this is how long it is looked for.
    for _ in range(300 if kernel == "python3" else 40):
        acted = {name for name in OUTPUTS if f"js-{kernel}-{name}" in listener.paths}
        if acted >= may:
            break
        page.wait_for_timeout(50)
    return acted


@pytest.mark.timeout(300)
@pytest.mark.parametrize("frontend", ["lab", "notebook"])
def test_a_saved_notebook_is_harmless_when_it_is_reopened_and_exported(
    frontend: str, chromium: Any, tmp_path: Path, listener: Listener
) -> None:
    from nbconvert import HTMLExporter

    with JupyterServer(frontend, tmp_path) as server:
        server.kernel("gated", GATED)
        for kernel in ("python3", "gated", "sandbox-python"):
            expected = {
                place: {
                    name
                    for name, (_, places) in OUTPUTS.items()
                    if place in places and kernel == "python3"
                }
                for place in ("reopened", "exported")
            }
            path = f"{kernel}.ipynb"
            server.notebook(path, _cells(kernel, listener), kernel)
            context = chromium.new_context(viewport={"width": 1200, "height": 3_000})
            notebook = open_notebook(context.new_page(), server, path)
            notebook.run_all()
            notebook.save()
            context.close()
            assert all(cell["outputs"] for cell in notebook.saved()["cells"])

            listener.paths.clear()
            context = chromium.new_context(viewport={"width": 1200, "height": 3_000})
            page = context.new_page()
            open_notebook(page, server, path)
            assert _acted(page, listener, kernel, "reopened") == expected["reopened"]
            context.close()

            exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="")
            text, _ = exporter.from_filename(str(server.root / path))
            exported = tmp_path / f"{kernel}.html"
            exported.write_text(text, "utf-8")
            listener.paths.clear()
            context = chromium.new_context()
            page = context.new_page()
            page.goto(exported.as_uri(), wait_until="domcontentloaded")
            assert _acted(page, listener, kernel, "exported") == expected["exported"]
            context.close()
