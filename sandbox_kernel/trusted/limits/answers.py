"""The time that a person takes to answer a cell's questions, which is not the cell's. Pure."""

from __future__ import annotations


class Answers:
    """Adds up over the life of a kernel; times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = None

    def wait(self, waits: bool, now: float) -> None:
        """The cell has asked something, or has the answer."""
        if waits and self._since is None:
            self._since = now
        elif not waits and self._since is not None:
            self._before += now - self._since
            self._since = None

    def stop(self) -> None:
        """Nobody waits for what the last cell asked; that time does not count for the next."""
        self._since = None

    def waited(self, now: float) -> float:
        """All of it until now."""
        return self._before + (0.0 if self._since is None else now - self._since)
