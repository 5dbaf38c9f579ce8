"""Styles that decorate an output and cannot leave it.

Rules in prose:

1. Properties are an allowlist; a property that is not in `PROPERTIES` is dropped.
2. A value may consist of words, numbers, colours, short quoted names and the functions of
   `FUNCTIONS`. There is no way to write an address: no `url()`, no `image-set()`, no escapes.
3. Nothing is taken out of the flow: no fixed or absolute position, no negative margins, no
   transforms, no animation. `sticky` stays, because it cannot leave its own table. What is only
   hidden by clipping it to nothing (`position: absolute` with `clip`) is not displayed.
4. A style sheet is rewritten so that each selector holds only inside its own output; `@media`
   stays, every other at-rule (`@import`, `@font-face`, …) goes. Classes and ids get a prefix.
5. As a second layer the output is wrapped in an element with `contain: paint`, which clips
   whatever a combination of allowed values might still move (see `markup.py`). No rule of the
   sheet reaches that element, not even one for `:root`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .wordlists import words

_WORDS = re.compile(r"(?:[A-Za-z0-9_%#.,/+*() \t\n-]|'[A-Za-z0-9 ,_-]*'|\"[A-Za-z0-9 ,_-]*\")+")
_FUNCTION = re.compile(r"([A-Za-z0-9_-]*)\(")
_NEGATIVE = re.compile(r"-\s*[0-9.]")
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_IMPORTANT = re.compile(r"!\s*important\Z", re.IGNORECASE)
_MARK = re.compile(r"\"[^\"\\<\n]{0,12}\"\Z|'[^'\\<\n]{0,12}'\Z|none\Z")
_CLIPPED_AWAY = re.compile(r"(?:^|;)\s*clip(?:-path)?\s*:\s*(?:rect|inset)\(", re.IGNORECASE)
_ABSOLUTE = re.compile(r"(?:^|;)\s*position\s*:\s*absolute", re.IGNORECASE)
_CUSTOM = re.compile(r"--[A-Za-z0-9_-]{1,80}\Z")

MAX_SHEET = 2_000_000
MAX_VALUE = 1_000

FUNCTIONS = words(
    "rgb rgba hsl hsla hwb lab lch oklab oklch color-mix light-dark linear-gradient "
    "radial-gradient conic-gradient repeating-linear-gradient "
    "repeating-radial-gradient calc min max clamp var repeat minmax fit-content"
)
_ARITHMETIC = words("calc min max clamp")


def _any(value: str) -> bool:
    return True


def _no_negative(value: str) -> bool:
    return _never_negative(value) and "var" not in map(str.lower, _FUNCTION.findall(value))


def _never_negative(value: str) -> bool:
    """A number written out, or a variable, which is never negative either."""
    return _NEGATIVE.search(value) is None and not any(
        name.lower() in _ARITHMETIC for name in _FUNCTION.findall(value)
    )


def _one_of(words: str) -> Callable[[str], bool]:
    allowed = frozenset(words.split())
    return lambda value: value.strip().lower() in allowed


def _offset(value: str) -> bool:
    return re.fullmatch(r"\s*(?:0|auto|[0-9]{1,3}(?:\.[0-9]+)?px)\s*", value) is not None


PROPERTIES: dict[str, Callable[[str], bool]] = {
    **dict.fromkeys(
        words(
            "accent-color background background-color background-image background-position "
            "background-repeat background-size background-clip color color-scheme fill stroke "
            "stroke-width opacity border border-bottom border-bottom-color "
            "border-bottom-left-radius border-bottom-right-radius border-bottom-style "
            "border-bottom-width border-collapse border-color border-left border-left-color "
            "border-left-style border-left-width border-radius border-right "
            "border-right-color border-right-style border-right-width border-spacing "
            "border-style border-top border-top-color border-top-left-radius "
            "border-top-right-radius border-top-style border-top-width border-width font "
            "font-family font-size font-style font-stretch font-variant font-variant-numeric "
            "font-weight line-height letter-spacing word-spacing text-align text-decoration "
            "text-decoration-color text-decoration-line text-decoration-style text-overflow "
            "text-transform text-justify vertical-align white-space word-break word-wrap "
            "overflow-wrap hyphens tab-size direction unicode-bidi writing-mode padding "
            "padding-bottom padding-left padding-right padding-top width height min-width "
            "min-height max-width max-height box-sizing aspect-ratio float clear empty-cells "
            "caption-side table-layout list-style list-style-type list-style-position "
            "object-fit object-position flex flex-basis flex-direction flex-flow flex-grow "
            "flex-shrink flex-wrap order align-content align-items align-self justify-content "
            "justify-items justify-self place-content place-items place-self gap row-gap "
            "column-gap columns column-count column-width grid grid-area grid-auto-columns "
            "grid-auto-flow grid-auto-rows grid-column grid-column-end grid-column-gap "
            "grid-column-start grid-gap grid-row grid-row-end grid-row-gap grid-row-start "
            "grid-template grid-template-areas grid-template-columns grid-template-rows"
        ),
        _any,
    ),
    **dict.fromkeys(
        words("margin margin-bottom margin-left margin-right margin-top text-indent"),
        _no_negative,
    ),
    "display": _one_of(
        "block inline inline-block none table inline-table table-row table-cell table-caption "
        "table-row-group table-header-group table-footer-group table-column "
        "table-column-group list-item flex inline-flex grid inline-grid contents flow-root"
    ),
    "visibility": _one_of("visible hidden collapse"),
    "overflow": _one_of("auto hidden scroll clip visible"),
    "overflow-x": _one_of("auto hidden scroll clip visible"),
    "overflow-y": _one_of("auto hidden scroll clip visible"),
    "position": _one_of("static sticky"),
    "top": _offset,
    "left": _offset,
    "right": _offset,
    "bottom": _offset,
    "z-index": _one_of("auto 0 1 2 3"),
    "cursor": _one_of("auto default pointer help text"),
    "user-select": _one_of("auto none text all"),
}
"""Allowed property → what its value must also satisfy."""


def _balanced(text: str) -> bool:
    """Whether parentheses pair up, so that none of them swallows the text that follows."""
    depth = 0
    for char in text:
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth < 0:
                return False
    return depth == 0


def value_is_inert(value: str) -> bool:
    """Whether a CSS value can neither fetch nor escape: rule 2 of this module."""
    if len(value) > MAX_VALUE or _WORDS.fullmatch(value) is None or not _balanced(value):
        return False
    return all(name.lower() in FUNCTIONS or not name for name in _FUNCTION.findall(value))


def declaration(name: str, value: str) -> str | None:
    """One declaration in canonical form, or None when it is not allowed."""
    name, value = name.strip(), value.strip()
    if len(value) > MAX_VALUE:
        return None
    if name.lower() == "content":
        return f"content: {value}" if _MARK.match(value) else None
    important = _IMPORTANT.search(value)
    bare = _IMPORTANT.sub("", value).strip()
    if not bare or not value_is_inert(bare):
        return None
    if _CUSTOM.match(name):
        if not _never_negative(bare):
            return None
    else:
        name = name.lower()
        check = PROPERTIES.get(name)
        if check is None or not check(bare):
            return None
    return f"{name}: {bare}{' !important' if important else ''}"


def declarations(text: str) -> str:
    """The allowed declarations of a `style` attribute or of a rule's body."""
    text = _COMMENT.sub(" ", text)
    if _CLIPPED_AWAY.search(text) and _ABSOLUTE.search(text):
        return "display: none"
    kept = []
    for part in text.split(";"):
        name, colon, value = part.partition(":")
        if colon:
            done = declaration(name, value)
            if done is not None:
                kept.append(done)
    return "; ".join(kept)


