"""Vega and Vega-Lite specs: drawn when they hold their own data and nothing but a drawing.

JupyterLab draws a spec in its own page and with the person's login. Rules in prose:

1. Nothing loads or leads away: no `url`, `href`, image marks, embed options. A spec with a `url`
   would read any file or API of the server.
2. `bind` makes controls, whose keys become attributes of an `<input>`: only those of `_CONTROL`
   (an `onfocus` would run code, an `element` would put the control anywhere on the page).
3. A `cursor` becomes a style of the page: one word.
4. Events of the whole page are seen, as dragging needs, and only movements are taken from it: a
   chart that takes keys or clicks would leave the notebook without them, also when reopened.
5. Expressions are refused when they touch names by which Vega's language has been left before
   (CVE-2025-25304, CVE-2025-27793, CVE-2025-59840), or write characters as escapes.
6. A tooltip with an `image` loads it. Where a spec has tooltips and might make that name, it is
   drawn with the browser's own tooltips, which are text.
"""

from __future__ import annotations

import re
from typing import Any

from .wordlists import words

_REFUSED_KEYS = {
    "url": "it loads an address",
    "href": "it makes links",
    "embedOptions": "it changes how it is embedded",
    "loader": "it changes how data is loaded",
    "baseURL": "it changes how data is loaded",
    "__proto__": "a key in it reaches beyond the drawing",
}
_RISKY_EXPRESSION = re.compile(
    r"constructor|prototype|__[a-z]|toString|valueOf|vlSelection|VEGA_DEBUG|javascript\s*:|"
    r"\b(?:event|item|window|document|view|self|globalThis|top|parent)\s*[.\[(]|"
    r"\\[ux]|\b(?:eval|Function|import|fetch|open|require|replace|modify|intersect|geoShape)\s*\(",
)
_MOVES = words("mousemove pointermove touchmove")
_TAKES_FROM_PAGE = re.compile(
    # Not a mark, by its type or its @name, nor the drawing itself: `window`, or a CSS selector.
    r"(?<![@\w-])(?!(?:view|scope|arc|area|image|group|line|path|rect|rule|shape|symbol|text|trail)\b)"
    r"[#.\w-]+\s*:\s*(?!(?:mouse|pointer|touch)move)[a-z]+[^,>]*!(?!=)"
)
_CONTROL = words(
    "input name min max step options labels debounce placeholder value type autocomplete"
)
_THEMES = words(
    "dark excel fivethirtyeight ggplot2 googlecharts latimes powerbi quartz urbaninstitute vox "
    "carbonwhite carbong10 carbong90 carbong100"
)
_TEXTS = words("$schema title subtitle description text domain sort oneOf equal options labels")
"""Keys whose texts are shown or compared, and never read as expressions."""

_EVENTS = words("on events clear translate zoom toggle between source")
_INPUTS = words(
    "range checkbox radio select text number color date time month week datetime-local search"
)
_WORD = re.compile(r"[a-z-]{1,30}\Z")


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
            if item.get("name") == "cursor":
                return "it sets the page's cursor"
            own = item.get("source", "view") in ("view", "scope")
            if item.get("consume") and not own and item.get("type") not in _MOVES:
                return "it takes keys or clicks from the page"
            for name, value in item.items():
                if name in _REFUSED_KEYS:
                    return f"{_REFUSED_KEYS[name]} ({name})"
                if name == "usermeta" and item is spec:
                    continue  # `cleaned` writes it anew
                if name == "datasets" and key == "" and isinstance(value, dict):
                    continue
                if name in ("mark", "type") and value == "image":
                    return "it draws images from addresses"
                if name == "bind" and not _binds(value):
                    return "its controls reach beyond the drawing (bind)"
                if name == "cursor" and not _is_word(value):
                    return "it sets the page's cursor"
                pending.append((value, name, key))
        elif isinstance(item, list):
            pending.extend((each, key, above) for each in item)
        elif isinstance(item, str) and key not in _TEXTS and _RISKY_EXPRESSION.search(item):
            return "an expression in it reaches beyond the drawing"
        elif isinstance(item, str) and key in _EVENTS and _TAKES_FROM_PAGE.search(item):
            return "it takes keys or clicks from the page"
    return None


def _binds(value: Any) -> bool:
    """Whether a `bind` makes a control and nothing else; for each field, in the longer form."""
    if isinstance(value, str):
        return value in ("scales", "legend")
    if not isinstance(value, dict):
        return value is None
    if "input" in value:
        return _CONTROL.issuperset(value) and value["input"] in _INPUTS
    if "legend" in value:
        return set(value) == {"legend"} and isinstance(value["legend"], str)
    return all(
        isinstance(each, dict) and "input" in each and _binds(each) for each in value.values()
    )


def _is_word(value: Any) -> bool:
    """Whether a cursor is a fixed word, alone or as the `value` of an encoding."""
    if isinstance(value, list):
        return all(_is_word(each) for each in value)
    if isinstance(value, dict):
        allowed = set(value) <= {"value", "test"}
        return allowed and (value.get("value") is None or _is_word(value["value"]))
    return isinstance(value, str) and _WORD.match(value) is not None


def cleaned(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec with its `usermeta`, the embedding page's settings, written anew (rule 6)."""
    kept = {key: value for key, value in spec.items() if key != "usermeta"}
    settings: dict[str, Any] = {}
    given = spec.get("usermeta")
    given = given.get("embedOptions") if isinstance(given, dict) else None
    theme = given.get("theme") if isinstance(given, dict) else None
    if isinstance(theme, str) and theme in _THEMES:
        settings["theme"] = theme
    if _may_load_in_a_tooltip(kept):
        settings["tooltip"] = False
    return {**kept, "usermeta": {"embedOptions": settings}} if settings else kept


def _may_load_in_a_tooltip(spec: dict[str, Any]) -> bool:
    """Whether a tooltip could show an object that has an `image`.

    Looked at is everything, data too: a field's name may come from a row (`pivot`), from text
    that is read as CSV or JSON, or from an expression.
    """
    tooltips = named = False
    pending: list[Any] = [spec]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            tooltips = tooltips or "tooltip" in item
            named = named or "image" in item or "pivot" in item or item.get("type") == "pivot"
            named = named or isinstance(item.get("values"), str)
            rows = item.get("datasets")
            named = named or (
                isinstance(rows, dict) and any(isinstance(each, str) for each in rows.values())
            )
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, str) and "image" in item:
            named = True
    return tooltips and named
