"""The output gate: everything of a worker's that a front end gets passes here.

One gate per kernel, in the trusted process. It decides each message by `IOPUB_RULES`, each MIME
type by `MIME_RULES`, and counts. It takes whatever a worker sends, of any type and size, and
answers with messages that are safe to send; it raises nothing of its own on worker data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from . import replies
from .bounds import MAX_DEPTH, size_in_words, text_size
from .bundle import BundleGate, without_library
from .comms import CommGate
from .notes import Withheld, as_html, sentence
from .rules import DisplayRules, Outgoing, OutputCaps, SessionCaps
from .text import one_line, plain
from .widgets import Refused

_log = logging.getLogger(__name__)

MAX_DISPLAY_ID = 256
MAX_PROMPT = 1_000
MAX_REPLY = 20_000_000


_Handler = Callable[[dict[str, Any], dict[str, Any], list[bytes]], list[Outgoing]]


class OutputGate:
    """Decides what of a worker's messages may be sent.

    The supervisor calls `begin_cell` before it hands a request to the worker, then `iopub`,
    `reply` and `input_request` for what comes back. `rules` may be replaced at any time with
    `set_rules`, when a display grant comes or goes.
    """

    def __init__(self, rules: DisplayRules, session: SessionCaps | None = None) -> None:
        self._session = session or SessionCaps()
        self._comms = CommGate(
            lambda: self.rules,
            self._session,
            lambda text: self._bundles.clean_html(text),
            self._clean_outputs,
        )
        self._bundles = BundleGate(rules, self._comms.model_known, self._comms.refused_model)
        self._displays: set[str] = set()
        self._handlers: dict[str, _Handler] = {
            "display_data": self._display_data,
            "execute_result": self._execute_result,
            "update_display_data": self._update_display,
            "error": self._error,
            "clear_output": self._clear_output,
            "comm_open": lambda content, metadata, buffers: self._comms.opened(content, buffers),
            "comm_msg": lambda content, metadata, buffers: self._comms.message(content, buffers),
            "comm_close": lambda content, metadata, buffers: self._comms.closed(content),
        }
        self.begin_cell("", OutputCaps())

    @property
    def rules(self) -> DisplayRules:
        """The display rules that hold now."""
        return self._bundles.rules

    def set_rules(self, rules: DisplayRules) -> None:
        """From now on decide by `rules`; what was sent stays."""
        self._bundles.rules = rules

    # ---- one cell

    def begin_cell(self, parent_id: str, caps: OutputCaps) -> None:
        """Start counting anew: request `parent_id` is handed to the worker."""
        self._caps = caps
        self._comms.begin_cell(parent_id)
        self.used = 0
        """Bytes that this cell has put out, and that were let through."""
        self._messages = self._outputs = self._comm_messages = 0
        self._told_displays = False
        self.exceeded: str | None = None
        """The sentence that told the limit's end, once the cell has passed it; else None."""

    def raise_limit(self, caps: OutputCaps) -> None:
        """The limit was raised while the cell runs: what it had used stays counted."""
        self._caps = caps
        self.exceeded = None

    def iopub(
        self, msg_type: str, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> list[Outgoing]:
        """What may be sent for an iopub message of the worker, in order; empty: nothing."""
        if self.exceeded is not None:
            return []
        if msg_type == "stream":
            return self._stream(content)
        handler = self._handlers.get(msg_type) if isinstance(msg_type, str) else None
        if handler is None:
            return []
        try:
            if not isinstance(content, dict):
                return [self._note(Withheld("an output", "its content is not an object"))]
            content = without_library(content, self.rules)
            over = self._count(content, buffers, comm=msg_type.startswith("comm_"))
            if over:
                return over
            return handler(content, metadata, buffers)
        except Refused as refused:
            return [self._note(refused.withheld)]
        except Exception:
            # A fault of this gate's must not let anything through, nor end the kernel.
            _log.exception("output gate: %s could not be decided", msg_type)
            return [self._note(Withheld("an output", "it could not be checked"))]

    def _stream(self, content: dict[str, Any]) -> list[Outgoing]:
        text = content.get("text") if isinstance(content, dict) else None
        if not isinstance(text, str) or not text:
            return []
        name = "stderr" if content.get("name") == "stderr" else "stdout"
        size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        self._messages += 1
        if self.used + size > self._caps.output or self._messages > self._caps.messages:
            room = max(self._caps.output - self.used, 0)
            shown = text[: room if text.isascii() else room // 4]
            out = [Outgoing("stream", {"name": name, "text": plain(shown)})] if shown else []
            self.used += room
            return [*out, *self._stop()]
        self.used += size
        return [Outgoing("stream", {"name": name, "text": plain(text)})]

    def _count(self, content: dict[str, Any], buffers: Any, *, comm: bool) -> list[Outgoing]:
        """Count a message; a non-empty answer is sent in its place."""
        if comm:
            self._comm_messages += 1
        else:
            self._messages += 1
        room = self._caps.output - self.used
        raw = sum(len(each) for each in buffers) if buffers else 0
        size = text_size(content, room + 1 - raw) if raw <= room else None
        if size is None and raw <= room and text_size(content, 1 << 40) is None:
            return [self._note(Withheld("an output", f"not JSON, or deeper than {MAX_DEPTH}"))]
        over = size is None or size + raw > room
        if (
            over
            or self._messages > self._caps.messages
            or self._comm_messages > self._caps.comm_messages
        ):
            return self._stop()
        self.used += (size or 0) + raw
        return []

    def _stop(self) -> list[Outgoing]:
        limit = self._caps.output_text or size_in_words(self._caps.output)
        if self._messages > self._caps.messages:
            over = f"{self._caps.messages} messages"
        elif self._outputs > self._caps.outputs:
            over = f"{self._caps.outputs} outputs"
        elif self._comm_messages > self._caps.comm_messages:
            over = f"{self._caps.comm_messages} widget messages"
        else:
            over = f"output = {limit}"
        self.exceeded = (
            f"output limit: this cell has put out all that [limits] allows ({over}); "
            f"the rest is not shown. A higher [limits] output (now {limit}) in the policy or in "
            "the notebook's metadata shows more"
        )
        return [Outgoing("stream", {"name": "stderr", "text": f"\n[{self.exceeded}]\n"})]

    def _note(self, withheld: Withheld) -> Outgoing:
        data = {
            "text/plain": sentence(withheld, self.rules),
            "text/html": as_html([withheld], self.rules),
        }
        return Outgoing("display_data", {"data": data, "metadata": {}, "transient": {}})

    # ---- displays

    def _shown(self, content: dict[str, Any]) -> dict[str, Any]:
        data, metadata = self._bundles.decide(content.get("data"), content.get("metadata"))
        return {"data": data, "metadata": metadata}

    def _display_data(
        self, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> list[Outgoing]:
        self._outputs += 1
        if self._outputs > self._caps.outputs:
            return self._stop()
        display = _display_id(content)
        transient = {}
        after: list[Outgoing] = []
        if display is not None and self._remember_display(display):
            transient = {"display_id": display}
        elif display is not None and not self._told_displays:
            self._told_displays = True
            text = f"[displays limit: {self._caps.displays} are open; this one cannot be updated]\n"
            after = [Outgoing("stream", {"name": "stderr", "text": text})]
        return [Outgoing("display_data", {**self._shown(content), "transient": transient}), *after]

    def _execute_result(
        self, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> list[Outgoing]:
        sent, *after = self._display_data(content, metadata, buffers)
        if sent.msg_type != "display_data":
            return [sent]
        count = content.get("execution_count")
        count = count if isinstance(count, int) and not isinstance(count, bool) else 0
        return [Outgoing("execute_result", {**sent.content, "execution_count": count}), *after]

    def _update_display(
        self, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> list[Outgoing]:
        display = _display_id(content)
        if display is None or display not in self._displays:
            return []
        transient = {"display_id": display}
        return [Outgoing("update_display_data", {**self._shown(content), "transient": transient})]

    def _remember_display(self, display: str) -> bool:
        if display not in self._displays and len(self._displays) >= self._caps.displays:
            return False
        self._displays.add(display)
        return True

    def _error(
        self, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> list[Outgoing]:
        return [Outgoing("error", replies.error_fields(content))]

    def _clear_output(
        self, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> list[Outgoing]:
        return [Outgoing("clear_output", {"wait": content.get("wait") is True})]

    # ---- widgets

    def client_closed(self, comm_id: str) -> None:
        """The front end closed a comm."""
        self._comms.forget(comm_id)

    def _clean_outputs(self, outputs: list[Any]) -> list[Any]:
        """The outputs that an Output widget holds, in nbformat's form."""
        kept: list[Any] = []
        for each in outputs[: self._caps.outputs]:
            kind = each.get("output_type") if isinstance(each, dict) else None
            if kind == "stream":
                name = "stderr" if each.get("name") == "stderr" else "stdout"
                text = each.get("text")
                if isinstance(text, list):
                    text = "".join(line for line in text if isinstance(line, str))
                text = plain(text) if isinstance(text, str) else ""
                kept.append({"output_type": kind, "name": name, "text": text})
            elif kind in ("display_data", "execute_result"):
                shown = {"output_type": kind, **self._shown(each)}
                if kind == "execute_result":
                    shown["execution_count"] = None
                kept.append(shown)
            elif kind == "error":
                kept.append({"output_type": kind, **replies.error_fields(each)})
        return kept

    # ---- replies

    def reply(self, msg_type: str, content: dict[str, Any]) -> dict[str, Any]:
        """The content of a reply as it may be sent, for the types of `replies.RULES`."""
        if not isinstance(content, dict) or text_size(content, MAX_REPLY) is None:
            content = {"status": "error", "ename": "ReplyTooLarge", "evalue": "it is left out"}
        if msg_type == "comm_info_reply":
            targets = self._comms.targets()
            return {
                "status": "ok",
                "comms": {comm: {"target_name": target} for comm, target in targets.items()},
            }
        rule = replies.RULES.get(msg_type)
        try:
            if rule is not None:
                return rule(content, self._bundles.decide)
        except Exception:
            _log.exception("output gate: %s could not be decided", msg_type)
        return {
            "status": "error",
            "ename": "ReplyWithheld",
            "evalue": f"the worker's {one_line(msg_type, 60)} is not one that is sent",
            "traceback": [],
        }

    def input_request(self, prompt: str, password: bool) -> tuple[str, bool]:
        """The prompt as a person sees it: marked as the cell's words, one line of text."""
        words = one_line(prompt, MAX_PROMPT).strip() if isinstance(prompt, str) else ""
        secret = password is True
        mark = "[the cell asks for a password] " if secret else "[cell] "
        return mark + words + (" " if words else ""), secret


def _display_id(content: dict[str, Any]) -> str | None:
    transient = content.get("transient")
    display = transient.get("display_id") if isinstance(transient, dict) else None
    if isinstance(display, str) and 0 < len(display) <= MAX_DISPLAY_ID and display.isprintable():
        return display
    return None
