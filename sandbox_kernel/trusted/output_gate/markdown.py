r"""Markdown, made harmless in two forms.

Cleaning Markdown's *source* destroys text (`a < b`, quotes, formulas), and front ends do not
agree on what a source means. So:

- `Document.as_html` renders it here, on the trusted side: CommonMark with tables, raw
  HTML shown as text, formulas handed through for MathJax. The result still passes `markup.py`.
  Front ends prefer this form.
- `Document.as_markdown` writes the parsed document down again as Markdown, for exporters that want
  `text/markdown` (to LaTeX and PDF, for instance). Every character of running text that any
  dialect might read as markup is escaped, links lead only where `urls.py` allows, pictures are
  embedded data, and `<` never stands before a character with which a tag could begin, except in
  the fixed tags `<code>`, `</code>`, `<pre>`, `</pre>`, `<br>`. So no reading of it finds HTML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from . import latex, urls
from .bounds import well_formed

MAX_SOURCE = 50_000
"""Characters. A hostile source costs up to 20 µs for each."""

MAX_NESTING = 20

_INLINE_MATH = (
    ("$$", "$$"),
    ("\\(", "\\)"),
    ("\\[", "\\]"),
    ("\\\\(", "\\\\)"),
    ("\\\\[", "\\\\]"),
)
_DOLLAR = re.compile(r"\$(?![\s$])((?:[^$\\\n]|\\[^\n]|\n(?!\n))+?)(?<![\s\\])\$(?!\d)")
_ENVIRONMENT = re.compile(r"\\begin\{([A-Za-z]{1,30}\*?)\}")
MAX_MATH = 20_000


def _math_inline(state: StateInline, silent: bool) -> bool:
    """`$…$`, `$$…$$`, `\\(…\\)`, `\\[…\\]` and environments, taken verbatim."""
    char = state.src[state.pos]
    if char not in "$\\":
        return False
    limit = min(state.posMax, state.pos + MAX_MATH)
    end = -1
    if char == "$" and (found := _DOLLAR.match(state.src, state.pos, limit)):
        end = found.end()
    else:
        environment = _ENVIRONMENT.match(state.src, state.pos)
        if environment:
            closing = f"\\end{{{environment.group(1)}}}"
            at = state.src.find(closing, environment.end(), limit)
            end = at + len(closing) if at >= 0 else -1
        else:
            for opening, closing in _INLINE_MATH:
                if state.src.startswith(opening, state.pos):
                    at = state.src.find(closing, state.pos + len(opening), limit)
                    end = at + len(closing) if at >= 0 else -1
                    break
    if end < 0:
        return False
    if not silent:
        token = state.push("math", "", 0)
        token.content = state.src[state.pos : end]
    state.pos = end
    return True


def _math_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A display formula that begins a line; it may hold blank lines and list markers."""
    if state.is_code_block(start_line):
        return False
    start = state.bMarks[start_line] + state.tShift[start_line]
    environment = _ENVIRONMENT.match(state.src, start)
    if state.src.startswith("$$", start):
        opening, closing = "$$", "$$"
    elif environment:
        opening, closing = environment.group(0), f"\\end{{{environment.group(1)}}}"
    else:
        return False
    limit = min(state.eMarks[end_line - 1], start + MAX_MATH)
    at = state.src.find(closing, start + len(opening), limit)
    if at < 0:
        return False
    line = start_line
    while state.eMarks[line] < at + len(closing):
        line += 1
    if state.src[at + len(closing) : state.eMarks[line]].strip():
        return False
    if not silent:
        token = state.push("math_block", "", 0)
        token.content = state.src[start : at + len(closing)]
        state.line = line + 1
    return True


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "math", _math_inline)
    parser.block.ruler.before(
        "fence", "math_block", _math_block, {"alt": ["paragraph", "reference", "blockquote"]}
    )
    parser.add_render_rule("math", lambda self, tokens, at, options, env: _math(tokens[at]))
    parser.add_render_rule(
        "math_block", lambda self, tokens, at, options, env: f"<p>{_math(tokens[at])}</p>\n"
    )
    return parser


def _math(token: Token) -> str:
    return escapeHtml(token.content)


_PARSER = _parser()


class Document:
    """A parsed Markdown text, which can be written in both forms."""

    def __init__(self, source: str) -> None:
        self._tokens = _PARSER.parse(well_formed(source))

    def as_html(self) -> str:
        """Rendered. Not yet sanitised: links and pictures are as the source has them."""
        return str(_PARSER.renderer.render(self._tokens, _PARSER.options, {}))

    def as_markdown(self) -> str:
        """Markdown with nothing active in it under any reading."""
        return _blocks(self._tokens)


