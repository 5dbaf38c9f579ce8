"""What a worker offers as completions is text: shown in the list, and nothing more.

JupyterLab writes the label of a completion as HTML after escaping it, so that the control under
plain ipykernel shows the offer too and does not act.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.jupyter import JupyterServer, open_notebook
from tests.browser.test_saved import GATED
from tests.browser.witnesses import Listener, script

OFFER = """
def offered(code, cursor):
    matches = [BAD, 'x' + BAD, 'evil_<b>bold</b>']
    kinds = [{'start': cursor, 'end': cursor, 'text': each, 'type': BAD, 'signature': BAD}
             for each in matches]
    return {'status': 'ok', 'matches': matches, 'cursor_start': cursor, 'cursor_end': cursor,
            'metadata': {'_jupyter_types_experimental': kinds}}
get_ipython().kernel.do_complete = offered
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kernel", ["python3", "gated"])
@pytest.mark.parametrize("frontend", ["lab", "notebook"])
def test_a_completion_is_shown_as_text(
    frontend: str, kernel: str, page: Any, tmp_path: Path
) -> None:
    with Listener() as listener, JupyterServer(frontend, tmp_path) as server:
        server.kernel("gated", GATED)
        bad = f'<img src=x onerror="{script("completion", listener.url)}">'
        server.notebook("offers.ipynb", [f"BAD = {bad!r}{OFFER}"], kernel)
        notebook = open_notebook(page, server, "offers.ipynb")
        notebook.run_all()
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:insert-cell-below')")
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:enter-edit-mode')")
        page.keyboard.type("a = ")
        page.evaluate("() => void window.jupyterapp.commands.execute('completer:invoke-notebook')")
        shown = page.locator(".jp-Completer .jp-Completer-match", has_text="bold")
        shown.first.wait_for()
        assert shown.first.inner_text() == "evil_<b>bold</b>"
        # Nothing announces that a request will not come.
        page.wait_for_timeout(1_000)
        assert listener.paths == set()
        assert page.locator(".jp-Completer img, .jp-Completer b").count() == 0
