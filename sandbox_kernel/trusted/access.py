"""From what a cell tried, or wants to know, to the decision of the capability kind it belongs to.

An access is three texts, as they stand in messages and in `sandbox.can`: kind, action, resource.

| kind          | actions                               | resource                  |
|---------------|---------------------------------------|---------------------------|
| `files`       | `read`, `create`, `append`, `write`   | a path                    |
| `sockets`     | `connect`, `listen`, `udp`, `resolve` | `host:port`, or a name    |
| `modules`     | `import`                              | a dotted name             |
| `environment` | `environment`                         | a variable's name         |
| `processes`   | `fork`, `exec`, `spawn`               | what the call named       |
| `display`     | `html`, `javascript`, `widgets`       | a level                   |
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast, get_args

from msgspec.structs import replace

from ..policy import Origin, Places, Request, Rights
from ..policy.entries import entries
from ..policy.kinds.choices import DisplayEntry, ProcessEntry
from ..policy.kinds.names import EnvironmentEntry, ModuleEntry
from ..policy.kinds.sockets import SocketEntry
from ..policy.model import Mode
from ..shared.errors import PeerViolation
from .capabilities.display.decide import decide as decide_display
from .capabilities.display.schema import DisplayRequest
from .capabilities.environment.decide import decide as decide_environment
from .capabilities.environment.schema import EnvironmentRequest
from .capabilities.files.decide import decide as decide_file
from .capabilities.files.schema import FileRequest
from .capabilities.modules.decide import decide as decide_module
from .capabilities.modules.schema import ModuleRequest
from .capabilities.processes.decide import decide as decide_process
from .capabilities.processes.schema import ProcessRequest
from .capabilities.sockets.decide import decide as decide_socket
from .capabilities.sockets.decide import decide_name
from .capabilities.sockets.schema import NameRequest, SocketRequest
from .capabilities.verdict import Approved, Denied

#: The kind that an action belongs to.
KIND_OF_ACTION = {
    **dict.fromkeys(get_args(Mode), "files"),
    **dict.fromkeys(("connect", "listen", "udp", "resolve"), "sockets"),
    "import": "modules",
    "environment": "environment",
    **dict.fromkeys(("fork", "exec", "spawn"), "processes"),
    **dict.fromkeys(("html", "javascript", "widgets"), "display"),
}
#: A longer resource is no path and no name.
_MOST_CHARACTERS = 4096
_ENDPOINT = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<host>.*)):(?P<port>\d{1,5})", re.DOTALL)

Verdict = Approved[Any] | Denied


@dataclass(frozen=True)
class Access:
    """One access that was tried or is asked about; the texts are a cell's."""

    kind: str
    action: str
    resource: str


def access(action: object, resource: object) -> Access:
    """Check an access that a worker names. Raises `PeerViolation` for one that makes no sense."""
    if not isinstance(action, str) or action not in KIND_OF_ACTION:
        raise PeerViolation(f"no such action: {action!r:.80}")
    if not isinstance(resource, str) or len(resource) > _MOST_CHARACTERS:
        raise PeerViolation(f"a resource is a text of at most {_MOST_CHARACTERS} characters")
    return Access(KIND_OF_ACTION[action], action, resource)


def accesses(request: Request, now: float) -> Iterator[Access]:
    """What a request asks for, as accesses; `now` is in seconds since the epoch."""
    table = request.table
    if table is None:
        return
    for file in table.files or ():
        yield Access("files", file.mode, file.path)
    for entry, kind, _ in entries(replace(table, files=()), Places("/"), now):
        if isinstance(entry, SocketEntry):
            yield Access(kind, entry.use, entry.endpoint)
        elif isinstance(entry, ModuleEntry):
            yield Access(kind, "import", entry.name)
        elif isinstance(entry, EnvironmentEntry):
            yield Access(kind, "environment", entry.name)
        elif isinstance(entry, DisplayEntry):
            yield Access(kind, entry.what, entry.level)
        elif isinstance(entry, ProcessEntry):
            yield Access(kind, "spawn", "")


def decide(wanted: Access, rights: Rights) -> Verdict:
    """The decision on an access; paths are resolved here, on the trusted side."""
    match wanted.kind:
        case "files":
            return decide_file(file_request(wanted.resource, wanted.action, rights), rights)
        case "sockets":
            return _decide_socket(wanted, rights)
        case "modules":
            return decide_module(ModuleRequest(wanted.resource), rights)
        case "environment":
            return decide_environment(EnvironmentRequest(wanted.resource), rights)
        case "processes":
            operation: Any = wanted.action
            return decide_process(ProcessRequest(operation, wanted.resource), rights)
        case _:
            return decide_display(DisplayRequest(wanted.action, wanted.resource), rights)


def file_request(shown: str, mode: str, rights: Rights) -> FileRequest:
    """The request for a path as a cell spelled it, relative to the notebook's folder.

    Raises `PeerViolation` for one that cannot be followed: a cell may change links meanwhile.
    """
    path = os.path.join(rights.places.folder, shown.replace("\0", "\\0"))
    try:
        real = os.path.realpath(path)
    except (OSError, RecursionError):
        raise PeerViolation("the path cannot be followed just now") from None
    exists = os.path.lexists(real)
    if mode == "write" and not exists:
        mode = "create"
    return FileRequest(shown, real, cast(Mode, mode), exists)


def _decide_socket(wanted: Access, rights: Rights) -> Verdict:
    found = _ENDPOINT.fullmatch(wanted.resource)
    host = wanted.resource if found is None else found["v6"] or found["host"]
    port = None if found is None else int(found["port"])
    if wanted.action == "resolve" or port is None:
        return decide_name(NameRequest(host, port), rights)
    if port > 65535:
        return Denied(
            code="sockets.port",
            kind="sockets",
            action=wanted.action,
            resource=wanted.resource,
            rule="not possible: ports end at 65535",
            origin=Origin(rights.policy_file),
            remedy="",
        )
    use: Any = wanted.action
    return decide_socket(SocketRequest(use, host, port), rights)
