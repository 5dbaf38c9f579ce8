"""One MIME bundle: which of its types are shown, and as what.

The types of a bundle are alternatives for one thing. Each is decided on its own by the row of
`MIME_RULES` and the display rules; what is withheld is told in a note when nothing but
`text/plain` is left to show (a front end prefers HTML to pictures, so a note beside a picture
would hide it).
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import frame, images, latex, libraries, svg, vega
from .bounds import clean_json, well_formed
from .notes import Withheld, as_html
from .rules import METADATA_RULES, MIME_RULES, DisplayRules, Handling, Setting
from .text import one_line, plain

if TYPE_CHECKING:
    from .markup import HtmlSanitiser

_MIME = re.compile(r"[a-z0-9][a-z0-9.+-]{0,120}/[a-z0-9][a-z0-9.+_-]{0,120}\Z")
MAX_TYPES = 50
_JSON_TYPES = {
    Handling.JSON,
    Handling.GEOJSON,
    Handling.VEGA,
    Handling.PLOTLY,
    Handling.BOKEH,
    Handling.WIDGET_VIEW,
}

LIBRARY_TYPES = ("application/vnd.bokehjs_load.v0+json", "application/vnd.holoviews_load.v0+json")

Bundle = tuple[dict[str, Any], dict[str, Any]]


class _Showing:
    """What has been decided of one bundle so far."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.given = data
        self.data: dict[str, Any] = {}
        self.withheld: list[Withheld] = []
        self.html_withheld: list[Withheld] = []


