"""One request on its way through a worker: what is published for it, and when it is over.

The rules that keep a hostile worker from forging:
- what it says belongs to the request that runs now, whatever it claims; there is no way to speak
  for another one;
- one reply, and only to the running request, of the type that the request has;
- number, echo and shape of the reply are written here, whatever the worker put into it;
- after `Finished` the request is closed; text that comes later goes to the last request as output
  of a background thread, and cannot carry a result or an error.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any

from ..shared.messages import InputWanted
from .channels import Incoming

#: A time in ISO 8601, as ipykernel says when a cell began.
_TIME = re.compile(r"[0-9T:.+Z-]{1,40}")
#: Lines that threads of one cell may want at once; of more, the oldest wait in vain.
_MOST_INPUTS = 64

#: IOPub types that only a running cell may publish.
ONLY_WHILE_RUNNING = frozenset({"execute_result", "error"})
_STATUSES = frozenset({"ok", "error", "aborted"})
_COMPLETENESS = frozenset({"complete", "incomplete", "invalid", "unknown", "error"})


class CellRun:
    """State of one request that the worker works on."""

    def __init__(self, request: Incoming, count: int) -> None:
        self.request = request
        #: Number of the cell, as in `In [3]`; 0 for requests that are no cells.
        self.count = count
        self.reply: dict[str, Any] | None = None
        self.reply_metadata: dict[str, Any] = {}
        self.error: dict[str, Any] | None = None
        self.finished = False
        #: True once the worker was told that the person interrupts this request.
        self.interrupted = False
        #: The `input()` for which the front end owes a line.
        self.waits_for: InputWanted | None = None
        #: True once the cell gave up a prompt, whose line may still come.
        self.dropped_input = False
        #: Lines that the cell wants too, while the person is asked something else.
        self.inputs: deque[InputWanted] = deque(maxlen=_MOST_INPUTS)
        self.on_finished: Callable[[CellRun], None] | None = None

    @property
    def is_cell(self) -> bool:
        """True for `execute_request`."""
        return self.request.type == "execute_request"

    @property
    def silent(self) -> bool:
        """True when the client wants no echo and no counting."""
        return bool(self.request.content.get("silent", False))

    @property
    def stores_history(self) -> bool:
        """True when the cell counts."""
        return not self.silent and bool(self.request.content.get("store_history", True))

    @property
    def sandbox_metadata(self) -> object:
        """The cell's own wishes; they narrow what the notebook may do."""
        return self.request.metadata.get("sandbox")

    @property
    def allows_input(self) -> bool:
        """True when the client can answer `input()`."""
        return bool(self.request.content.get("allow_stdin", False))

    def accept_reply(self, to: str, content: dict[str, Any], metadata: dict[str, Any]) -> bool:
        """Take the worker's reply; False when there was one, or it is for something else."""
        if to != self.request.id or self.reply is not None or self.finished:
            return False
        started = metadata.get("started")
        # The one key that clients use; the rest would pass no gate.
        if isinstance(started, str) and _TIME.fullmatch(started):
            self.reply_metadata = {"started": started}
        self.reply = content
        return True

    def final_reply(self) -> dict[str, Any]:
        """The reply's content, in the shape that the protocol prescribes for its status."""
        content = dict(self.reply or {})
        known = _COMPLETENESS if self.request.type == "is_complete_request" else _STATUSES
        status = content.get("status")
        if not isinstance(status, str) or status not in known:
            content["status"] = "error" if self.is_cell or not self.reply else "ok"
        if not self.is_cell:
            return content
        if content["status"] == "error":
            source = self.error or {}
            for key, kind in (("ename", str), ("evalue", str), ("traceback", list)):
                value = content.get(key, source.get(key))
                if not isinstance(value, kind):
                    value = [] if kind is list else "unknown"
                content[key] = value
        content["execution_count"] = self.count
        content.setdefault("user_expressions", {})
        content.setdefault("payload", [])
        return content
