"""Asking the person: which question, by which way, and what becomes of the answer.

| who can be asked                                  | how                                          |
|---------------------------------------------------|----------------------------------------------|
| a client that said so (`status` with `answers`)   | event `question`, control command `decide`   |
| the front end of a cell that may use stdin        | `input_request`, worded here                 |
| nobody                                            | no, at once                                  |

Files of one series (`part0.csv`, `part1.csv`, …), and those that the cell's source names, are one
question that lists them: a yes covers what the list shows, and nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..policy import Rights
from .access import file_request
from .capabilities.files.decide import decide as decide_file
from .capabilities.verdict import Denied
from .questions import MOST_SHOWN, Choice, Question, parse_answer, prompt, questions

#: Entries of a folder that are looked at for files of the same series.
_MOST_LISTED = 2000
_DIGITS = re.compile(r"\d+")


def question_for(denied: Denied, rights: Rights, source: str) -> Question | None:
    """The question that a refusal leads to; None when no answer would help.

    `source` is that of the cell that runs.
    """
    if denied.ask is None:
        return None
    together = [denied]
    if denied.kind == "files":
        together += itertools.islice(_of_same_series(denied, rights, source), MOST_SHOWN - 1)
    asked = questions(together, remember=rights.remember)
    return asked[0] if asked else None


def _of_same_series(denied: Denied, rights: Rights, source: str) -> Iterator[Denied]:
    folder, name = os.path.split(denied.resource)
    try:
        with os.scandir(os.path.join(rights.places.folder, folder)) as entries:
            names = sorted(entry.name for entry in itertools.islice(entries, _MOST_LISTED))
    except OSError:
        return
    series = _DIGITS.sub("#", name)
    for other in names:
        if other == name or (_DIGITS.sub("#", other) != series and other not in source):
            continue
        request = file_request(os.path.join(folder, other), denied.action, rights)
        verdict = decide_file(request, rights)
        if isinstance(verdict, Denied) and verdict.ask is not None:
            yield verdict


@dataclass
class Pending:
    """A question that waits for its answer."""

    number: int
    question: Question
    answered: asyncio.Future[Choice]
    #: True when it stands on the cell's stdin channel.
    on_stdin: bool
    extra: dict[str, Any] = field(default_factory=dict)


class Asker:
    """The questions of one kernel that are open now, and what was said to all."""

    def __init__(
        self,
        send_prompt: Callable[[str], bool],
        event: Callable[[str, dict[str, Any]], None],
    ) -> None:
        """`send_prompt` puts a question on the cell's stdin; False when it has none."""
        self._send_prompt = send_prompt
        self._event = event
        self._numbers = itertools.count(1)
        self.pending: dict[int, Pending] = {}
        #: True once a client has said that it answers questions.
        self.client_answers = False
        #: True after "no to all": nothing is asked any more.
        self.silenced = False
        #: Called when stdin has no question of ours any more.
        self.on_free: Callable[[], None] = lambda: None
        self._turn = asyncio.Lock()
        self._cancelled = 0

    async def ask(self, question: Question, timeout: float) -> Choice:
        """Ask and wait `timeout` seconds at most; no answer means no.

        One at a time on stdin: a line that a person types does not say which question it answers.
        """
        if self.client_answers:
            return await self._ask(question, timeout)
        begun = self._cancelled
        async with self._turn:
            if begun != self._cancelled:
                return "no"  # The cell that asked is over.
            return await self._ask(question, timeout)

    async def _ask(self, question: Question, timeout: float) -> Choice:
        if self.silenced:
            return "no"
        number = next(self._numbers)
        future: asyncio.Future[Choice] = asyncio.get_running_loop().create_future()
        if not self.client_answers and not self._send_prompt(prompt(question)):
            return "no"
        pending = Pending(number, question, future, on_stdin=not self.client_answers)
        self.pending[number] = pending
        self._event("question", self.described(pending))
        try:
            async with asyncio.timeout(timeout):
                choice = await future
        except TimeoutError:
            choice = "no"
        finally:
            del self.pending[number]
            self._event("answered", {"id": number})
            if pending.on_stdin:
                self.on_free()
        if choice == "no_to_all":
            self.silenced = True
        return choice

    @staticmethod
    def described(pending: Pending) -> dict[str, Any]:
        """What a client is told about an open question."""
        return {
            "id": pending.number,
            "text": pending.question.text,
            "options": pending.question.options,
        }

    def decide(self, number: int, answer: str) -> bool:
        """A client's answer; False when there is no such question, or no such answer to it."""
        pending = self.pending.get(number)
        if pending is None or answer not in pending.question.choices:
            return False
        if not pending.answered.done():
            pending.answered.set_result(parse_answer(answer, pending.question))
        return True

    @property
    def on_stdin(self) -> Pending | None:
        """The question that the stdin channel waits for, if any."""
        return next((p for p in self.pending.values() if p.on_stdin), None)

    def typed(self, text: str) -> bool:
        """A line came on stdin; True when it was the answer to a question of ours."""
        pending = self.on_stdin
        if pending is None or pending.answered.done():
            return False
        pending.answered.set_result(parse_answer(text, pending.question))
        return True

    def cancel(self) -> None:
        """The cell is interrupted or its worker is gone: all open questions are answered no."""
        self._cancelled += 1
        for pending in self.pending.values():
            if not pending.answered.done():
                pending.answered.set_result("no")
