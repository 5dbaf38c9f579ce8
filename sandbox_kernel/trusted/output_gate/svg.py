"""SVG as a picture: drawn, never run, never fetching.

Front ends show `image/svg+xml` through `<img>`, where a browser runs no script. That is the
first layer, and it holds only there: a saved or exported picture may be opened by itself. So the
document is read as XML and written anew with the elements and attributes of two lists; what is
not listed (scripts, event attributes, foreign objects, animation, anything of another
namespace) does not come back. References stay inside the document or are embedded images.
"""

from __future__ import annotations

import html
import re
from xml.parsers import expat

from .wordlists import words

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_XML = "http://www.w3.org/XML/1998/namespace"
_SEPARATOR = "\n"
MAX_DEPTH = 200
MAX_LENGTH = 8_000_000
"""Characters of a document."""

ELEMENTS = words(
    "a circle clipPath defs desc ellipse feBlend feColorMatrix feComponentTransfer "
    "feComposite feConvolveMatrix feDiffuseLighting feDisplacementMap feDistantLight "
    "feDropShadow feFlood feFuncA feFuncB feFuncG feFuncR feGaussianBlur feMerge "
    "feMergeNode feMorphology feOffset fePointLight feSpecularLighting feSpotLight "
    "feTile feTurbulence filter g image line linearGradient marker mask path pattern "
    "polygon polyline radialGradient rect stop style svg switch symbol text textPath "
    "title tspan use view"
)
_ATTRIBUTE = re.compile(r"(?!(?i:on))[a-z][A-Za-z-]{0,40}\d{0,2}\Z")
_REFUSED_ATTRIBUTES = words("src srcset ping target download base")
_LOCAL = re.compile(r"\s*#[\w.:-]{1,200}\s*\Z")
_EMBEDDED = re.compile(r"\s*data:image/(?:png|jpeg|gif|webp|bmp);base64,[A-Za-z0-9+/=\s]*\Z")
_WEB = re.compile(r"\s*(?:https?://|mailto:)[^\s\\<>\"']{1,2000}\s*\Z", re.IGNORECASE)
_REMOTE_CSS = re.compile(
    r"[\\<@]|(?:image-set|image|src|element|cross-fade|expression)\s*\(|javascript:|behaviou?r|-moz-binding"
    r"|url\s*\((?!\s*['\"]?#)",
    re.IGNORECASE,
)


class UnreadableSvg(ValueError):
    """The text is no SVG document that can be read safely; the message says why."""


def _attributes(element: str, pairs: list[str]) -> list[str]:
    kept = []
    for at in range(0, len(pairs), 2):
        space, _, name = pairs[at].rpartition(_SEPARATOR)
        value = pairs[at + 1]
        if name == "href" and space in ("", _XLINK):
            allowed = _LOCAL.match(value) or (
                (element == "image" and _EMBEDDED.match(value))
                or (element == "a" and _WEB.match(value))
            )
            if allowed:
                kept.append(f"xlink:href={_quoted(value)}")
        elif space == _XML and name in ("space", "lang"):
            kept.append(f"xml:{name}={_quoted(value)}")
        elif (
            not space
            and _ATTRIBUTE.match(name)
            and name.lower() not in _REFUSED_ATTRIBUTES
            and not _REMOTE_CSS.search(value)
        ):
            kept.append(f"{name}={_quoted(value)}")
    return kept


class _Writer:
    def __init__(self) -> None:
        self.out: list[str] = []
        self._depth = 0
        self._dropped = 0
        self._style: list[str] | None = None

    def start(self, name: str, pairs: list[str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnreadableSvg(f"nested deeper than {MAX_DEPTH} elements")
        space, _, local = name.rpartition(_SEPARATOR)
        if self._depth == 1 and (space, local) != (_SVG, "svg"):
            raise UnreadableSvg("the outermost element is not <svg> of the SVG namespace")
        if self._dropped or space != _SVG or local not in ELEMENTS:
            self._dropped += 1
            return
        attributes = _attributes(local, pairs)
        if self._depth == 1:
            attributes = [f'xmlns="{_SVG}"', f'xmlns:xlink="{_XLINK}"', *attributes]
        self.out.append("<" + " ".join([local, *attributes]) + ">")
        if local == "style":
            self._style = []

    def end(self, name: str) -> None:
        self._depth -= 1
        if self._dropped:
            self._dropped -= 1
            return
        local = name.rpartition(_SEPARATOR)[2]
        if local == "style" and self._style is not None:
            sheet = "".join(self._style)
            self._style = None
            if not _REMOTE_CSS.search(sheet):
                self.out.append(html.escape(sheet, quote=False))
        self.out.append(f"</{local}>")

    def text(self, data: str) -> None:
        if self._dropped:
            return
        if self._style is not None:
            self._style.append(data)
        else:
            self.out.append(html.escape(data, quote=False))

    def doctype(self, name: str, system: str | None, public: str | None, subset: bool) -> None:
        if subset:
            raise UnreadableSvg("it declares entities")

    def entity(self, *declaration: object) -> None:
        raise UnreadableSvg("it declares entities")


def clean(document: str) -> str:
    """The document with nothing in it but shapes, text and embedded pictures.

    Raises UnreadableSvg for what is no well-formed SVG, or declares entities.
    """
    if len(document) > MAX_LENGTH:
        raise UnreadableSvg(f"longer than {MAX_LENGTH:,} characters")
    parser = expat.ParserCreate(encoding="utf-8", namespace_separator=_SEPARATOR)
    parser.ordered_attributes = True
    parser.buffer_text = True
    writer = _Writer()
    parser.StartElementHandler = writer.start
    parser.EndElementHandler = writer.end
    parser.CharacterDataHandler = writer.text
    parser.StartDoctypeDeclHandler = writer.doctype
    parser.EntityDeclHandler = writer.entity
    try:
        parser.Parse(document.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise UnreadableSvg(str(error)) from error
    return "".join(writer.out)


def _quoted(value: str) -> str:
    """An attribute's value in quotes, read back as it is (XML 1.0, 3.3.3 folds bare white space).

    The standard library's own function for it would import its HTTP client with it.
    """
    text = html.escape(value)
    for character in "\n\r\t":
        text = text.replace(character, f"&#{ord(character)};")
    return f'"{text}"'
