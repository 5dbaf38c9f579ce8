"""The audit log: one JSON record a decision, appended, rotated, readable by its owner alone.

What a record says: when, which kernel and notebook, what happened (`event`), to what (`kind`,
`action`, `resource`), by which rule, who decided and how long it holds.  It stays on this
machine: it names a person's paths.  Of texts that a cell chose the first characters are kept: a
few long ones must not push everything else out of the files.
"""

from __future__ import annotations

import datetime
import os
from collections import deque
from pathlib import Path
from typing import Literal

import msgspec

from .capabilities.verdict import Denied
from .turns import PATIENCE, turn

Event = Literal[
    "started",
    "denied",
    "asked",
    "granted",
    "narrowed",
    "revoked",
    "limit",
    "killed",
    "restored",
    "problem",
    "ended",
]

MOST_BYTES = 5_000_000
"""A log file is rotated when a record would make it longer (bytes)."""
KEPT = 5
"""Rotated files that are kept beside the log."""
MOST_CHARACTERS = 2_000
"""Characters of one text of a record; of a longer one the start is kept."""
RECENT = 1_000
"""Records of this kernel that stay in memory for the control command `audit`."""


class AuditError(Exception):
    """A record could not be written; it is still among the recent ones."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision or event. `time` is UTC in ISO 8601; `lasts` says for how long it holds."""

    time: str
    event: Event
    kind: str = ""
    action: str = ""
    resource: str = ""
    code: str = ""
    rule: str = ""
    line: str = ""
    who: str = ""
    lasts: str = ""
    grant: str = ""
    text: str = ""
    kernel: str = ""
    notebook: str = ""


class AuditLog:
    """The log of one kernel in the file `path`, which several kernels share."""

    def __init__(
        self,
        path: str | Path,
        *,
        kernel: str = "",
        notebook: str = "",
        most_bytes: int = MOST_BYTES,
        kept: int = KEPT,
    ) -> None:
        self._path = Path(path)
        self._kernel = kernel
        self.notebook = notebook
        self._most_bytes = most_bytes
        self._kept = kept
        self._recent: deque[Record] = deque(maxlen=RECENT)
        #: Seconds to wait for the others' turns; none after waiting in vain, until it went well.
        self._patience = PATIENCE

    @property
    def paths(self) -> tuple[str, ...]:
        """The log and all that belongs to it, for `Places.closed`."""
        rotated = (f"{self._path}.{number}" for number in range(1, self._kept + 1))
        return (str(self._path), *rotated, str(self._lock_path))

    def recent(self, most: int = RECENT) -> list[Record]:
        """The latest records of this kernel, the oldest first."""
        return list(self._recent)[-most:] if most > 0 else []

    def record(
        self,
        event: Event,
        *,
        now: float,
        kind: str = "",
        action: str = "",
        resource: str = "",
        code: str = "",
        rule: str = "",
        line: str = "",
        who: str = "",
        lasts: str = "",
        grant: str = "",
        text: str = "",
    ) -> Record:
        """Write one record; `now` is in seconds since the epoch.

        Raises AuditError when it cannot be written: a decision that leaves no trace is a fault
        for the caller to report.
        """
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
        record = Record(
            time=moment.isoformat(timespec="milliseconds"),
            event=event,
            kind=kind,
            action=action,
            resource=_text(resource),
            code=code,
            rule=_text(rule),
            line=line,
            who=who,
            lasts=lasts,
            grant=grant,
            text=_text(text),
            kernel=self._kernel,
            notebook=_text(self.notebook),
        )
        self._recent.append(record)
        try:
            self._append(msgspec.json.encode(record) + b"\n")
        except OSError as error:
            raise AuditError(f"{self._path}: {error.strerror or error}") from error
        return record

    def denied(self, denied: Denied, *, now: float, who: str = "policy") -> Record:
        """Write the record of a refusal."""
        return self.record(
            "denied",
            now=now,
            kind=denied.kind,
            action=denied.action,
            resource=denied.resource,
            code=denied.code,
            rule=denied.rule,
            line=denied.origin.place,
            who=who,
        )

    @property
    def _lock_path(self) -> Path:
        return self._path.with_name(self._path.name + ".lock")

    def _append(self, line: bytes) -> None:
        patience, self._patience = self._patience, 0.0
        with turn(self._lock_path, patience):
            self._patience = PATIENCE
            self._rotate(len(line))
            # Without O_NONBLOCK a pipe in place of the log would hold the kernel for ever.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self._path, flags | os.O_CLOEXEC, 0o600)
            try:
                written = os.write(descriptor, line)
            finally:
                os.close(descriptor)
            if written != len(line):
                raise OSError(f"only {written} of {len(line)} bytes were written")

    def _rotate(self, more: int) -> None:
        try:
            size = self._path.lstat().st_size
        except FileNotFoundError:
            return
        if size == 0 or size + more <= self._most_bytes:
            return
        for number in range(self._kept, 1, -1):
            older = Path(f"{self._path}.{number - 1}")
            if older.exists():
                older.replace(f"{self._path}.{number}")
        self._path.replace(f"{self._path}.1")


def _text(value: str) -> str:
    """Text that JSON in UTF-8 can carry; bytes that are none are shown as escapes."""
    if len(value) > MOST_CHARACTERS:
        value = value[:MOST_CHARACTERS] + "…"
    return value.encode("utf-8", "backslashreplace").decode("utf-8")
