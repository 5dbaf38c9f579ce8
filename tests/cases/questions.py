"""The answers of a case, given to the questions that its kernels ask on the stdin channel.

There are two kinds of question: a cell's ``input()``, and a permission question, which the
trusted side words. A question for which nothing is armed fails the case.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class Questions:
    """What is armed: `answers` for permission questions, `inputs` for ``input()``."""

    answers: deque[str] = field(default_factory=deque)
    inputs: deque[str] = field(default_factory=deque)
    unexpected: list[str] = field(default_factory=list)

    def answer(self, prompt: str, password: bool) -> str:
        """The armed answer to a question; an unarmed one gets an empty answer and is noted."""
        armed = self.answers if is_permission_question(prompt) else self.inputs
        if not armed:
            self.unexpected.append(f"a question for which nothing is armed: {prompt!r}")
            return "no"
        return armed.popleft()

    def take_unexpected(self) -> list[str]:
        """The unarmed questions since the last call."""
        taken, self.unexpected = self.unexpected, []
        return taken


def is_permission_question(prompt: str) -> bool:
    """Whether the trusted side asks: its wording lists the answers that it takes."""
    text = prompt.lower()
    return "session" in text and "no to all" in text