class BundleGate:
    """Decides bundles by the display rules of the moment.

    `model_known` tells whether a widget model was let through; `refused_model` why not.
    """

    def __init__(
        self,
        rules: DisplayRules,
        model_known: Callable[[str], bool],
        refused_model: Callable[[str], Withheld],
    ) -> None:
        self.rules = rules
        self._model_known = model_known
        self._refused_model = refused_model
        self._handlers: dict[Handling, Callable[[_Showing, str, Any], None]] = {
            Handling.TEXT: self._text,
            Handling.HTML: self._html,
            Handling.MARKDOWN: self._markdown,
            Handling.LATEX: self._latex,
            Handling.SVG: self._svg,
            Handling.IMAGE: self._image,
            Handling.JSON: self._json,
            Handling.GEOJSON: self._geojson,
            Handling.VEGA: self._vega,
            Handling.SCRIPT: self._script,
            Handling.PLOTLY: self._plotly,
            Handling.BOKEH: self._bokeh,
            Handling.WIDGET_VIEW: self._widget_view,
        }

    @cached_property
    def _sanitiser(self) -> HtmlSanitiser:
        from .markup import HtmlSanitiser  # A kernel's start need not wait for it.

        return HtmlSanitiser()

    def clean_html(self, text: str) -> str:
        """HTML for a place that takes no note, such as a widget's value."""
        if self.rules.html == "raw":
            return well_formed(text)
        return self._sanitiser.clean(text).html

    def decide(self, data: Any, metadata: Any) -> Bundle:
        """What of a bundle may be displayed, and with which metadata."""
        if not isinstance(data, dict):
            return self._only_notes([Withheld("an output", "its data is not a MIME bundle")])
        showing = _Showing(data)
        for mime in list(data)[:MAX_TYPES]:
            self._one(showing, mime, data[mime])
        if len(data) > MAX_TYPES:
            showing.withheld.append(Withheld(f"{len(data) - MAX_TYPES} more MIME types"))
        self._add_notes(showing)
        return showing.data, _metadata(metadata, showing.data)

    def _one(self, showing: _Showing, mime: object, value: Any) -> None:
        if not isinstance(mime, str) or _MIME.match(mime) is None:
            showing.withheld.append(Withheld("data whose MIME type is malformed"))
            return
        rule = MIME_RULES.get(mime)
        if rule is None:
            if self.rules.javascript == "raw":
                showing.data[mime] = clean_json(value)
            else:
                showing.withheld.append(
                    Withheld(mime, "not a type that is known to be inert", "javascript", "raw")
                )
            return
        if rule.handling not in _JSON_TYPES:
            if isinstance(value, list) and all(isinstance(line, str) for line in value):
                value = "".join(value)
            if not isinstance(value, str):
                kind = type(value).__name__
                showing.withheld.append(Withheld(mime, f"its data is of type {kind}, not text"))
                return
        self._handlers[rule.handling](showing, mime, value)

    def _text(self, showing: _Showing, mime: str, value: str) -> None:
        showing.data[mime] = plain(value)

    def _html(self, showing: _Showing, mime: str, value: str) -> None:
        if "text/html" in showing.data:
            return  # a frame has taken its place
        if self.rules.html == "raw":
            showing.data[mime] = well_formed(value)
            return
        cleaned = self._sanitiser.clean(value)
        if self.rules.html == "frame" and cleaned.withheld:
            showing.data[mime] = frame.framed(well_formed(value))
            hosts = frame.loads_from(value)
            if hosts:
                showing.html_withheld.append(
                    Withheld(
                        f"what this output loads from {', '.join(hosts)}",
                        "a frame reaches no network; let the library embed what it needs",
                        "html",
                        "raw",
                    )
                )
            return
        showing.data[mime] = cleaned.html
        showing.html_withheld += cleaned.withheld

    def _markdown(self, showing: _Showing, mime: str, value: str) -> None:
        if self.rules.html == "raw":
            showing.data[mime] = well_formed(value)
            return
        from . import markdown  # Nor for this.

        if len(value) > markdown.MAX_SOURCE:
            showing.data["text/html"] = f"<pre>{html.escape(plain(value))}</pre>"
            showing.html_withheld.append(Withheld("the layout of a long Markdown text"))
            return
        document = markdown.Document(value)
        showing.data[mime] = document.as_markdown()
        if "text/html" not in showing.given:
            cleaned = self._sanitiser.clean(document.as_html())
            showing.data["text/html"] = cleaned.html
            showing.html_withheld += cleaned.withheld

    def _latex(self, showing: _Showing, mime: str, value: str) -> None:
        refusal = latex.refusal(value) if self.rules.html != "raw" else None
        if refusal:
            what, _, reason = refusal.partition(": ")
            showing.withheld.append(Withheld(what, reason, "html", "raw"))
        else:
            showing.data[mime] = plain(value)

    def _svg(self, showing: _Showing, mime: str, value: str) -> None:
        if self.rules.html == "raw":
            showing.data[mime] = well_formed(value)
            return
        try:
            showing.data[mime] = svg.clean(value)
        except svg.UnreadableSvg as error:
            showing.withheld.append(Withheld("an SVG picture", str(error)))

    def _image(self, showing: _Showing, mime: str, value: str) -> None:
        refusal = images.refusal(mime, value)
        if refusal:
            showing.withheld.append(Withheld(mime, refusal))
        else:
            showing.data[mime] = value

    def _json(self, showing: _Showing, mime: str, value: Any) -> None:
        showing.data[mime] = clean_json(value)

    def _geojson(self, showing: _Showing, mime: str, value: Any) -> None:
        showing.data[mime] = _no_tags(clean_json(value))

    def _vega(self, showing: _Showing, mime: str, value: Any) -> None:
        refusal = vega.refusal(value) if self.rules.javascript != "raw" else None
        if refusal:
            showing.withheld.append(Withheld("a Vega chart", refusal, "javascript", "raw"))
        elif isinstance(value, dict):
            showing.data[mime] = clean_json(vega.cleaned(value))
        else:
            showing.withheld.append(Withheld("a Vega chart", "it is not an object"))

    def _script(self, showing: _Showing, mime: str, value: str) -> None:
        rule = self.rules.javascript
        if rule == "raw":
            showing.data[mime] = well_formed(value)
            return
        if any(
            MIME_RULES[each].handling is Handling.BOKEH
            for each in showing.given
            if each in MIME_RULES
        ):
            return  # part of what that type shows
        document = libraries.script_document(well_formed(value)) if rule == "frame" else None
        self._framed(showing, document, f"JavaScript ({mime})", "it would run with your login")

    def _plotly(self, showing: _Showing, mime: str, value: Any) -> None:
        if self.rules.javascript == "raw":
            showing.data[mime] = clean_json(value)
            return
        framing = self.rules.javascript == "frame"
        document = libraries.plotly_document(clean_json(value)) if framing else None
        self._framed(showing, document, "a plotly figure", "it is drawn by a script")

    def _bokeh(self, showing: _Showing, mime: str, value: Any) -> None:
        if self.rules.javascript == "raw":
            showing.data[mime] = clean_json(value)
            return
        if mime in LIBRARY_TYPES:
            # The library itself; a frame gets it from the installed package.
            if self.rules.javascript != "frame":
                showing.withheld.append(_script_library(mime))
            return
        code = showing.given.get("application/javascript")
        document = None
        if self.rules.javascript == "frame" and isinstance(code, str):
            document = libraries.bokeh_document(well_formed(code))
        self._framed(showing, document, "a bokeh figure", "it is drawn by a script")

    def _framed(self, showing: _Showing, document: str | None, what: str, why: str) -> None:
        if document is not None:
            showing.data["text/html"] = frame.framed(document)
        else:
            showing.withheld.append(Withheld(what, why, "javascript", "frame"))

    def _widget_view(self, showing: _Showing, mime: str, value: Any) -> None:
        model = value.get("model_id") if isinstance(value, dict) else None
        if isinstance(model, str) and self._model_known(model):
            showing.data[mime] = {"version_major": 2, "version_minor": 0, "model_id": model}
        else:
            name = model if isinstance(model, str) else ""
            showing.withheld.append(self._refused_model(name))

    def _add_notes(self, showing: _Showing) -> None:
        data = showing.data
        if showing.html_withheld:
            data["text/html"] = data.get("text/html", "") + as_html(
                showing.html_withheld, self.rules
            )
        elif showing.withheld and not any(mime != "text/plain" for mime in data):
            data["text/html"] = as_html(showing.withheld, self.rules)

    def _only_notes(self, withheld: list[Withheld]) -> Bundle:
        note = as_html(withheld, self.rules)
        return {"text/plain": "(output withheld)", "text/html": note}, {}


