"""A small client for the control channel of a running sandboxed kernel.

The command line and the tests use it, and so can anything that has a kernel's connection file.
docs/protocol.md describes the messages.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_core.paths import jupyter_runtime_dir

from sandbox_kernel.shared.errors import BadConnection
from sandbox_kernel.shared.wire import Author, BadFrames, Signer, decode
from sandbox_kernel.trusted.connection import read_connection

#: Seconds for an answer; a kernel answers at once, also while a cell runs.
ANSWER_SECONDS = 10.0
#: Seconds for a kernel to show that it lives, when all are looked through.
_LOOK_SECONDS = 2.0


class NoAnswer(Exception):
    """No sandboxed kernel answers there."""


class CommandRefused(Exception):
    """The kernel refused a command; the message is its own."""

    def __init__(self, reply: Mapping[str, Any]) -> None:
        super().__init__(str(reply.get("evalue", "refused")))
        self.reply = dict(reply)


class ControlClient:
    """Talks to one kernel. A context manager, so that its sockets are closed."""

    def __init__(self, connection_file: str | Path) -> None:
        """Raises `NoAnswer` when the connection file cannot be read."""
        self.connection_file = str(connection_file)
        try:
            # Checks it completely; Jupyter's own does not.
            connection = read_connection(self.connection_file)
        except BadConnection as error:
            raise NoAnswer(str(error)) from None
        self._client = BlockingKernelClient()
        self._client.load_connection_file(self.connection_file)
        self._signer = Signer(connection.key, connection.digest)
        self._author = Author(self._signer, os.environ.get("USER", "username"))
        self._socket = self._client.connect_control()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the sockets."""
        self._socket.close()
        self._client.stop_channels()

    def command(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        seconds: float = ANSWER_SECONDS,
    ) -> dict[str, Any]:
        """Send a command and give the content of its reply.

        Raises `NoAnswer` after `seconds`, and `CommandRefused` for an error reply.
        """
        wanted = {"command": command, "arguments": dict(arguments or {})}
        message_id, request = self._author.message("sandbox_request", wanted, {}, {})
        self._socket.send_multipart(request)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._socket.rcvtimeo = math.ceil(1000 * left)
            try:
                frames = self._socket.recv_multipart()
            except zmq.Again:
                break
            try:
                _, _, (_, parent, _, content, *_) = self._signer.checked(frames)
            except BadFrames as error:
                raise NoAnswer(
                    f"{self.connection_file}: another program answers: {error}"
                ) from None
            if decode(parent).get("msg_id") == message_id:
                body: dict[str, Any] = decode(content)
                if body.get("status") != "ok":
                    raise CommandRefused(body)
                return body
        raise NoAnswer(f"{self.connection_file}: no sandboxed kernel answers")

    def status(self) -> dict[str, Any]:
        """Level, policy, grants, limits and use, open questions, problems."""
        return self.command("status")

    def grant(self, request: Mapping[str, Any], scope: str = "session") -> list[str]:
        """Grant what `request` names, in the words of `metadata.sandbox`; the grant's ids."""
        return list(self.command("grant", {**request, "for": scope})["ids"])

    def revoke(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Take back by `{"id": …}` or by what `grant` took; tells what it took to do so."""
        return self.command("revoke", request)

    def narrow(self, identity: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Leave of a grant what `request` says too."""
        return self.command("narrow", {**request, "id": identity})

    def decide(self, question: int, answer: str) -> None:
        """Answer an open question: once, session, always, no or no_to_all."""
        self.command("decide", {"id": question, "answer": answer})

    def explain(self, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All rights with their lines, or whether what `request` names would be allowed."""
        return self.command("explain", request)

    def audit(self, last: int = 100) -> list[dict[str, Any]]:
        """The latest decisions of this kernel, the oldest first."""
        return list(self.command("audit", {"last": last})["records"])

    def limits(self, wanted: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The limits that hold, after changing those of `wanted`."""
        return dict(self.command("limits", wanted)["limits"])


def connection_files(runtime: str | None = None) -> Iterator[Path]:
    """Connection files of Jupyter's runtime directory, the newest first.

    Only regular files of this user's own: another's would be a kernel that answers as another
    likes, and a pipe would be waited for.
    """
    folder = Path(runtime or jupyter_runtime_dir())
    found: list[tuple[float, Path]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("kernel-") and entry.name.endswith(".json"):
                    with contextlib.suppress(FileNotFoundError):  # A kernel has just ended.
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                            found.append((status.st_mtime, folder / entry.name))
    except OSError:
        return
    yield from (path for _, path in sorted(found, reverse=True))


def running(runtime: str | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The sandboxed kernels that answer: connection file and status."""
    for path in connection_files(runtime):
        try:
            with ControlClient(path) as client:
                yield path, client.command("status", seconds=_LOOK_SECONDS)
        except (NoAnswer, CommandRefused):
            continue  # Another kind of kernel, or one that has ended.


def find(name: str, runtime: str | None = None) -> Path:
    """The kernel that `name` means: a notebook's path, a kernel id, or a connection file.

    Raises `NoAnswer`, naming what runs, when it is none or more than one.
    """
    if name.endswith(".json") and os.path.exists(name):
        return Path(name)
    wanted = os.path.realpath(name)
    matches, others = [], []
    for path, status in running(runtime):
        notebook = status.get("notebook")
        if path.stem == f"kernel-{name}" or (notebook and os.path.realpath(notebook) == wanted):
            matches.append(path)
        else:
            others.append(notebook or path.stem.removeprefix("kernel-"))
    if len(matches) == 1:
        return matches[0]
    if matches:
        ids = ", ".join(path.stem.removeprefix("kernel-") for path in matches)
        raise NoAnswer(f"{name}: more than one kernel runs for it; name one of {ids}")
    raise NoAnswer(
        f"{name}: no sandboxed kernel runs for it; running: {', '.join(others) or 'none'}"
    )