_SELECTOR = re.compile(
    r"(?:[A-Za-z0-9_ \t\n>+~*.#:(),-]"
    r"|\[[A-Za-z-]+(?:[~|^$*]?=(?:\"[A-Za-z0-9 _-]*\"|[A-Za-z0-9_-]+))?\])+"
)
_SELECTOR_ID = re.compile(r"#([A-Za-z_-][A-Za-z0-9_-]*)")
_SELECTOR_CLASS = re.compile(r"\.([A-Za-z_-][A-Za-z0-9_-]*)")
_PAGE_ROOT = re.compile(r"(?::root|:host|html|body)(?![A-Za-z0-9_-])")
_SIBLING = re.compile(r"[~+]")
_NESTED = re.compile(r"\([^()]*\)|\[[^]]*\]")
_BRACES = re.compile("[{}]")
_MEDIA = re.compile(r"@media\s+([A-Za-z0-9 ():,.-]{1,200})\Z")
_PSEUDO = re.compile(r"::?([A-Za-z-]+)")
_CALL = re.compile(r"(:?)[A-Za-z0-9_-]*\(")
_PSEUDOS = words(
    "hover focus focus-visible focus-within active visited link checked disabled "
    "enabled empty first-child last-child only-child nth-child nth-last-child "
    "first-of-type last-of-type only-of-type nth-of-type nth-last-of-type not is "
    "where before after first-letter first-line marker root"
)


