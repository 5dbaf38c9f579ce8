"""The control channel: answered at once, also while a cell runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..shared.messages import Answer, Question
from .channels import Incoming

if TYPE_CHECKING:
    from .supervisor import Supervisor


class Control:
    """Handles requests on the control channel for one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def handle(self, request: Incoming) -> None:
        """Called for each message on the control channel."""
        match request.type:
            case "kernel_info_request":
                self._supervisor.answer(request, self._supervisor.kernel_info())
            case "interrupt_request":
                self._supervisor.interrupt()
                self._supervisor.answer(request, {"status": "ok"})
            case "usage_request":
                self._supervisor.answer(request, self._supervisor.watch.usage_reply())
            case "shutdown_request":
                self._shutdown(request)
            case kind:
                text = f"{kind:.100} is not known on the control channel of this kernel"
                self._supervisor.answer(request, _unknown(text))

    def _shutdown(self, request: Incoming) -> None:
        content = {"status": "ok", "restart": bool(request.content.get("restart", False))}
        self._supervisor.answer(request, content)
        self._supervisor.channels.publish("shutdown_reply", content, request.header)
        self._supervisor.stop()

    def on_question(self, question: Question) -> None:
        """Called when a cell asks about its rights."""
        worker = self._supervisor.worker
        if worker is not None:
            body = {"error": f"{question.command:.100} is not a question that can be asked here"}
            worker.send(Answer(question.number, body))


def _unknown(text: str) -> dict[str, Any]:
    return {"status": "error", "ename": "UnknownRequest", "evalue": text, "traceback": [text]}
