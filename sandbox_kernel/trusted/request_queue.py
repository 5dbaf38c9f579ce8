"""Requests that wait for the worker, in the order in which they came."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .channels import Incoming
from .side_requests import SideRequests

if TYPE_CHECKING:
    from .supervisor import Supervisor


class RequestQueue:
    """Those of one kernel; `beside` are the ones that a busy worker takes all the same."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._waiting: deque[Incoming] = deque()
        self.beside = SideRequests(supervisor)

    def add(self, request: Incoming) -> None:
        """Take a request for the worker."""
        if self.beside.may_pass(request):
            self.beside.pass_on(request)
        else:
            self._waiting.append(request)
            self.next()

    def next(self) -> None:
        """Start the oldest one, if the worker is free."""
        supervisor = self._supervisor
        while self._waiting and supervisor.current is None and supervisor.keeper.takes_requests:
            supervisor.begin(self._waiting.popleft())
        for request in [each for each in self._waiting if each.type == "is_complete_request"]:
            if supervisor.current is not None:
                self._waiting.remove(request)  # It came while the worker started.
                self.beside.pass_on(request)

    def take_sent_cells(self) -> list[Incoming]:
        """Remove the cells that clients sent before they could see that one failed."""
        self._supervisor.channels.drain("shell")
        cells = [request for request in self._waiting if request.type == "execute_request"]
        self._waiting = deque(request for request in self._waiting if request not in cells)
        return cells
