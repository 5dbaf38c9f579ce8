"""Vega and Vega-Lite specs: drawn when they hold their own data and nothing but a drawing.

JupyterLab draws a spec in its own page and with the person's login: a spec with a `url` reads
any file or API of the server, `href` makes marks into links, image marks and `embedOptions`
fetch. Vega's expression language has had escapes into JavaScript (CVE-2025-25304,
CVE-2025-27793, CVE-2025-59840), so expressions that touch names used by those are refused too.
"""

from __future__ import annotations

import re
from typing import Any

_REFUSED_KEYS = {
    "url": "it loads an address",
    "href": "it makes links",
    "embedOptions": "it changes how it is embedded",
    "loader": "it changes how data is loaded",
    "baseURL": "it changes how data is loaded",
}
_RISKY_EXPRESSION = re.compile(
    r"constructor|prototype|__[a-z]|toString|valueOf|vlSelection|VEGA_DEBUG|javascript\s*:|"
    r"\b(?:event|item|window|document|view|self|globalThis|top|parent)\s*[.\[(]|"
    r"\b(?:eval|Function|import|fetch|open|require|replace|modify|intersect|geoShape)\s*\(",
)


def refusal(spec: Any) -> str | None:
    """Why a spec is not drawn; None when it may be."""
    if not isinstance(spec, dict):
        return f"it is of type {type(spec).__name__}, not an object"
    pending: list[tuple[Any, str, str]] = [(spec, "", "")]
    while pending:
        item, key, above = pending.pop()
        if key == "values" and above == "data" and isinstance(item, list):
            continue  # rows, which are only ever data
        if isinstance(item, dict):
            for name, value in item.items():
                if name in _REFUSED_KEYS:
                    return f"{_REFUSED_KEYS[name]} ({name})"
                if name == "datasets" and key == "" and isinstance(value, dict):
                    continue
                if name in ("mark", "type") and value == "image":
                    return "it draws images from addresses"
                pending.append((value, name, key))
        elif isinstance(item, list):
            pending.extend((each, key, above) for each in item)
        elif isinstance(item, str) and key != "$schema" and _RISKY_EXPRESSION.search(item):
            return "an expression in it reaches beyond the drawing"
    return None


def cleaned(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec without `usermeta`, which is the embedding page's settings, not the drawing's."""
    return {key: value for key, value in spec.items() if key != "usermeta"}