def _selector(text: str, scope: str, prefixed: Callable[[str], str], prefix: str) -> str | None:
    """One selector, holding inside `.scope` only."""
    text = text.strip()
    if not text or len(text) > 1_000 or _SELECTOR.fullmatch(text) is None:
        return None
    if not _balanced(text):
        return None
    if any(name.lower() not in _PSEUDOS for name in _PSEUDO.findall(text)):
        return None
    if not all(_CALL.findall(text)):
        return None  # Only a pseudo-class takes arguments; `url(` would be an address.
    text = _SELECTOR_ID.sub(lambda found: f"#{prefix}{found.group(1)}", text)
    text = _SELECTOR_CLASS.sub(lambda found: f".{prefixed(found.group(1))}", text)
    root = _PAGE_ROOT.match(text)
    if root is None:
        return None if text[0] in ">+~" else f".{scope} {text}"
    rest = text[root.end() :]
    while (again := _PAGE_ROOT.match(rest.lstrip(" \t\n>"))) is not None:
        rest = rest.lstrip(" \t\n>")[again.end() :]
    # `:root ~ div` would reach the outputs beside this one.
    return None if _SIBLING.search(_NESTED.sub("", rest)) else f".{scope}{rest}"


def _split_selectors(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return parts


class ScopedSheet:
    """A style sheet rewritten for one output, and the class names that it speaks of."""

    def __init__(self, scope: str, prefix: str, kept_classes: frozenset[str]) -> None:
        """`prefix` goes before ids, and before classes other than `kept_classes`."""
        self._scope = scope
        self._prefix = prefix
        self._kept = kept_classes
        self.classes: set[str] = set()
        self._rewritten: list[str] = []

    @property
    def text(self) -> str:
        """What is left of the sheets."""
        return "".join(self._rewritten)

    def class_name(self, name: str) -> str:
        """What a class is called on the page."""
        return name if name in self._kept else self._prefix + name

    def add(self, sheet: str) -> None:
        """Add what is allowed of `sheet`; malformed rest is left out."""
        if len(sheet) <= MAX_SHEET:
            sheet = re.sub(r"<!--|-->", " ", _COMMENT.sub(" ", sheet))
            self._rewritten.append(self._rules(sheet, nested=False))

    def _rules(self, sheet: str, nested: bool) -> str:
        out: list[str] = []
        at = 0
        while True:
            opening = sheet.find("{", at)
            if opening < 0:
                return "".join(out)
            head = sheet[at:opening]
            if ";" in head:
                head = head.rpartition(";")[2]
            head = head.strip()
            closing = _matching(sheet, opening)
            body = sheet[opening + 1 : closing]
            at = closing + 1
            if head.startswith("@"):
                media = _MEDIA.match(head)
                if media and not nested:
                    inner = self._rules(body, nested=True)
                    if inner:
                        out.append(f"@media {media.group(1)} {{\n{inner}}}\n")
                continue
            if "{" in body:
                continue
            kept = declarations(body)
            selectors = [
                done
                for part in _split_selectors(head)
                if (done := _selector(part, self._scope, self.class_name, self._prefix)) is not None
            ]
            if kept and selectors:
                self.classes.update(_SELECTOR_CLASS.findall(head))
                out.append(f"{', '.join(selectors)} {{ {kept} }}\n")


def _matching(sheet: str, opening: int) -> int:
    depth = 0
    for found in _BRACES.finditer(sheet, opening):
        depth += 1 if found.group() == "{" else -1
        if depth == 0:
            return found.start()
    return len(sheet)
