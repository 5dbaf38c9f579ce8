"""The control channel: answered at once, also while a cell runs.

Beside Jupyter's own requests it carries `sandbox_request {command, arguments}`, answered with
`sandbox_reply {status, command, ...}`; docs/protocol.md describes every command.
"""

from __future__ import annotations

import logging
import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import msgspec

from ..policy.explain import explanation, limits_told
from ..policy.request import plain_request
from ..shared.errors import Denied as Refused
from .channels import Incoming
from .real_path import is_plain, one_moment

#: Commands after which other places are open or closed.
_CHANGES_RIGHTS = frozenset({"grant", "revoke", "narrow", "decide"})

#: The kernel opens no longer one (PATH_MAX, limits.h).
_MOST_PATH = 4096

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from .permissions import Permissions
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
            case "sandbox_request":
                self._supervisor.known_by_a_client = True
                self._on_sandbox(request)
            case "shutdown_request":
                self._shutdown(request)
            case kind:
                text = f"{kind:.100} is not known on the control channel of this kernel"
                self._supervisor.answer(request, _refusal("UnknownRequest", text))

    def _on_sandbox(self, request: Incoming) -> None:
        permissions, channels = self._supervisor.permissions, self._supervisor.channels
        with nullcontext() if permissions is None else permissions.changes.news_after():
            with one_moment():
                content = self._sandbox(request.content)
            # Whoever ordered it has the reply first; all else is for those who look on.
            channels.reply(request, "sandbox_reply", content)
            channels.status("busy", request.header)
        channels.status("idle", request.header)
        self._supervisor.still_busy()

    def _shutdown(self, request: Incoming) -> None:
        content = {"status": "ok", "restart": bool(request.content.get("restart", False))}
        self._supervisor.answer(request, content)
        self._supervisor.channels.publish("shutdown_reply", content, request.header)
        self._supervisor.stop()

    def _sandbox(self, content: dict[str, Any]) -> dict[str, Any]:
        """The reply to a `sandbox_request`; bad ones are told and change nothing."""
        command, arguments = content.get("command"), content.get("arguments", {})
        permissions = self._supervisor.permissions
        commands = {
            "status": self._status,
            "grant": self._grant,
            "revoke": self._revoke,
            "narrow": self._narrow,
            "decide": self._decide,
            "explain": self._explain,
            "audit": self._audit,
            "limits": self._limits,
        }
        if not isinstance(command, str) or command not in commands:
            known = ", ".join(commands)
            return _refusal("UnknownCommand", f"{command!r:.80}: the commands are {known}")
        if not isinstance(arguments, dict):
            return _refusal("BadArguments", "the arguments of a command are an object")
        if permissions is None:
            return _refusal("NoPolicy", "the policy cannot be used; see the reply to any cell")
        try:
            if command in _CHANGES_RIGHTS and self._supervisor.doors is not None:
                place = _first_place(arguments, permissions.session.places.folder)
                self._supervisor.doors.rouse(place)
                if place is not None:
                    is_plain(place)  # The folders that it is in are looked at with it.
            body = commands[command](permissions, arguments)
        except Refused as error:
            return {**_refusal("Denied", str(error)), "command": command, "code": error.code}
        except Exception as error:
            # The client waits for a reply, and the kernel goes on; the fault is ours.
            _log.exception("the command %s failed", command)
            return _refusal(type(error).__name__, f"the command {command} failed: {error}")
        return {"status": "ok", "command": command, **body}

    def _status(self, permissions: Permissions, arguments: dict[str, Any]) -> dict[str, Any]:
        """`answers: true` says that this client answers questions with `decide`."""
        if "answers" in arguments:
            permissions.asker.client_answers = bool(arguments["answers"])
        supervisor = self._supervisor
        session = permissions.session
        return {
            "notebook": session.places.notebook,
            "policy": permissions.rights.policy,
            "language": permissions.rights.language,
            "level": supervisor.keeper.level,
            "missing": list(supervisor.keeper.missing),
            "busy": supervisor.busy,
            "generation": supervisor.keeper.generation,
            "restarts": supervisor.keeper.restarts,
            "grants": [
                {"id": g.id, "by": g.source, "for": g.scope, **plain_request(g.table)}
                for g in session.grants.values()
            ],
            "questions": [
                permissions.asker.described(pending)
                for pending in permissions.asker.pending.values()
            ],
            "problems": list(permissions.problems),
            **supervisor.watch.status(),
        }

    def _grant(self, permissions: Permissions, arguments: dict[str, Any]) -> dict[str, Any]:
        return permissions.changes.grant(arguments)

    def _revoke(self, permissions: Permissions, arguments: dict[str, Any]) -> dict[str, Any]:
        return permissions.changes.revoke(arguments)

    def _narrow(self, permissions: Permissions, arguments: dict[str, Any]) -> dict[str, Any]:
        return permissions.changes.narrow(arguments)

    def _decide(self, permissions: Permissions, arguments: dict[str, Any]) -> dict[str, Any]:
        number, answer = arguments.get("id"), arguments.get("answer")
        if not isinstance(number, int) or not isinstance(answer, str):
            raise Refused("decide takes the question's id (a number) and an answer (a text)")
        if not permissions.asker.decide(number, answer):
            raise Refused(f"there is no open question {number} that takes the answer {answer!r}")
        return {}

    def _explain(self, permissions: Permissions, arguments: dict[str, Any]) -> dict[str, Any]:
        """Without arguments everything, else whether each thing named would be allowed."""
        if not arguments:
            return explanation(permissions.rights)
        return {"answers": permissions.changes.explain(arguments)}

    def _audit(self, permissions: Permissions, arguments: dict[str, Any]) -> dict[str, Any]:
        most = arguments.get("last", 100)
        if not isinstance(most, int) or most < 1:
            raise Refused("audit takes `last`: how many records, from 1")
        records = permissions.audit.recent(most)
        return {"records": [msgspec.to_builtins(record) for record in records]}

    def _limits(self, permissions: Permissions, arguments: dict[str, Any]) -> dict[str, Any]:
        """Without arguments what holds; else new limits for this session, within `limits.max`."""
        if arguments:
            permissions.changes.change_limits(arguments)
        return {"limits": limits_told(permissions.rights)}


def _first_place(arguments: dict[str, Any], folder: str) -> str | None:
    """Of what a command names, the first path of a file, made absolute by text."""
    match arguments.get("files"):
        case [{"path": str(path)}, *_] if len(path) < _MOST_PATH:
            return os.path.normpath(os.path.join(folder, path))
    return None


def _refusal(name: str, text: str) -> dict[str, Any]:
    return {"status": "error", "ename": name, "evalue": text, "traceback": [text]}
