"""The note that stands where something was withheld.

It says what was withheld, why, and which line of a policy, or which grant, would show it. It is
text with two fixed attributes: nothing of the worker's goes into it but MIME types, module names
and counts, and those only after `one_line`.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from . import latex
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
    return _sentence([withheld], rules)


def _sentence(items: list[Withheld], rules: DisplayRules) -> str:
    """One line for things that the same rule would show."""
    parts = [
        one_line(item.what, 200) + (f" ({one_line(item.why, 200)})" if item.why else "")
        for item in items[:MOST_NAMED]
    ]
    if len(items) > MOST_NAMED:
        parts.append(f"{len(items) - MOST_NAMED} more")
    text = f"Withheld: {'; '.join(parts)}."
    key, value = items[0].key, items[0].value
    if key:
        where = f", {one_line(rules.origin, 200)}" if rules.origin else ""
        text += (
            f' The policy has [display] {key} = "{getattr(rules, key)}"{where}; [display] '
            f'{key} = "{value}" shows it, as does a display grant of that for this notebook.'
        )
    return text


def as_html(items: list[Withheld], rules: DisplayRules) -> str:
    """The notes as one block of inert HTML, a line for each rule; empty for none."""
    by_rule: dict[tuple[str, str], list[Withheld]] = {}
    for item in dict.fromkeys(items):
        by_rule.setdefault((item.key, item.value), []).append(item)
    lines = "".join(
        f"<div>{html.escape(latex.disarm(_sentence(some, rules)))}</div>"
        for some in by_rule.values()
    )
    return f'<div style="{STYLE}" role="note">{lines}</div>' if lines else ""


MOST_NAMED = 8
STYLE = "border-left: 3px solid #b8860b; padding: 2px 8px; font-size: 90%; opacity: 0.85"