_PUNCTUATION = re.compile(r"([!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~])")
_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
_LINK_START = re.compile(r"\](?=[\[(:])")
_RISKY_CODE = re.compile(r"<[A-Za-z/!?]|\]\s*[(\[:]|!\[|[`&$\\@]|\A\s|\s\Z|\n")


def _text(text: str) -> str:
    text = _PUNCTUATION.sub(r"\\\1", latex.disarm(text))
    return text.replace("\\<", "&lt;").replace("\\&", "&amp;")


def _code(text: str) -> str:
    if _RISKY_CODE.search(text) or not text:
        return f"<code>{_entities(text)}</code>"
    return f"`{text}`"


def _entities(text: str) -> str:
    """Text in numeric references: whoever reads it finds characters and no markup."""
    return "".join(char if char.isalnum() or char == " " else f"&#{ord(char)};" for char in text)


def _formula(text: str) -> str:
    return _LINK_START.sub("] ", _TAG_START.sub("< ", latex.disarm_formula(text)))


def _inline(tokens: Sequence[Token]) -> str:
    out: list[str] = []
    closing: list[str] = []
    for token in tokens:
        kind = token.type
        if kind == "text":
            out.append(_text(token.content))
        elif kind == "code_inline":
            out.append(_code(token.content))
        elif kind == "math":
            out.append(_formula(token.content))
        elif kind in ("em_open", "em_close"):
            out.append("*")
        elif kind in ("strong_open", "strong_close"):
            out.append("**")
        elif kind in ("s_open", "s_close"):
            out.append("~~")
        elif kind == "softbreak":
            out.append("\n")
        elif kind == "hardbreak":
            out.append("<br>")
        elif kind == "link_open":
            address = urls.link(str(token.attrGet("href") or ""))
            out.append("[" if address else "")
            closing.append(f"]({_address(address)})" if address else "")
        elif kind == "link_close":
            out.append(closing.pop() if closing else "")
        elif kind == "image":
            label = _text(token.content)
            address = urls.embedded("img", str(token.attrGet("src") or ""))
            out.append(f"![{label}]({address})" if address else label)
    return "".join(out)


def _address(address: str) -> str:
    return re.sub(r"[()\[\]*_~|!$]", lambda found: f"%{ord(found.group()):02X}", address)


def _blocks(tokens: Sequence[Token]) -> str:
    """Block tokens as lines; containers put their mark before each line within."""
    out: list[str] = []
    stack: list[tuple[list[str], str, str]] = []
    numbers: list[int | None] = []
    prefix = ""
    for token in tokens:
        kind = token.type
        if kind == "inline":
            out.append(prefix + _inline(token.children or []).replace("\n", " "))
            prefix = ""
        elif kind == "heading_open":
            prefix = "#" * int(token.tag[1:]) + " "
        elif kind in ("fence", "code_block"):
            body = _entities(token.content).replace(" ", "&#32;")
            out.append(f"<pre><code>{body}</code></pre>\n")
        elif kind == "math_block":
            out.append(re.sub(r"\n(?:[ \t]*\n)+", "\n", _formula(token.content)) + "\n")
        elif kind == "hr":
            out.append("---\n")
        elif kind in ("paragraph_close", "heading_close"):
            out.append("")
        elif kind == "blockquote_open":
            stack.append((out, "> ", "> "))
            out = []
        elif kind in ("bullet_list_open", "ordered_list_open"):
            start = token.attrGet("start")
            numbers.append(None if kind[0] == "b" else int(start if start is not None else 1))
        elif kind in ("bullet_list_close", "ordered_list_close"):
            numbers.pop()
            out.append("")
        elif kind == "list_item_open":
            number = numbers[-1]
            mark = "- " if number is None else f"{number}. "
            if number is not None:
                numbers[-1] = number + 1
            stack.append((out, mark, " " * len(mark)))
            out = []
        elif kind in ("blockquote_close", "list_item_close"):
            inner = "\n".join(out).strip("\n").split("\n")
            out, first, rest = stack.pop()
            out.extend((rest if at else first) + line for at, line in enumerate(inner))
            if kind == "blockquote_close":
                out.append("")
        elif kind == "tr_open":
            stack.append((out, "", ""))
            out = []
        elif kind == "tr_close":
            cells = out
            out, _, _ = stack.pop()
            out.append("| " + " | ".join(cells) + " |")
        elif kind == "thead_close":
            out.append("|" + " --- |" * out[-1].count(" | ") + " --- |")
        elif kind == "table_close":
            out.append("")
    return "\n".join(out).strip("\n") + "\n"
