"""The output gate: everything of a worker's that a front end gets passes here.

One gate per kernel, in the trusted process. It decides each message by `IOPUB_RULES`, each MIME
type by `MIME_RULES`, and counts. It takes whatever a worker sends, of any type and size, and
answers with messages that are safe to send; it raises nothing of its own on worker data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from . import replies, widgets
from .bounds import MAX_DEPTH, clean_json, size_in_words, text_size
from .bundle import BundleGate
from .notes import Withheld, as_html, sentence
from .rules import DisplayRules, Outgoing, OutputCaps, SessionCaps
from .text import one_line, plain
from .widgets import Model, Refused

_log = logging.getLogger(__name__)

MAX_DISPLAY_ID = 256
MAX_PROMPT = 1_000
MAX_REPLY = 20_000_000
MAX_REFUSED_MODELS = 2_000


_Handler = Callable[[dict[str, Any], dict[str, Any], list[bytes]], list[Outgoing]]


class OutputGate:
    """Decides what of a worker's messages may be sent.

    The supervisor calls `begin_cell` before it hands a request to the worker, then `iopub`,
    `reply` and `input_request` for what comes back. `rules` may be replaced at any time with
    `set_rules`, when a display grant comes or goes.
    """

    def __init__(self, rules: DisplayRules, session: SessionCaps | None = None) -> None:
        self._session = session or SessionCaps()
        self._bundles = BundleGate(rules, self._model_known, self._refused_model)
        self._displays: set[str] = set()
        self._comms: dict[str, Model] = {}
        self._refused: dict[str, Withheld] = {}
        self._states = widgets.StateRules(
            self._comms, self._bundles.clean_html, self._clean_outputs
        )
        self._handlers: dict[str, _Handler] = {
            "display_data": self._display_data,
            "execute_result": self._execute_result,
            "update_display_data": self._update_display,
            "error": self._error,
            "clear_output": self._clear_output,
            "comm_open": self._comm_open,
            "comm_msg": self._comm_msg,
            "comm_close": self._comm_close,
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
        self._states.own_parent = parent_id
        self.used = 0
        """Bytes that this cell has put out, and that were let through."""
        self._messages = self._outputs = self._comm_messages = 0
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
            over = self._count(content, buffers, comm=msg_type.startswith("comm_"))
            if over:
                return over
            return handler(content, metadata, buffers)
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
        if display is not None and self._remember_display(display):
            transient = {"display_id": display}
        return [Outgoing("display_data", {**self._shown(content), "transient": transient})]

    def _execute_result(
        self, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> list[Outgoing]:
        [sent] = self._display_data(content, metadata, buffers)
        if sent.msg_type != "display_data":
            return [sent]
        count = content.get("execution_count")
        count = count if isinstance(count, int) and not isinstance(count, bool) else 0
        return [Outgoing("execute_result", {**sent.content, "execution_count": count})]

    def _update_display(
        self, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> list[Outgoing]:
        display = _display_id(content)
        if display is None or display not in self._displays:
            return []
        transient = {"display_id": display}
        return [Outgoing("update_display_data", {**self._shown(content), "transient": transient})]

    def _remember_display(self, display: str) -> bool:
        if display not in self._displays and len(self._displays) >= self._session.display_ids:
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

    def _model_known(self, model_id: str) -> bool:
        return self.rules.widgets != "off" and model_id in self._comms

    def _refused_model(self, model_id: str) -> Withheld:
        if self.rules.widgets == "off":
            return Withheld("a widget", "widgets are off", "widgets", "core")
        return self._refused.get(model_id) or Withheld("a widget", "its model was not let through")

    def _comm_open(
        self, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> list[Outgoing]:
        comm_id = content.get("comm_id")
        if not widgets.is_comm_id(comm_id):
            return []
        comm = str(comm_id)
        try:
            return [self._opened(comm, content, buffers)]
        except Refused as refused:
            if len(self._refused) < MAX_REFUSED_MODELS:
                self._refused[comm] = refused.withheld
            return []

    def _opened(self, comm: str, content: dict[str, Any], buffers: list[bytes]) -> Outgoing:
        rule = self.rules.widgets
        target = one_line(content.get("target_name"), 200)
        if rule == "off":
            raise Refused(Withheld("a widget", "widgets are off", "widgets", "core"))
        if comm in self._comms:
            raise Refused(Withheld("a widget", "its id is in use"))
        if len(self._comms) >= self._session.comms:
            raise Refused(Withheld("a widget", f"{self._session.comms} are open"))
        data = content.get("data")
        data = data if isinstance(data, dict) else {}
        state = data.get("state")
        core = target == "jupyter.widget" and isinstance(state, dict)
        if rule != "any" and not core:
            raise Refused(Withheld(f"a comm of {target}", "not ipywidgets' own", "widgets", "any"))
        model = Model(target)
        if core and isinstance(state, dict):
            try:
                model.name = self._states.check_class(state)
            except Refused:
                if rule != "any":
                    raise
        if model.name and isinstance(state, dict):
            widgets.check_buffers(data.get("buffer_paths"), buffers, lambda path: model.name)
            clean = self._states.clean(state, model, opening=True)
            data = {"state": clean, "buffer_paths": clean_json(data.get("buffer_paths") or [])}
        else:
            data = clean_json(data)
        self._comms[comm] = model
        return Outgoing(
            "comm_open",
            {"comm_id": comm, "target_name": target, "data": data},
            {"version": "2.1.0"} if target == "jupyter.widget" else {},
            list(buffers),
        )

    def _comm_msg(
        self, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> list[Outgoing]:
        comm, data = content.get("comm_id"), content.get("data")
        if self.rules.widgets == "off" or not widgets.is_comm_id(comm):
            return []
        if not isinstance(data, dict):
            return []
        model = self._comms.get(str(comm))
        try:
            if model is None:
                cleaned = self._all_states(data, buffers)
            elif model.name:
                cleaned = self._core_message(data, model, buffers)
            elif self.rules.widgets == "any":
                cleaned = clean_json(data)
            else:
                return []
        except Refused as refused:
            return [self._note(refused.withheld)]
        if cleaned is None:
            return []
        return [Outgoing("comm_msg", {"comm_id": comm, "data": cleaned}, {}, list(buffers))]

    def _core_message(
        self, data: dict[str, Any], model: Model, buffers: list[bytes]
    ) -> dict[str, Any] | None:
        method, state = data.get("method"), data.get("state")
        if method in ("update", "echo_update") and isinstance(state, dict):
            widgets.check_buffers(data.get("buffer_paths"), buffers, lambda path: model.name)
            return {
                "method": method,
                "state": self._states.clean(state, model, opening=False),
                "buffer_paths": clean_json(data.get("buffer_paths") or []),
            }
        inner = data.get("content")
        if method == "custom" and isinstance(inner, dict) and inner.get("do") in ("focus", "blur"):
            return {"method": "custom", "content": {"do": inner["do"]}}
        return None

    def _all_states(self, data: dict[str, Any], buffers: list[bytes]) -> dict[str, Any] | None:
        """The answer to a front end that asks for every model, on the comm that it opened."""
        states = data.get("states")
        if data.get("method") != "update_states" or not isinstance(states, dict):
            return None
        kept: dict[str, Any] = {}
        for comm, entry in states.items():
            model = self._comms.get(comm)
            state = entry.get("state") if isinstance(entry, dict) else None
            if model is None or not isinstance(state, dict):
                continue
            if model.name:
                kept[comm] = {
                    "model_name": model.name,
                    "model_module": state.get("_model_module"),
                    "model_module_version": state.get("_model_module_version"),
                    "state": self._states.clean(state, model, opening=True),
                }
            elif self.rules.widgets == "any":
                kept[comm] = clean_json(entry)

        def owner(path: list[Any]) -> str:
            model = self._comms.get(path[0]) if isinstance(path[0], str) else None
            return model.name if model else "unknown"

        widgets.check_buffers(data.get("buffer_paths"), buffers, owner)
        return {
            "method": "update_states",
            "states": kept,
            "buffer_paths": clean_json(data.get("buffer_paths") or []),
        }

    def _comm_close(
        self, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> list[Outgoing]:
        comm = content.get("comm_id")
        if not widgets.is_comm_id(comm) or self._comms.pop(str(comm), None) is None:
            return []
        return [Outgoing("comm_close", {"comm_id": comm, "data": {}})]

    def client_closed(self, comm_id: str) -> None:
        """The front end closed a comm."""
        self._comms.pop(comm_id, None)

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
            comms = {} if self.rules.widgets == "off" else self._comms
            return {
                "status": "ok",
                "comms": {comm: {"target_name": model.target} for comm, model in comms.items()},
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
