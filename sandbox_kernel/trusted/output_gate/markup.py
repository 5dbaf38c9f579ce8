"""HTML that can be shown in a page that holds a person's login.

The page that shows an output is JupyterLab's own: it holds the server's token, and front ends
run the scripts of output that they trust. So nothing active may be left, and nothing may be
fetched, or pose as part of Jupyter.

Rules in prose:

1. Elements and attributes are allowlists (`ELEMENTS`, `ATTRIBUTES`); each attribute's value
   passes a rule of its own. nh3 parses and rewrites the text, so that what a browser parses is
   what was checked.
2. `<style>` and inline `<svg>` are cut out first and go through their own filters: the sheet
   comes back scoped to this output, the drawing as an `<img>`.
3. ids get a prefix. A class stays if it is listed, and gets the prefix if the output's own sheet
   speaks of it: neither can pick up a style or a script of the page.
4. Macros that MathJax would act on are disarmed in the text.
5. What was removed and could have been active is reported, so that a note can say so.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import nh3

from . import css, latex, nesting, pandas_table, svg, urls
from .bounds import well_formed
from .notes import Withheld
from .wordlists import words

ID_PREFIX = "out-"
MAX_PARSED = 8_000_000
"""Characters. A parse takes about 0.1 µs for each, and the kernel waits for it."""

ELEMENTS = words(
    "a abbr address article aside audio b bdi bdo big blockquote br caption center "
    "cite code col colgroup data dd del details dfn div dl dt em figcaption figure "
    "font footer h1 h2 h3 h4 h5 h6 header hr i img input ins kbd label li main mark "
    "meter nav ol p pre progress q rp rt ruby s samp section small source span strike "
    "strong sub summary sup table tbody td tfoot th thead time tr tt u ul var video"
)
REMOVED_WITH_CONTENT = words(
    "script style template iframe object embed applet noscript noembed noframes "
    "frameset xmp plaintext title textarea select svg math head"
)
KEPT_CLASSES = words(
    "dataframe tex2jax_ignore mathjax_ignore tex2jax_process row_heading col_heading "
    "blank index_name data level0 level1 level2"
)

_NUMBER = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?(?:%|px)?\Z")
_FLOAT = re.compile(r"[-+0-9.eE]{1,32}\Z")
_WORD = re.compile(r"[A-Za-z][A-Za-z-]{0,30}\Z")
_COLOUR = re.compile(r"#?[A-Za-z0-9]{1,30}\Z")
_NAME = re.compile(r"[A-Za-z_][\w:.-]{0,120}\Z", re.ASCII)
_FONT = re.compile(r"[A-Za-z0-9 ,_+-]{1,80}\Z")
_MEDIA_TYPE = re.compile(r"(?:audio|video)/[A-Za-z0-9.+-]{1,40}\Z")


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    return lambda value: value if pattern.match(value.strip()) else None


def _text(value: str) -> str | None:
    return value[:10_000]


def _flag(value: str) -> str | None:
    return ""


def _prefixed(value: str) -> str | None:
    names = value.split()
    if not names or not all(_NAME.match(name) for name in names):
        return None
    return " ".join(ID_PREFIX + name for name in names)


_number, _word, _float = _matching(_NUMBER), _matching(_WORD), _matching(_FLOAT)

ATTRIBUTES: Mapping[str, Callable[[str], str | None]] = {
    "title": _text,
    "alt": _text,
    "aria-label": _text,
    "aria-hidden": _word,
    "lang": _word,
    "dir": _word,
    "datetime": _text,
    "id": _prefixed,
    "for": _prefixed,
    "headers": _prefixed,
    "width": _number,
    "height": _number,
    "colspan": _number,
    "rowspan": _number,
    "span": _number,
    "border": _number,
    "cellpadding": _number,
    "cellspacing": _number,
    "start": _float,
    "value": _float,
    "min": _float,
    "max": _float,
    "low": _float,
    "high": _float,
    "optimum": _float,
    "align": _word,
    "valign": _word,
    "scope": _word,
    "color": _matching(_COLOUR),
    "bgcolor": _matching(_COLOUR),
    "face": _matching(_FONT),
    "size": _float,
    "role": _matching(re.compile(r"(?:note|img|presentation)\Z")),
    "controls": _flag,
    "loop": _flag,
    "muted": _flag,
    "open": _flag,
    "reversed": _flag,
    "checked": _flag,
    "hidden": _flag,
}
"""Attribute → its value as it may stand, or None. `class`, `style`, `href`, `src` and `type`
depend on the output and are decided in `_Cleaning`."""

_STYLE = re.compile(r"<style\b[^>]{0,2000}>", re.IGNORECASE)
_STYLE_END = re.compile(r"</style\s*>", re.IGNORECASE)
_SVG_EDGE = re.compile(r"<(/?)svg\b", re.IGNORECASE)

_ACTIVE: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), what, why)
    for pattern, what, why in (
        (r"<script\b", "script", "it would run with your login"),
        (r"<(?:iframe|frame|object|embed|applet|portal)\b", "an embedded page", "it loads"),
        (r"<(?:form|button|textarea|select)\b", "a form", "it would send to an address"),
        (r"<(?:link|base|meta)\b", "page settings (link, base, meta)", "they load or redirect"),
        (r"<[^<>]{0,500}[\s/\"']on[a-z]{3,}\s*=", "event handlers", "they run code"),
        (r"javascript\s*:", "a javascript: address", "it runs code"),
    )
)


@dataclass(frozen=True)
class Cleaned:
    """HTML that is inert, and what is not in it any more."""

    html: str
    withheld: tuple[Withheld, ...] = ()


class _Cleaning:
    """State of one call, read by the attribute filter."""

    def __init__(self) -> None:
        self.sheet: css.ScopedSheet | None = None
        self.styled = False
        self.withheld: list[Withheld] = []

    def attribute(self, element: str, name: str, value: str) -> str | None:
        if name == "class":
            spoken_of = self.sheet.classes if self.sheet is not None else ()
            return (
                " ".join(
                    each if each in KEPT_CLASSES else ID_PREFIX + each
                    for each in value.split()
                    if each in KEPT_CLASSES or each in spoken_of
                )
                or None
            )
        if name == "style":
            kept_style = css.declarations(value)
            self.styled = self.styled or bool(kept_style)
            return kept_style or None
        if name == "href":
            place = urls.fragment(value)
            if place is not None:
                return f"#{ID_PREFIX}{place}"
            return urls.link(value)
        if name == "src":
            address = urls.embedded(element, value)
            if address is None:
                self.withheld.append(
                    Withheld(
                        f"{'picture' if element == 'img' else element} at {value[:120]}",
                        "nothing is fetched; embed it as data",
                        "html",
                        "raw",
                    )
                )
            return address
        if name == "type":
            if element == "source":
                return value if _MEDIA_TYPE.match(value) else None
            return _word(value) or (value if value == "1" else None)
        rule = ATTRIBUTES.get(name)
        return rule(value) if rule else None


class HtmlSanitiser:
    """Reusable sanitiser. Not for use by two threads at once."""

    def __init__(self) -> None:
        self._now = _Cleaning()
        names = set(ATTRIBUTES) - {"for", "headers"}
        self._nh3 = nh3.Cleaner(
            tags=set(ELEMENTS),
            clean_content_tags=set(REMOVED_WITH_CONTENT),
            attributes={
                "*": names | {"class", "style"},
                "a": {"href"},
                "img": {"src"},
                "audio": {"src"},
                "video": {"src"},
                "source": {"src", "type"},
                "ol": {"type"},
                "label": {"for"},
                "td": {"headers"},
                "th": {"headers"},
            },
            # A text field would ask for a password in Jupyter's name; a box to tick cannot.
            set_tag_attribute_values={"input": {"type": "checkbox"}},
            attribute_filter=lambda element, name, value: self._now.attribute(element, name, value),
            url_schemes={"http", "https", "mailto", "data"},
            strip_comments=True,
        )

    def clean(self, html: str) -> Cleaned:
        """What of `html` may be shown. Never raises for any text."""
        known = pandas_table.inert_body(html)
        if known is not None:
            return Cleaned(latex.disarm(known))
        html = well_formed(html)
        if len(html) > MAX_PARSED:
            return Cleaned("", (Withheld("HTML", f"longer than {MAX_PARSED:,} characters"),))
        if nesting.too_deep(html):
            return Cleaned("", (Withheld("HTML", "its elements are nested too deeply"),))
        if nesting.too_many_attributes(html):
            return Cleaned("", (Withheld("HTML", "an element has too many attributes"),))
        self._now = now = _Cleaning()
        now.withheld += [Withheld(what, why, "html", "frame") for what, why in active_parts(html)]
        scope = ""
        if "<style" in html.lower():
            # The name depends on the content alone: the same output is the same text again.
            scope = "out-" + hashlib.blake2b(html.encode(), digest_size=6).hexdigest()
            html, now.sheet = _take_styles(html, scope)
        sheet = now.sheet
        html = _draw_svgs(html, now)
        body = latex.disarm(self._nh3.clean(html))
        if sheet is not None and sheet.text:
            style = sheet.text.replace("<", "")
            body = f'<div class="{scope}"><style>{style}</style>{body}</div>'
            body = f'<div style="contain: paint">{body}</div>'
        elif now.styled:
            body = f'<div style="contain: paint">{body}</div>'
        return Cleaned(body, tuple(now.withheld))


def active_parts(html: str) -> list[tuple[str, str]]:
    """What in `html` would be active in a page, as (what, why). For people; never a decision."""
    return [(what, why) for pattern, what, why in _ACTIVE if pattern.search(html)]


def _take_styles(html: str, scope: str) -> tuple[str, css.ScopedSheet]:
    sheet = css.ScopedSheet(scope, ID_PREFIX, KEPT_CLASSES)
    out: list[str] = []
    at = 0
    while (start := _STYLE.search(html, at)) is not None:
        end = _STYLE_END.search(html, start.end())
        if end is None:
            break
        sheet.add(html[start.end() : end.start()])
        out.append(html[at : start.start()])
        at = end.end()
    out.append(html[at:])
    return "".join(out), sheet


def _draw_svgs(html: str, now: _Cleaning) -> str:
    """`html` with each outermost inline `<svg>` replaced by a picture of it."""
    if _SVG_EDGE.search(html) is None:
        return html
    out: list[str] = []
    at = depth = start = 0
    for edge in _SVG_EDGE.finditer(html):
        if not edge.group(1):
            if depth == 0:
                start = edge.start()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                end = html.find(">", edge.end()) + 1
                if end <= 0:
                    break
                out += [html[at:start], _picture(html[start:end], now)]
                at = end
    out.append(html[at:])
    return "".join(out)


def _picture(drawing: str, now: _Cleaning) -> str:
    if "xmlns=" not in drawing[:4_000]:
        drawing = '<svg xmlns="http://www.w3.org/2000/svg"' + drawing[4:]
    if "xlink:" in drawing and "xmlns:xlink" not in drawing:
        drawing = '<svg xmlns:xlink="http://www.w3.org/1999/xlink"' + drawing[4:]
    try:
        cleaned = svg.clean(drawing)
    except svg.UnreadableSvg as error:
        now.withheld.append(Withheld("an inline SVG drawing", f"not well-formed: {error}"))
        return ""
    data = base64.b64encode(cleaned.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="">'
