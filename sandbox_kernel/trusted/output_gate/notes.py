"""The note that stands where something was withheld.

It says what was withheld, why, and which line of a policy, or which grant, would show it. It is
text with two fixed attributes: nothing of the worker's goes into it but MIME types, module names
and counts, and those only after `one_line`.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from .rules import DisplayRules
from .text import one_line


@dataclass(frozen=True)
class Withheld:
    """Something that is not shown. `key` and `value` name the display rule that would show it.

    `key` is empty when no rule would, because the data itself is bad.
    """

    what: str
    why: str = ""
    key: str = ""
    value: str = ""


def sentence(withheld: Withheld, rules: DisplayRules) -> str:
    """The note as one line of text."""
    text = f"Withheld: {one_line(withheld.what, 200)}"
    if withheld.why:
        text += f" ({one_line(withheld.why, 200)})"
    if withheld.key:
        now = getattr(rules, withheld.key)
        where = f", {one_line(rules.origin, 200)}" if rules.origin else ""
        text += (
            f'. The policy has [display] {withheld.key} = "{now}"{where}; it is shown with '
            f'[display] {withheld.key} = "{withheld.value}", or after a display grant of that '
            "for this notebook"
        )
    return text + "."


def as_html(items: list[Withheld], rules: DisplayRules) -> str:
    """The notes as one block of inert HTML; empty for none."""
    unique = list(dict.fromkeys(sentence(item, rules) for item in items))
    if not unique:
        return ""
    more = "" if len(unique) <= 8 else f"<div>… and {len(unique) - 8} more.</div>"
    lines = "".join(f"<div>{html.escape(line)}</div>" for line in unique[:8]) + more
    return f'<div style="{STYLE}" role="note">{lines}</div>'


STYLE = "border-left: 3px solid #b8860b; padding: 2px 8px; font-size: 90%; opacity: 0.85"