def without_library(content: dict[str, Any], rules: DisplayRules) -> dict[str, Any]:
    """`content` without the text of a script library, which is sent on only when it is raw.

    Looked at before sizes are counted: bokeh's `output_notebook` sends its library twice, 8 MB,
    and a cell should not reach its limit with what nobody gets.
    """
    data = content.get("data")
    if rules.javascript == "raw" or not isinstance(data, dict):
        return content
    libraries_named = [mime for mime in LIBRARY_TYPES if mime in data]
    if not libraries_named:
        return content
    kept = {mime: value for mime, value in data.items() if mime != "application/javascript"}
    return {**content, "data": {**kept, **dict.fromkeys(libraries_named, "")}}


def _script_library(mime: str) -> Withheld:
    return Withheld(
        f"a script library ({one_line(mime, 80)})",
        "it would run with your login",
        "javascript",
        "frame",
    )


def _no_tags(value: Any) -> Any:
    """JSON in which no text reads as an HTML tag: map viewers build HTML from properties."""
    if isinstance(value, str):
        return _TAG_START.sub("< ", value)
    if isinstance(value, list):
        return [_no_tags(each) for each in value]
    if isinstance(value, dict):
        return {_TAG_START.sub("< ", key): _no_tags(each) for key, each in value.items()}
    return value


_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")


_LENGTH = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?(?:px|%)?\Z")
MAX_SETTING = 1_000


def _setting(kind: Setting, value: Any) -> bool:
    """Whether a value of output metadata is one of that kind."""
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "size" and isinstance(value, int | float):
        return not isinstance(value, bool) and math.isfinite(value)
    if not isinstance(value, str) or len(value) > MAX_SETTING:
        return False
    if kind == "size":
        return _LENGTH.match(value) is not None
    return kind == "text" or value in ("light", "dark")


def _metadata(metadata: Any, shown: dict[str, Any]) -> dict[str, Any]:
    """Of the metadata, what `METADATA_RULES` lists for the types that are shown."""
    if not isinstance(metadata, dict):
        return {}
    kept: dict[str, Any] = {}
    for mime, settings in METADATA_RULES.items():
        entry = metadata.get(mime)
        if mime in shown and isinstance(entry, dict):
            values = {
                key: plain(entry[key]) if isinstance(entry[key], str) else entry[key]
                for key, kind in settings.items()
                if key in entry and _setting(kind, entry[key])
            }
            if values:
                kept[mime] = values
    return kept
