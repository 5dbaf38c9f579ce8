r"""TeX macros that reach beyond the formula.

MathJax, which every Jupyter front end uses, has macros that make links (`\href`), set styles,
classes and ids on the page, load extensions, and define macros for every other formula of the
page. None of them is needed to typeset a result. They are refused wherever a front end would
typeset text: in `text/latex`, and inside HTML and Markdown.

An export to PDF hands formulas to TeX itself, which reads any file of the person's (`\input`, and
`openin_any = a` is the usual setting), writes beside the document, and may run programs. Those
macros are refused in formulas that an export takes, as is `^^`, with which any character of a
macro's name can be written.

Source: https://docs.mathjax.org/en/latest/input/tex/extensions/html.html and the macro tables
of MathJax 3 (`BaseMappings`, `HtmlMappings`, `NewcommandMappings`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

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
    "unicode": "takes a font, which MathJax 3 writes into a style unread: any style, any address",
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
    "setOptions": "changes how the formulas of other cells are read",
    "mathtoolsset": "changes how the formulas of other cells are read",
    "definecolor": "changes the colours of other cells' formulas",
    "csname": "builds a macro's name at run time",
}

FILE_MACROS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "input",
            "@input",
            "@@input",
            "include",
            "InputIfFileExists",
            "IfFileExists",
            "openin",
            "read",
            "readline",
            "newread",
            "lstinputlisting",
            "verbatiminput",
            "VerbatimInput",
            "includepdf",
            "includeonly",
            "bibliography",
            "pdfximage",
            "pdffiledump",
            "pdfobj",
            "XeTeXpicfile",
            "XeTeXpdffile",
        ),
        "reads files when the notebook is exported",
    ),
    **dict.fromkeys(
        ("openout", "write", "newwrite", "immediate", "special", "ShellEscape", "directlua"),
        "writes files or runs programs when the notebook is exported",
    ),
    **dict.fromkeys(
        ("catcode", "scantokens", "usepackage", "RequirePackage", "ExplSyntaxOn", "primitive"),
        "changes how TeX reads the rest of an exported notebook",
    ),
}


def _any_of(names: Iterable[str]) -> str:
    return r"\\(?=(" + "|".join(sorted(names, key=len, reverse=True)) + r")(?![A-Za-z]))"


_REFUSED = re.compile(_any_of(REFUSED_MACROS))
_REFUSED_IN_FORMULA = re.compile(
    _any_of({**REFUSED_MACROS, **FILE_MACROS})
    + r"|\\(?=begin\s*\{\s*(?:filecontents|luacode|document))"
)
_CHARACTER = re.compile(r"\^(?=\^)")
_BREAK = "\\\u200b"


def refusal(formula: str) -> str | None:
    """Why a formula is not displayed; None when it may be."""
    if _CHARACTER.search(formula):
        return "LaTeX with ^^: writes characters that are not there"
    found = _REFUSED_IN_FORMULA.search(formula) if "\\" in formula else None
    if found is None:
        return None
    name = found.group(1)
    if name is None:
        return "LaTeX with such an environment: writes files when the notebook is exported"
    return f"LaTeX with \\{name}: {REFUSED_MACROS.get(name) or FILE_MACROS[name]}"


def disarm_formula(text: str) -> str:
    """A formula within text that may be exported, in which no refused macro is left."""
    text = _CHARACTER.sub("^ ", text)
    return _REFUSED_IN_FORMULA.sub(lambda _: _BREAK, text) if "\\" in text else text


def disarm(text: str) -> str:
    r"""`text` in which no refused macro is left: an invisible space parts `\` from its name.

    For running text that merely may be typeset, such as a path `C:\style`, so that it looks as
    it did.
    """
    if "\\" not in text:
        return text
    return _REFUSED.sub(lambda _: _BREAK, text)
