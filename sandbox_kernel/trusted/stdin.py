"""The stdin channel: one prompt at a time, the cell's or ours, and to which a line is the answer.

Rules in prose:

1. One prompt stands at a time. Two would be answered in an order that the cell may choose: a line
   meant for the cell's own words could become the answer to a question about its rights.
2. A line answers the prompt that stands. One that names another prompt (as JupyterLab's do, in
   the parent header) came too late and is dropped.
3. Not every client names the prompt. So a cell that gave up a prompt of its own, whose line may
   still come, is asked nothing about its rights here.
4. What the cell asks is marked as the cell's words by the output gate.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ..shared.messages import InputDropped, InputGiven, InputWanted
from .cell_run import CellRun
from .channels import Incoming
from .output_gate.gate import MAX_PROMPT

if TYPE_CHECKING:
    from .supervisor import Supervisor


class Stdin:
    """The prompts of one kernel. All methods belong to the loop's thread."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        #: msg_id of the last `input_request`.
        self._sent = ""

    def ask(self, text: str) -> bool:
        """Put a question of ours on the running cell's stdin; False when it has none."""
        run = self._supervisor.current
        if run is None or not run.allows_input or run.waits_for is not None or run.dropped_input:
            return False
        self._prompt(run, text, False)
        return True

    def _prompt(self, run: CellRun, text: str, password: bool) -> None:
        content = {"prompt": text, "password": password}
        self._sent = self._supervisor.channels.reply(
            run.request, "input_request", content, channel="stdin"
        )

    def on_reply(self, message: Incoming) -> None:
        """Called for what a client sends on stdin."""
        run, value = self._supervisor.current, message.content.get("value", "")
        if message.type != "input_reply" or run is None or not isinstance(value, str):
            return
        if message.prompt not in ("", self._sent):
            return
        permissions = self._supervisor.permissions
        if permissions is not None and permissions.asker.typed(value):
            return
        wanted = run.waits_for
        if wanted is None:
            return
        self._stop_waiting(run)
        if self._supervisor.worker is not None:
            self._supervisor.worker.send(InputGiven(run.request.id, value, wanted.number))
        self.next()

    def on_wanted(self, message: InputWanted) -> None:
        """Called when the cell wants a line."""
        run = self._supervisor.current
        if run is None or message.to != run.request.id or not run.allows_input:
            return
        # Nothing longer is shown, and many may wait.
        run.inputs.append(replace(message, prompt=message.prompt[: MAX_PROMPT + 1]))
        self.next()

    def on_dropped(self, message: InputDropped) -> None:
        """Called when the cell was interrupted while it waited for a line."""
        run = self._supervisor.current
        if run is None or message.to != run.request.id:
            return
        run.dropped_input = True
        run.inputs = deque((w for w in run.inputs if w.number != message.number), run.inputs.maxlen)
        if run.waits_for is not None and run.waits_for.number == message.number:
            self._stop_waiting(run)
            self.next()

    def end_cell(self) -> None:
        """Called when a cell is over: a prompt that has not reached the client is not sent."""
        self._supervisor.channels.withdraw_prompt()

    def next(self) -> None:
        """Ask the person for a line that the cell wants, unless another question stands."""
        run = self._supervisor.current
        if run is None or run.waits_for is not None or not run.inputs:
            return
        permissions = self._supervisor.permissions
        if permissions is not None and permissions.asker.on_stdin is not None:
            return
        message = run.inputs.popleft()
        run.waits_for = message
        self._supervisor.watch.asks_person(True)
        self._prompt(run, *self._supervisor.gate.input_request(message.prompt, message.password))

    def _stop_waiting(self, run: CellRun) -> None:
        run.waits_for = None
        self._supervisor.channels.withdraw_prompt()
        self._supervisor.watch.asks_person(False)
