"""The last part of what a cell printed after its output limit, so that its end can be read."""

from __future__ import annotations

from collections import deque
from typing import Any

#: Characters of each stream that are kept.
KEPT = 4000


class OutputTail:
    """Keeps the end of each stream of one cell, in bounded space."""

    def __init__(self) -> None:
        self._parts: dict[str, deque[str]] = {}
        self._kept: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def add(self, content: dict[str, Any]) -> None:
        """Text that was not shown: content of a `stream` message; anything else is passed over."""
        name, text = content.get("name"), content.get("text")
        if name not in ("stdout", "stderr") or not isinstance(text, str) or not text:
            return
        parts = self._parts.setdefault(name, deque())
        self._seen[name] = self._seen.get(name, 0) + len(text)
        parts.append(text[-KEPT:])
        self._kept[name] = self._kept.get(name, 0) + len(parts[-1])
        while self._kept[name] - len(parts[0]) >= KEPT:
            self._kept[name] -= len(parts.popleft())

    def take(self) -> list[tuple[str, str]]:
        """(stream name, text) for each stream with something to show, and forget it."""
        shown = []
        for name, parts in self._parts.items():
            text = "".join(parts)[-KEPT:]
            left_out = self._seen[name] - len(text)
            cut = f"\n[… {left_out:,} characters are not shown …]\n" if left_out else ""
            shown.append((name, cut + text))
        self._parts, self._kept, self._seen = {}, {}, {}
        return shown
