"""What may be displayed, as data.

Rules in prose:

1. A MIME type that no row of `MIME_RULES` names is not displayed: the list is an allowlist, and
   every row says why it is there.
2. What is *active* (can run code, fetch, or act with the login of the person who looks at it)
   needs a display rule that allows it: `html`, `javascript` or `widgets`.
3. `raw` hands an output on as the worker wrote it; `frame` draws it where it reaches nothing;
   `sanitise`, `drop`, `off` and `core` keep what is inert.
4. `text/plain` is always kept, so that nothing disappears without a trace.
5. A type of iopub message that `IOPUB_RULES` does not name is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

HtmlRule = Literal["sanitise", "frame", "raw"]
JavascriptRule = Literal["drop", "frame", "raw"]
WidgetsRule = Literal["off", "core", "any"]


@dataclass(frozen=True)
class DisplayRules:
    """The `[display]` table of a policy, resolved.

    The origins are texts such as `default.toml, [display]`, quoted in the notes that stand in
    place of what was withheld.
    """

    html: HtmlRule = "sanitise"
    javascript: JavascriptRule = "drop"
    widgets: WidgetsRule = "core"
    origin: str = ""

    def __post_init__(self) -> None:
        for name, allowed in DISPLAY_VALUES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"[display] {name}: {getattr(self, name)!r} is none of {allowed}")


DISPLAY_VALUES: Mapping[str, tuple[str, ...]] = {
    "html": ("sanitise", "frame", "raw"),
    "javascript": ("drop", "frame", "raw"),
    "widgets": ("off", "core", "any"),
}


@dataclass(frozen=True)
class OutputCaps:
    """How much one cell may put out. Counts are of messages, sizes in bytes.

    `output` is the policy's limit of that name, `output_text` how the policy wrote it.
    """

    output: int = 10_000_000
    output_text: str = ""
    messages: int = 100_000
    outputs: int = 10_000
    comm_messages: int = 100_000
    displays: int = 20_000
    """Display ids of the whole session: each may be updated later, so each is kept."""


@dataclass(frozen=True)
class SessionCaps:
    """How much the gate remembers over a kernel's life."""

    comms: int = 50_000


@dataclass(frozen=True)
class Outgoing:
    """One iopub message that may be sent; the supervisor writes its header and parent."""

    msg_type: str
    content: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    buffers: list[bytes] = field(default_factory=list)


Setting = Literal["size", "flag", "shade", "text"]
"""A value of output metadata: a number or length, true or false, `light` or `dark`, any text."""


class Handling(Enum):
    """How the data of one MIME type is made harmless."""

    TEXT = "text"
    HTML = "html"
    MARKDOWN = "markdown"
    LATEX = "latex"
    SVG = "svg"
    IMAGE = "image"
    JSON = "json"
    GEOJSON = "geojson"
    VEGA = "vega"
    SCRIPT = "script"
    PLOTLY = "plotly"
    BOKEH = "bokeh"
    WIDGET_VIEW = "widget_view"


@dataclass(frozen=True)
class MimeRule:
    """One row of the allowlist."""

    handling: Handling
    reason: str


MIME_RULES: Mapping[str, MimeRule] = {
    "text/plain": MimeRule(Handling.TEXT, "shown as text by every front end"),
    "text/html": MimeRule(Handling.HTML, "trusted output runs scripts, so it is cleaned"),
    "text/markdown": MimeRule(Handling.MARKDOWN, "may hold HTML and remote images"),
    "text/latex": MimeRule(Handling.LATEX, "MathJax has macros that make links and styles"),
    "image/svg+xml": MimeRule(Handling.SVG, "a document that can hold scripts"),
    "image/png": MimeRule(Handling.IMAGE, "pixels, when it really is a PNG"),
    "image/jpeg": MimeRule(Handling.IMAGE, "pixels, when it really is a JPEG"),
    "image/gif": MimeRule(Handling.IMAGE, "pixels, when it really is a GIF"),
    "image/webp": MimeRule(Handling.IMAGE, "pixels, when it really is a WebP"),
    "image/bmp": MimeRule(Handling.IMAGE, "pixels, when it really is a BMP"),
    "application/json": MimeRule(Handling.JSON, "shown as a tree of text"),
    "application/geo+json": MimeRule(
        Handling.GEOJSON, "its viewers build HTML from properties and fetch map tiles"
    ),
    **dict.fromkeys(
        (
            "application/vnd.vega.v5+json",
            "application/vnd.vega.v5.json",
            "application/vnd.vega.v6+json",
            "application/vnd.vega.v6.json",
            "application/vnd.vegalite.v4+json",
            "application/vnd.vegalite.v5+json",
            "application/vnd.vegalite.v5.json",
            "application/vnd.vegalite.v6+json",
            "application/vnd.vegalite.v6.json",
        ),
        MimeRule(Handling.VEGA, "a spec can load addresses and make links"),
    ),
    "application/javascript": MimeRule(Handling.SCRIPT, "runs in the page that shows it"),
    "text/javascript": MimeRule(Handling.SCRIPT, "runs in the page that shows it"),
    "application/vnd.plotly.v1+json": MimeRule(
        Handling.PLOTLY, "its viewer fetches images, tiles and topologies"
    ),
    "application/vnd.bokehjs_exec.v0+json": MimeRule(
        Handling.BOKEH, "its viewer runs the script of the bundle"
    ),
    "application/vnd.bokehjs_load.v0+json": MimeRule(
        Handling.BOKEH, "its viewer runs the script of the bundle"
    ),
    "application/vnd.holoviews_exec.v0+json": MimeRule(
        Handling.BOKEH, "its viewer runs the script of the bundle"
    ),
    "application/vnd.holoviews_load.v0+json": MimeRule(
        Handling.BOKEH, "its viewer runs the script of the bundle"
    ),
    "application/vnd.jupyter.widget-view+json": MimeRule(
        Handling.WIDGET_VIEW, "names a model; only one that the gate let through"
    ),
}


IOPUB_RULES: Mapping[str, str] = {
    "stream": "text; control sequences other than colours are taken out",
    "display_data": "a MIME bundle",
    "execute_result": "a MIME bundle",
    "update_display_data": "a MIME bundle, for a display that this kernel opened",
    "error": "text with colours",
    "clear_output": "one flag",
    "comm_open": "by the widget allowlist",
    "comm_msg": "of a comm that was let through",
    "comm_close": "of a comm that was let through",
}
"""iopub messages that a worker may cause. `status`, `execute_input`, `iopub_welcome`,
`shutdown_reply` and `sandbox_event` are written by the supervisor alone."""


_PICTURE: Mapping[str, Setting] = {
    "width": "size",
    "height": "size",
    "unconfined": "flag",
    "needs_background": "shade",
    "alt": "text",
}

METADATA_RULES: Mapping[str, Mapping[str, Setting]] = {
    "image/png": _PICTURE,
    "image/jpeg": _PICTURE,
    "image/gif": _PICTURE,
    "image/webp": _PICTURE,
    "image/bmp": _PICTURE,
    "image/svg+xml": _PICTURE,
    "application/json": {"expanded": "flag", "root": "text"},
}
"""Output metadata that is handed on, per MIME type. Left out on purpose: `isolated`, tile
sources of maps, and anything that a front end might read as a setting. Exported pages write a
`size` without quotes, so it must be a number."""
