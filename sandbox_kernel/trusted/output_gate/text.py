"""Plain text and terminal colours: what of it a browser or a terminal may get.

Streams, tracebacks and `text/plain` are shown as text by browsers, but a console writes them to
a terminal, where control sequences set titles, fill the clipboard or overwrite earlier lines.
Kept: colours (`ESC [ … m`), erasing the line (`K`), and moving up (`A`), which nested progress
bars use. All else that is not printable goes.
"""

from __future__ import annotations

import re

from .bounds import well_formed

_SUSPECT = re.compile("[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SEQUENCE = re.compile(
    "(\x1b\\[[0-9;:]{0,48}[mAK])"
    "|\x1b\\[[0-?]{0,64}[ -/]{0,8}[@-~]"
    "|\x1b[\\]P^_X][^\x07\x1b]{0,65536}(?:\x07|\x1b\\\\)?"
    "|\x1b[ -/]{0,8}[0-~]?"
    "|[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]"
)


_TURNS = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """`text` without control sequences other than colours, and with no lone surrogate."""
    if _SUSPECT.search(text) is None:
        return text
    return _SEQUENCE.sub(lambda found: found.group(1) or "", well_formed(text))


def one_line(value: object, at_most: int) -> str:
    """Any value as one short printable line, for notes and prompts.

    Marks that turn the reading direction go too: what stands before the value stays before it.
    """
    text = value if isinstance(value, str) else type(value).__name__
    text = plain(text[: at_most + 1])
    text = re.sub("\x1b\\[[0-9;:]*[mAK]", "", text)
    text = re.sub(r"\s+", " ", _TURNS.sub("", text))
    return text if len(text) <= at_most else text[:at_most] + "…"


def shortened(text: str, at_most: int) -> str:
    """`text` cut to `at_most` characters, with a line that says how much was cut."""
    if len(text) <= at_most:
        return text
    return text[:at_most] + f"\n… {len(text) - at_most} characters more"
