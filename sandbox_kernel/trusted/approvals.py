"""The approval store: what a person allowed "always for this notebook".

One JSON file of the person's, outside every grant, readable and writable by them alone (0600 in
a folder of 0700).  An approval is for one notebook (by its path) and one exact request, whose files
lead where they led when the person said yes; it ends by itself, and can be listed and revoked.
Writes are atomic (a new file, synced and renamed) and kernels take turns through a lock file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ..policy import model
from ..policy.problems import Origin
from ..policy.request import parse_request, plain_request
from ..policy.resolve import Grant
from .turns import turn

MOST_BYTES = 4_000_000
"""A longer store is refused unread, and none is written."""
MOST_APPROVALS = 2_000
"""Of more, the oldest are forgotten."""


class StoreError(Exception):
    """The store cannot be used; the message says what to do. Nothing is approved then."""


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One remembered yes; times are in seconds since the epoch.

    `leads` are the real paths of the request's files when it was said.
    """

    id: str
    notebook: str
    request: dict[str, object]
    granted: float
    expires: float
    policy: str = ""
    leads: tuple[str, ...] = ()


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    approvals: list[Approval]


class ApprovalStore:
    """The store in the file `path`; it need not exist yet."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    @property
    def path(self) -> str:
        """Where the store lies, for `Places.closed`."""
        return str(self._path)

    @property
    def paths(self) -> tuple[str, ...]:
        """The file and its lock, for `Places.closed`."""
        return (str(self._path), str(self._lock_path))

    def holding(self, *, now: float, notebook: str | None = None) -> list[Approval]:
        """The approvals that hold, of one notebook or of all; raises StoreError."""
        return [
            approval
            for approval in self._read()
            if approval.expires > now and notebook in (None, approval.notebook)
        ]

    def grants(self, notebook: str, *, now: float) -> tuple[Grant, ...]:
        """The approvals of a notebook as yeses for `resolve`; raises StoreError."""
        found = []
        for approval in self.holding(now=now, notebook=notebook):
            request = parse_request(approval.request, Origin("approval"))
            if request.table is not None:
                grant = Grant(
                    f"approval:{approval.id}",
                    request.table,
                    "approval",
                    "notebook",
                    approval.granted,
                    ends=approval.expires,
                    leads=approval.leads,
                )
                found.append(grant)
        return tuple(found)

    def add(
        self,
        notebook: str,
        request: model.RequestTable,
        *,
        now: float,
        lifetime: float,
        policy: str = "",
        leads: Sequence[str] = (),
    ) -> Approval:
        """Remember a yes for `lifetime` seconds; one for the same request is renewed.

        `leads` are the real paths of the request's files, one each. Raises StoreError.
        """
        plain = plain_request(request)
        identity, end = secrets.token_hex(8), now + lifetime
        approval = Approval(identity, notebook, plain, now, end, policy, tuple(leads))
        with self._locked():
            kept = [
                other
                for other in self._read()
                if other.expires > now and (other.notebook, other.request) != (notebook, plain)
            ]
            self._write([*kept, approval][-MOST_APPROVALS:])
        return approval

    def revoke(
        self, *, now: float, ids: Sequence[str] = (), notebook: str | None = None
    ) -> list[Approval]:
        """Forget approvals by id, or all of a notebook; gives those that are gone.

        Raises StoreError.
        """
        with self._locked():
            before = self._read()
            gone = [
                approval
                for approval in before
                if approval.id in ids or (notebook is not None and approval.notebook == notebook)
            ]
            self._write([a for a in before if a not in gone and a.expires > now])
        return gone

    @property
    def _lock_path(self) -> Path:
        return self._path.with_name(self._path.name + ".lock")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with turn(self._lock_path):
                yield
        except OSError as error:
            raise StoreError(f"{error.filename or self._path}: {error.strerror}") from error

    def _read(self) -> list[Approval]:
        # Without O_NONBLOCK a pipe in place of the store would hold the kernel for ever.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from None
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                raise StoreError(f"{self._path}: not a file of this user's own; remove it")
            if status.st_mode & 0o077:
                raise StoreError(f"{self._path}: others may read or write it: chmod 600 it")
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise StoreError(f"{self._path}: longer than {MOST_BYTES} bytes; remove it")
        try:
            store = msgspec.json.decode(content, type=_Content)
        except msgspec.DecodeError as error:
            text = f"{self._path}: not an approval store ({error}); move it away to start anew"
            raise StoreError(text) from None
        if store.version != 1:
            raise StoreError(f"{self._path}: version {store.version}, this kernel reads version 1")
        return store.approvals

    def _write(self, approvals: Sequence[Approval]) -> None:
        content = msgspec.json.format(msgspec.json.encode(_Content(1, list(approvals))))
        if len(content) >= MOST_BYTES:
            raise StoreError(f"{self._path}: full; forget some with sandbox-kernel revoke")
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(6)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(content + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
