"""How costly an HTML text would be to parse, told in one linear pass.

An HTML parser's work grows with the number of open elements at each tag; a few kilobytes of
unclosed `<b>` keep one busy for minutes (html5ever, which nh3 uses, took 150 s for 200,000
nested `<div>`). So elements left open are counted before the parser sees the text.
"""

from __future__ import annotations

import re

from .wordlists import words

MAX_OPEN = 200
MAX_WORK = 20_000_000
"""Sum over all tags of the elements open at that tag."""

MAX_ATTRIBUTES = 1_000
"""Of one element. The parser compares each with all before it."""

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_NOT_COUNTED = (
    # Void, or closed by the next one of their kind: HTML leaves these unclosed quite normally.
    words(
        "area base br col embed hr img input link meta param source track wbr p li dt dd "
        "tr td th thead tbody tfoot option optgroup colgroup rp rt"
    )
)

# What an HTML tokenizer takes for one attribute; possessive, so that no input backtracks. The
# bounds on lengths only make more attributes of a long one, which errs on the safe side.
_ATTRIBUTE = (
    r"(?>[\s/]*[^\s/>][^\s/>=]{0,500}+"
    r"(?>\s*=\s*(?>\"[^\"]*\"|'[^']*'|[^\s>\"'][^\s>]{0,500}+)|))"
)
_CROWDED = re.compile(r"<[a-zA-Z][^\s/>]{0,200}+" + _ATTRIBUTE + f"{{{MAX_ATTRIBUTES}}}+")


def too_many_attributes(html: str) -> bool:
    """Whether some element may have `MAX_ATTRIBUTES` attributes or more."""
    return len(html) > 2 * MAX_ATTRIBUTES and _CROWDED.search(html) is not None


def too_deep(html: str) -> bool:
    """Whether more than `MAX_OPEN` elements are open at once, or the work is out of bounds."""
    if html.count("<") <= MAX_OPEN:
        return False
    still_open: dict[str, int] = {}
    depth = 0
    work = 0
    for found in _TAG.finditer(html):
        closing, name = found.groups()
        name = name.lower()
        work += depth
        if name in _NOT_COUNTED:
            continue
        if not closing:
            depth += 1
            still_open[name] = still_open.get(name, 0) + 1
            if depth > MAX_OPEN:
                return True
        elif still_open.get(name, 0):
            still_open[name] -= 1
            depth -= 1
    return work > MAX_WORK
