"""ipykernel's `Session`, writing to the supervisor instead of to ZeroMQ.

ipykernel and its comms, display hook and publisher all end in `Session.send(socket, type, content,
…)`. Here the "sockets" are names, and what is sent is the content alone: header, parent, status
and signature are the supervisor's business.
"""

from __future__ import annotations

from typing import Any, get_args

from ipykernel.jsonutil import json_clean
from jupyter_client.jsonutil import json_default
from jupyter_client.session import Session

from ..shared.codec import MessageTooBig
from ..shared.messages import InputWanted, Output, OutputType, Reply
from .bridge import Link, unread

_OUTPUT_TYPES = frozenset(get_args(OutputType))


class Channel:
    """Stands in for a ZeroMQ socket in ipykernel's calls: a name and nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name


SHELL, IOPUB, STDIN = Channel("shell"), Channel("iopub"), Channel("stdin")


class LinkSession(Session):
    """A `Session` without key, sockets or signature, whose `send` writes to the link."""

    def __init__(self, link: Link, **kwargs: Any) -> None:
        super().__init__(key=b"", username="sandbox", **kwargs)
        self.link = link
        #: msg_ids for which a reply went out; ipykernel sends exactly one each.
        self.replied: set[str] = set()

    def send(  # type: ignore[override]
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """Send what ipykernel publishes or replies; the kernel's own chatter is dropped."""
        if isinstance(msg_or_type, dict):
            message = msg_or_type
            buffers = buffers or message.get("buffers")
        else:
            message = self.msg(
                msg_or_type, content=content, parent=parent, header=header, metadata=metadata
            )
        kind = message["header"]["msg_type"]
        to = str((message.get("parent_header") or {}).get("msg_id", ""))
        raw = [memoryview(b).cast("B") for b in buffers or ()]
        if kind in _OUTPUT_TYPES:
            self._send(self.output(kind, message["content"], message["metadata"]), raw)
        elif kind == "input_request":
            body = message["content"]
            prompt, password = str(body["prompt"]), bool(body["password"])
            self._send(InputWanted(to, prompt, password, body["number"]), ())
        elif kind.endswith("_reply") and getattr(stream, "name", "") == "shell":
            self.replied.add(to)
            self._send(Reply(to, message["content"], message["metadata"]), ())
        return message

    def output(
        self, kind: OutputType, content: dict[str, Any], metadata: dict[str, Any] | None = None
    ) -> Output:
        """An `Output` that says how much of descriptors 1 and 2 was written before it."""
        return Output(kind, content, metadata or {}, (unread(1), unread(2)))

    def _send(self, message: Any, raw: Any) -> None:
        try:
            try:
                self.link.send(message, raw, json_default)
            except (TypeError, ValueError) as error:
                if isinstance(error, MessageTooBig):
                    raise
                # Keys or values that JSON has no form for: ipykernel's own way to clean them.
                self.link.send(type(message)(**json_clean(_fields(message))), raw, json_default)
        except MessageTooBig as error:
            self._send_too_big(message, error)

    def _send_too_big(self, message: Any, error: MessageTooBig) -> None:
        note = f"Output withheld: {error}. Save it to a file, or show a part of it.\n"
        self.link.send(self.output("stream", {"name": "stderr", "text": note}))
        if isinstance(message, Reply):
            body = {"status": "error", "ename": "MessageTooBig", "evalue": str(error)}
            self.link.send(Reply(message.to, {**body, "traceback": [note]}))


def _fields(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}
