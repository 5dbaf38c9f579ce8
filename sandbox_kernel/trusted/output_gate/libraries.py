"""Drawing libraries for frames, read from the installed packages' own files.

A frame cannot fetch, so a figure whose output names its library by address (plotly's and bokeh's
MIME types do) needs the library in the document. The files belong to the installed Python
environment, which is trusted; the packages are located and never imported.
"""

from __future__ import annotations

import functools
import importlib.machinery
import json
import re
import sys
from pathlib import Path
from typing import Any

_FILES = {
    "plotly": ("package_data/plotly.min.js",),
    "bokeh": (
        "server/static/js/bokeh.min.js",
        "server/static/js/bokeh-widgets.min.js",
        "server/static/js/bokeh-tables.min.js",
    ),
}


@functools.cache
def _folder(package: str) -> Path | None:
    # Only installed places: never the working directory, which may hold the notebook's files.
    places = [place for place in sys.path if place.endswith(("site-packages", "dist-packages"))]
    found = importlib.machinery.PathFinder.find_spec(package, places)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def _element(code: str) -> str:
    code = code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return f"<script>{code}</script>"


@functools.lru_cache(maxsize=4)
def script(package: str) -> str | None:
    """The package's browser script as `<script>` elements; None when it is not installed."""
    folder = _folder(package)
    if folder is None:
        return None
    parts = []
    for name in _FILES[package]:
        path = folder / name
        if path.is_file():
            parts.append(_element(path.read_text("utf-8")))
    return "".join(parts) or None


def json_in_script(value: Any) -> str:
    """JSON that cannot end the script it stands in."""
    text = json.dumps(value, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plotly_document(figure: Any) -> str | None:
    """A document that draws a plotly figure given as its MIME type's JSON."""
    library = script("plotly")
    if library is None or not isinstance(figure, dict):
        return None
    data, layout = figure.get("data", []), figure.get("layout", {})
    return (
        f"{library}<div id=figure style='width:100%'></div><script>"
        f"Plotly.newPlot('figure', {json_in_script(data)}, {json_in_script(layout)}, "
        "{responsive: true, displaylogo: false})</script>"
    )


_BOKEH_ROOTS = re.compile(r'"roots"\s*:\s*\{([^{}]*)\}')
_BOKEH_PLACE = re.compile(r'"([\w-]{1,100})"\s*:\s*"([\w-]{1,100})"')


def bokeh_document(code: str) -> str | None:
    """A document that draws what bokeh's `show` sent as a script.

    The elements that the script draws into came with another message: they are made here anew.
    """
    library = script("bokeh")
    if library is None:
        return None
    places = [
        f'<div id="{place}" data-root-id="{root}"></div>'
        for roots in _BOKEH_ROOTS.findall(code)
        for root, place in _BOKEH_PLACE.findall(roots)
    ]
    return f"{library}{''.join(places)}{_element(code)}"


def script_document(code: str) -> str:
    """A document that runs `code`, with `element` to draw into, as Jupyter's front ends have it."""
    return _element(f"var element = document.body; (function(){{\n{code}\n}})()")
