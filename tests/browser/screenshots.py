"""Pictures of outputs under plain ipykernel and behind the gate, for `docs/display.md`.

    python -m tests.browser.screenshots docs/display

Writes `NAME-plain.png` and `NAME-gated.png` for each row of `SHOWN`. The pictures are looked at by
a person; nothing here compares them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.browser.jupyter import (
    CHROMIUM_ARGUMENTS,
    JupyterServer,
    chromium_path,
    open_notebook,
)

_TABLE = "import pandas as pd\ntable = pd.DataFrame({'a': [1, 2, 3], 'b': [0.5, -1.5, 2.25]})\n"
_PLOT = (
    "import matplotlib.pyplot as plt\nfrom matplotlib_inline.backend_inline import "
    "set_matplotlib_formats\nset_matplotlib_formats({!r})\n"
    "fig, ax = plt.subplots(figsize=(3, 1.6))\nax.plot([1, 4, 9]); ax.set_title('t'); plt.show()"
)
_WAVE = "__import__('math').sin(t / 20)"

# Half a second of a square on a ground, recorded by a browser.
_FILM = (
    "GkXfo59ChoEBQveBAULygQRC84EIQoKEd2VibUKHgQRChYECGFOAZwEAAAAAAALOEU2bdLlNu4tTq4QVSalmU6yBbk27"
    "i1OrhBZUrmtTrIGTTbuLU6uEH0O2dVOsgdRNu4xTq4QcU7trU6yCArzsrgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAVSalmoCrXsYMPQkBEiYRD1Dl5TYCGQ2hyb21lV0GGQ2hyb21lFlSua7yuuteBAXPF"
    "h50A0xQs8QKDgQFV7oEBhoVWX1ZQOOCdsIFAuoEkU8CBAVWwkFWxgQFVuYECVbqBDVW7gQEfQ7Z1AQAAAAAAAdzngQCg"
    "QKGh8oEAAACQBQCdASpAACQABocIhYWImYSIJYIC3AXF+3KQB1AH0ARCf0QGklxikh7O+hK12rqjl/0mPeD50QGOFd3H"
    "d+DahhA18akoPEC3LEo8s7sHg5oWX/wc7NsaJ+4+sN0b5SNb+K1wC3e3YQgM6jxqmHWhqqao7oEBpaOwAgCdASpAACQA"
    "CocIhYWImYSIOAIABo5PzMeb8VgA/uuuAKDBoaCBAGUAUQIAGhFAABgNZssYEbuQWWcgTuAA1DQbyqTAAHWhmaaX7oEB"
    "pZLRAQAqEcAAGAAYWC/0AAiMAAD7gQCg0qGxgQDKAJECABoRHAAZLgQHD/iGNMfOAG9EUIc0xpHAnSVZklRm06G2zAFm"
    "gAVBZP58AHWhmaaX7oEBpZLRAQAqEcAAGAAYWC/0AAiMAAD7gWWg0qGxgQFDAFECABgQ6AAYACIwL/QAIrHrVIwjsMcm"
    "uHB0BqgBOnBL4DfRICyJd3vvaNJJgHWhmaaX7oEBpZLRAQAqEcAAGAAYWC/0AAiMAAD7gcqgyKGmgQGoAHECABgQ2AAY"
    "ACA4L/QAIADX/bkCUQCl1VCgQd4FAAUIAAB1oZmml+6BAaWS0QEAKhHAABgAGFgv9AAIjAAA+4IBQxxTu2uNu4uzgQC3"
    "hveBAfGB1A=="
)

SHOWN: dict[str, str] = {
    "dataframe": _TABLE + "table",
    "styler": _TABLE
    + "table.style.background_gradient().bar(subset=['b'], align='mid', color='#d65f5f')"
    ".set_caption('Caption')",
    "matplotlib-png": _PLOT.format("png"),
    "matplotlib-svg": _PLOT.format("svg"),
    "markdown": "from IPython.display import Markdown\n"
    "Markdown('# Title\\n\\nText with *emphasis*, `code`, a < b, [a link](https://example.org) and "
    "$e^{i\\\\pi} = -1$.\\n\\n| a | b |\\n|---|--:|\\n| 1 | 2 |\\n\\n$$\\\\int_0^1 x\\\\,dx$$')",
    "sympy": "import sympy\nx = sympy.symbols('x')\nsympy.Integral(sympy.sqrt(1 / x), x)",
    "tqdm": "from tqdm.notebook import tqdm\nfor i in tqdm(range(3), desc='rows'): pass",
    "widgets": "import ipywidgets as w\n"
    "w.VBox([w.IntSlider(value=3, description='n'), w.Dropdown(options=['a', 'b']), "
    "w.HBox([w.Button(description='Go', button_style='success', icon='check'), "
    "w.Checkbox(description='on', value=True)]), w.HTML('<b>bold</b> <i>text</i>')])",
    "vega-lite": "from IPython.display import display\n"
    "display({'application/vnd.vegalite.v5+json': {'width': 200, 'height': 120, 'mark': 'bar', "
    "'data': {'values': [{'a': 'x', 'b': 1}, {'a': 'y', 'b': 3}]}, 'encoding': {"
    "'x': {'field': 'a', 'type': 'nominal'}, 'y': {'field': 'b', 'type': 'quantitative'}}}}, "
    "raw=True)",
    "media": "from IPython.display import Audio, Image, Video, display\nimport base64\n"
    f"display(Audio([{_WAVE} for t in range(2000)], rate=8000))\n"
    "display(Image(base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNk"
    "+M9Qz0AEYBxVSF+FABJADveWkH6oAAAAAElFTkSuQmCC'), width=40))\n"
    f"display(Video(base64.b64decode('{_FILM}'), embed=True, mimetype='video/webm', width=128))",
    "json": "from IPython.display import JSON, GeoJSON, display\n"
    "display(JSON({'a': [1, {'b': None}]}, expanded=True))\n"
    "display(GeoJSON({'type': 'Point', 'coordinates': [1, 2]}))",
    "sklearn": "from sklearn.linear_model import Ridge\nfrom sklearn.pipeline import "
    "make_pipeline\nfrom sklearn.preprocessing import StandardScaler\n"
    "make_pipeline(StandardScaler(), Ridge())",
    "traceback": "def f(x):\n    return 1 / x\nf(0)",
    "withheld": "from IPython.display import HTML\n"
    "HTML('<p>A paragraph.</p><script>document.title = \"changed\"</script>')",
    "plotly-frame": "import plotly.graph_objects as go\n"
    "go.Figure(go.Bar(x=['a', 'b', 'c'], y=[1, 3, 2])).update_layout(height=260, width=420)",
    "bokeh-frame": "from bokeh.plotting import figure\nfrom bokeh.io import output_notebook, show\n"
    "from bokeh.resources import INLINE\noutput_notebook(INLINE, hide_banner=True)\n"
    "p = figure(height=220, width=420)\np.line([1, 2, 3], [1, 3, 2])\nshow(p)",
}
_FRAMED = '{"html": "frame", "javascript": "frame"}'


def _take(
    page: Any, server: JupyterServer, kernel: str, names: list[str], suffix: str, to: Path
) -> None:
    path = f"{kernel}-{suffix}.ipynb"
    server.notebook(path, [SHOWN[name] for name in names], kernel)
    notebook = open_notebook(page, server, path)
    notebook.run_all(180)
    page.wait_for_timeout(4_000)
    for number, name in enumerate(names):
        outputs = notebook.outputs(number)
        outputs.scroll_into_view_if_needed()
        page.wait_for_timeout(200)
        outputs.screenshot(path=str(to / f"{name}-{suffix}.png"))
        print(name, suffix, flush=True)


def main(argv: list[str]) -> int:
    """Take all pictures, or those that are named after the folder."""
    from playwright.sync_api import sync_playwright

    to = Path(argv[0])
    to.mkdir(parents=True, exist_ok=True)
    # An error ends a run, so its cell comes last.
    names = sorted(argv[1:] or SHOWN, key=lambda name: name == "traceback")
    own = [name for name in names if not name.endswith("-frame")]
    framed = [name for name in names if name.endswith("-frame")]
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        JupyterServer("lab", Path(folder)) as server,
    ):
        for kernel, rules in (("gated", "{}"), ("framed", _FRAMED)):
            argv = [sys.executable, "-m", "tests.browser.gated_kernel", rules]
            server.kernel(kernel, [*argv, "-f", "{connection_file}"])
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS
        )
        for kernel, some, suffix in (
            ("python3", framed + own, "plain"),
            ("gated", own, "gated"),
            ("framed", framed, "gated"),
        ):
            if some:
                page = browser.new_page(viewport={"width": 760, "height": 5_000})
                _take(page, server, kernel, some, suffix, to)
                page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
