"""What can be asked of the display."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DisplayRequest:
    """Showing output at a level: `what` is html, javascript or widgets."""

    what: str
    level: str
