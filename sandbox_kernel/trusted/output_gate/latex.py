r"""TeX macros that reach beyond the formula.

MathJax, which every Jupyter front end uses, has macros that make links (`\href`), set styles,
classes and ids on the page, load extensions, and define macros for every other formula of the
page. None of them is needed to typeset a result. They are refused wherever a front end would
typeset text: in `text/latex`, and inside HTML and Markdown.

Source: https://docs.mathjax.org/en/latest/input/tex/extensions/html.html and the macro tables
of MathJax 3 (`BaseMappings`, `HtmlMappings`, `NewcommandMappings`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

REFUSED_MACROS: Mapping[str, str] = {
    "href": "makes a link to any address",
    "url": "makes a link to any address",
    "style": "sets styles on the page",
    "class": "sets classes on the page",
    "cssId": "sets ids on the page",
    "data": "sets data attributes on the page",
    "htmlData": "sets data attributes on the page",
    "htmlClass": "sets classes on the page",
    "htmlId": "sets ids on the page",
    "htmlStyle": "sets styles on the page",
    "mmlToken": "sets any attribute, href and style among them",
    "bbox": "takes styles",
    "require": "loads an extension",
    "includegraphics": "fetches an image",
    "def": "changes how the formulas of other cells are read",
    "gdef": "changes how the formulas of other cells are read",
    "edef": "changes how the formulas of other cells are read",
    "let": "changes how the formulas of other cells are read",
    "newcommand": "changes how the formulas of other cells are read",
    "renewcommand": "changes how the formulas of other cells are read",
    "providecommand": "changes how the formulas of other cells are read",
    "newenvironment": "changes how the formulas of other cells are read",
    "renewenvironment": "changes how the formulas of other cells are read",
    "DeclareMathOperator": "changes how the formulas of other cells are read",
    "DeclarePairedDelimiter": "changes how the formulas of other cells are read",
    "DeclarePairedDelimiters": "changes how the formulas of other cells are read",
    "DeclarePairedDelimitersX": "changes how the formulas of other cells are read",
    "DeclarePairedDelimitersXPP": "changes how the formulas of other cells are read",
    "newtagform": "changes how the formulas of other cells are read",
    "renewtagform": "changes how the formulas of other cells are read",
    "usetagform": "changes how the formulas of other cells are read",
    "Newextarrow": "changes how the formulas of other cells are read",
    "csname": "builds a macro's name at run time",
}

_REFUSED = re.compile(
    r"\\(?=(" + "|".join(sorted(REFUSED_MACROS, key=len, reverse=True)) + r")(?![A-Za-z]))"
)
_BREAK = "\\\u200b"


def refused_macros(text: str) -> list[str]:
    """Names of the refused macros in `text`, each once, in order."""
    if "\\" not in text:
        return []
    return list(dict.fromkeys(_REFUSED.findall(text)))


def disarm(text: str) -> str:
    r"""`text` in which no refused macro is left: an invisible space parts `\` from its name.

    For running text that merely may be typeset, such as a path `C:\style`, so that it looks as
    it did.
    """
    if "\\" not in text:
        return text
    return _REFUSED.sub(lambda _: _BREAK, text)
