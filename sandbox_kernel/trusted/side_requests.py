"""Requests that a busy worker takes beside the cell that runs.

Comm messages are served when the cell awaits, and have no reply. A front end asks whether the next
cell is complete while it is typed, and gets an answer at once, or `unknown` from a worker that
dies over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..shared.messages import Reply
from .channels import Incoming
from .kernel_info import reply_type

if TYPE_CHECKING:
    from .supervisor import Supervisor

_ASKS = "is_complete_request"
_BESIDE = frozenset({_ASKS, "comm_open", "comm_msg", "comm_close"})


class SideRequests:
    """Those of one kernel that wait for their answer."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._waiting: dict[str, Incoming] = {}

    def may_pass(self, request: Incoming) -> bool:
        """Whether it need not wait for the running cell's end."""
        return self._supervisor.current is not None and request.type in _BESIDE

    def pass_on(self, request: Incoming) -> None:
        """Give it to the worker, which works on something else."""
        supervisor = self._supervisor
        if request.type == _ASKS:
            supervisor.channels.status("busy", request.header)
            self._waiting[request.id] = request
        sent = supervisor.send_request(request, 0)
        if sent and supervisor.worker is not None and request.type == _ASKS:
            supervisor.worker.urge()

    def on_reply(self, message: Reply) -> bool:
        """Take the worker's answer to one of them; False when it is none."""
        request = self._waiting.pop(message.to, None)
        if request is None:
            return False
        supervisor, kind = self._supervisor, reply_type(request.type)
        supervisor.channels.reply(request, kind, supervisor.gate.reply(kind, message.content))
        supervisor.channels.status("idle", request.header)
        supervisor.still_busy()
        return True

    def on_gone(self) -> None:
        """The worker is dead: nobody knows."""
        for request in self._waiting.values():
            self._supervisor.channels.reply(request, "is_complete_reply", {"status": "unknown"})
            self._supervisor.channels.status("idle", request.header)
        self._waiting.clear()
