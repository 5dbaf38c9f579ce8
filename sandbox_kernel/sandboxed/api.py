"""What a cell gets by `import sandbox`: what it may do, and how to ask for more.

Nothing here has power of its own: `grants` and `can` read what the supervisor has told this worker,
`request` asks it. Neither touches a file or sets off a question, but for `request`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..language.refusal import RefusedSyntax

__all__ = [
    "LimitExceeded",
    "RefusedSyntax",
    "WorkerDied",
    "can",
    "grants",
    "limits",
    "request",
]


class LimitExceeded(BaseException):
    """A limit of the policy was reached: the message names limit, used and allowed.

    Not an `Exception`, so that a cell's `except Exception` does not swallow it by accident.
    """


class WorkerDied(Exception):
    """The cell's process ended: the message says how, and what was kept."""


#: Set by the worker before the first cell: asks the supervisor (command, arguments) -> body.
_ask: Callable[[str, dict[str, Any]], dict[str, Any]] | None = None


def _connect(ask: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
    global _ask  # One supervisor a process; a module is what cells import.
    _ask = ask


def _body(command: str, **arguments: Any) -> dict[str, Any]:
    if _ask is None:
        raise RuntimeError("this is no sandboxed kernel: `sandbox` works in its cells only")
    body = _ask(command, arguments)
    if "error" in body:
        raise PermissionError(body["error"])
    return body


def grants() -> dict[str, list[dict[str, Any]]]:
    """What this notebook may use now, by kind, in the words of `metadata.sandbox`."""
    return dict(_body("grants")["grants"])


def limits() -> dict[str, Any]:
    """The limits that hold for this cell, in the words of `metadata.sandbox`."""
    return dict(_body("limits")["limits"])


def can(action: str, resource: str) -> bool:
    """Whether an action would be allowed now, without trying it and without a question.

    `action` is `read`, `create`, `append`, `write`, `connect`, `listen`, `udp`, `import`,
    `environment` or `spawn`; `resource` a path, `host:port`, a module's or a variable's name.
    """
    return bool(_body("can", action=action, resource=str(resource))["allowed"])


def request(**wanted: Any) -> bool:
    """Ask for rights in the words of `metadata.sandbox`, e.g. `request(files=[{"path": "data"}])`.

    A person is asked where the policy's tier `ask` allows it. True when all was granted.
    """
    return bool(_body("request", wanted=wanted)["granted"])


def describe() -> str:
    """What `%sandbox` prints."""
    return str(_body("describe")["text"])
