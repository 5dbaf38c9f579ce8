"""Markdown of strangers, shown in a page that carries the reader's login.

nbgrader's feedback and its formgrader render a submission's Markdown cells with raw HTML in it: a
script there runs when the teacher opens the page. Here it is rendered as before and then reduced
to harmless elements.
"""

from __future__ import annotations

from typing import Any

import nh3
from jinja2 import pass_context
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from sandbox_kernel.trusted.output_gate import latex

_TAGS = frozenset(nh3.ALLOWED_TAGS) | {"img", "input"}
_ATTRIBUTES = {
    **{tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()},
    "img": {"src", "alt", "title", "width", "height"},
    "span": {"class"},
    "div": {"class"},
    "pre": {"class"},
    "code": {"class"},
    "input": {"type", "checked", "disabled"},
    **{f"h{level}": {"id"} for level in range(1, 7)},
}
_PICTURES = ("data:image/png", "data:image/jpeg", "data:image/gif", "data:image/svg+xml;base64")


def _attribute(tag: str, name: str, value: str) -> str | None:
    if value.strip().lower().startswith("data:") and not (
        (tag, name) == ("img", "src") and value.startswith(_PICTURES)
    ):
        return None
    if tag == "input" and name == "type":
        return value if value == "checkbox" else None
    return value


def inert(html: str) -> str:
    """`html` with harmless elements only; formulas stay, but for macros that act."""
    cleaned = nh3.clean(
        html,
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "data"},
    )
    return latex.disarm(cleaned)


@pass_context
def inert_markdown(context: Any, source: str) -> str:
    """The filter `markdown2html` of nbconvert's HTML exporters; called by their templates."""
    attachments = (context.get("cell") or {}).get("attachments", {})
    renderer = IPythonRenderer(escape=False, attachments=attachments)
    return inert(MarkdownWithMath(renderer=renderer).render(source))
