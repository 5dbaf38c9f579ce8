"""Comms: which are open, and what of their messages goes on. The rules are in `widgets.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import widgets
from .bounds import clean_json
from .notes import Withheld
from .rules import DisplayRules, Outgoing, SessionCaps
from .text import one_line
from .widgets import Model, Refused

MAX_REFUSED_MODELS = 2_000


class CommGate:
    """The comms of one kernel.

    `rules` tells the display rules of the moment; the other two are the gate's own treatment of
    HTML and of a list of outputs.
    """

    def __init__(
        self,
        rules: Callable[[], DisplayRules],
        session: SessionCaps,
        clean_html: Callable[[str], str],
        clean_outputs: Callable[[list[Any]], list[Any]],
    ) -> None:
        self._rules = rules
        self._session = session
        self._comms: dict[str, Model] = {}
        self._closed: dict[str, None] = {}
        self._refused: dict[str, Withheld] = {}
        self._states = widgets.StateRules(self._comms, clean_html, clean_outputs)

    def begin_cell(self, parent_id: str) -> None:
        """From now on an Output widget may capture the output of that request."""
        self._states.own_parent = parent_id

    def targets(self) -> dict[str, str]:
        """Comm id → target, of every open comm that the rules still allow."""
        if self._rules().widgets == "off":
            return {}
        return {comm: model.target for comm, model in self._comms.items()}

    def forget(self, comm_id: str) -> bool:
        """The comm is closed; False when it was not open."""
        if self._comms.pop(comm_id, None) is None:
            return False
        # Whoever still refers to it would take a later model of that id for this one.
        self._closed[comm_id] = None
        if len(self._closed) > self._session.comms:
            del self._closed[next(iter(self._closed))]
        return True

    def model_known(self, model_id: str) -> bool:
        """Whether a view of that model may be shown."""
        return self._rules().widgets != "off" and model_id in self._comms

    def refused_model(self, model_id: str) -> Withheld:
        """Why a view of that model is not shown."""
        if self._rules().widgets == "off":
            return Withheld("a widget", "widgets are off", "widgets", "core")
        return self._refused.get(model_id) or Withheld("a widget", "its model was not let through")

    def opened(self, content: dict[str, Any], buffers: list[bytes]) -> list[Outgoing]:
        """A comm_open of the worker's; empty when it is not let through."""
        comm_id = content.get("comm_id")
        if not widgets.is_comm_id(comm_id):
            return []
        comm = str(comm_id)
        try:
            return [self._open(comm, content, buffers)]
        except Refused as refused:
            if len(self._refused) < MAX_REFUSED_MODELS:
                self._refused[comm] = refused.withheld
            return []

    def _open(self, comm: str, content: dict[str, Any], buffers: list[bytes]) -> Outgoing:
        rule = self._rules().widgets
        target = one_line(content.get("target_name"), 200)
        if rule == "off":
            raise Refused(Withheld("a widget", "widgets are off", "widgets", "core"))
        if comm in self._comms or comm in self._closed:
            raise Refused(Withheld("a widget", "its id is in use or was"))
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
                model.module, model.name = self._states.check_class(state)
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

    def message(self, content: dict[str, Any], buffers: list[bytes]) -> list[Outgoing]:
        """A comm_msg of the worker's. Raises Refused for one that a note should stand for."""
        comm, data = content.get("comm_id"), content.get("data")
        if self._rules().widgets == "off" or not widgets.is_comm_id(comm):
            return []
        if not isinstance(data, dict):
            return []
        model = self._comms.get(str(comm))
        if model is None:
            cleaned = self._all_states(data, buffers)
        elif model.name:
            cleaned = self._core_message(data, model, buffers)
        elif self._rules().widgets == "any":
            cleaned = clean_json(data)
        else:
            return []
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
                    "model_module": model.module,
                    "model_module_version": state.get("_model_module_version"),
                    "state": self._states.clean(state, model, opening=True),
                }
            elif self._rules().widgets == "any":
                kept[comm] = clean_json(entry)

        def owner(path: list[Any]) -> str:
            model = self._comms.get(path[0]) if isinstance(path[0], str) else None
            return model.name if model else "unknown"

        widgets.check_buffers(data.get("buffer_paths"), buffers, owner, of_many=True)
        return {
            "method": "update_states",
            "states": kept,
            "buffer_paths": clean_json(data.get("buffer_paths") or []),
        }

    def closed(self, content: dict[str, Any]) -> list[Outgoing]:
        """A comm_close of the worker's."""
        comm = content.get("comm_id")
        if not widgets.is_comm_id(comm) or not self.forget(str(comm)):
            return []
        return [Outgoing("comm_close", {"comm_id": comm, "data": {}})]
