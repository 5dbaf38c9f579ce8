"""Plain ipykernel behind the output gate and behind nothing else.

For tests only: it shows what the gate alone keeps, with every other wall switched off, and it
takes its display rules from its arguments, where the product takes them from a policy.

    python -m tests.browser.gated_kernel '{"html": "frame"}' -f CONNECTION_FILE
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from jupyter_client.session import Session, extract_header

from sandbox_kernel.trusted.output_gate import DisplayRules, OutputCaps, OutputGate
from sandbox_kernel.trusted.output_gate.replies import RULES as REPLIES
from sandbox_kernel.trusted.output_gate.rules import IOPUB_RULES


class GatedSession(Session):
    """Sends iopub messages and replies only as the gate lets them through."""

    gate: OutputGate
    _begun = ""

    def send(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        *rest: Any,
        **options: Any,
    ) -> Any:
        if not isinstance(msg_or_type, str):
            kind, content = msg_or_type["header"]["msg_type"], msg_or_type["content"]
            parent = msg_or_type.get("parent_header") or parent
            options.setdefault("metadata", msg_or_type.get("metadata"))
        else:
            kind = msg_or_type
        request = (extract_header(parent) if parent else {}).get("msg_id", "")
        if request != self._begun:
            self._begun = request
            self.gate.begin_cell(request, OutputCaps())
        if kind in REPLIES:
            content = self.gate.reply(kind, content)
            return super().send(stream, kind, content, parent, *rest, **options)
        if kind not in IOPUB_RULES:
            return super().send(stream, kind, content, parent, *rest, **options)
        buffers = [bytes(each) for each in options.pop("buffers", None) or []]
        metadata = options.pop("metadata", None) or {}
        sent = None
        for out in self.gate.iopub(kind, content, metadata, buffers):
            sent = super().send(
                stream,
                out.msg_type,
                out.content,
                parent,
                *rest,
                metadata=out.metadata,
                buffers=out.buffers,
                **options,
            )
        return sent


class GatedApp(IPKernelApp):
    rules = DisplayRules()

    def _session_default(self) -> Session:
        session = GatedSession(parent=self, username="kernel")
        session.gate = OutputGate(self.rules)
        return session


def main(argv: list[str]) -> None:
    GatedApp.rules = DisplayRules(**json.loads(argv[0]))
    GatedApp.launch_instance(argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
