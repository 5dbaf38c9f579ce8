"""The results of a batch as JSON Lines: appended as they come, read again to go on.

A record is one line that is written at once and synced, after the notebook that it speaks of. So a
batch that is killed leaves whole records and at most one torn line at the end, which counts for
nothing: that notebook is run again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .outcomes import Outcome, Verdict

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Record:
    """What became of one notebook.

    `digest` and `policy_digest` tell for which content of the file and of the policy it holds.
    `seconds` is the time that it took, `finished` when (UTC, ISO 8601). `output` is the executed
    notebook, None when there is none. `denials` counts the requests that were refused.
    """

    notebook: str
    digest: str
    policy: str
    policy_digest: str
    verdict: Verdict
    denials: int
    seconds: float
    finished: str
    output: str | None

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes another run of the same notebook needless."""
        return self.notebook, self.digest, self.policy_digest

    def line(self) -> str:
        """The line of the file, without its end."""
        flat = asdict(self)
        verdict = flat.pop("verdict")
        flat |= {"outcome": self.verdict.outcome.value} | {
            name: verdict[name] for name in ("code", "detail", "cell")
        }
        text = json.dumps(flat, ensure_ascii=False, sort_keys=True)
        try:
            text.encode()
        except UnicodeEncodeError:
            # A path that is no UTF-8 has parts that only an escape can write.
            return json.dumps(flat, sort_keys=True)
        return text


class ResultsFile:
    """A results file that is open for appending; a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # A link in its place would have the results appended to somebody's other file.
        descriptor = os.open(path, _APPEND, 0o666)
        self._file = open(descriptor, "ab")  # noqa: SIM115  # closed by `close`
        if self._file.tell() and not _ends_in_newline(path):
            self._file.write(b"\n")

    def append(self, record: Record) -> None:
        """Write a record down for good."""
        self._file.write(record.line().encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> ResultsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_records(path: Path) -> Iterator[Record]:
    """The whole records of a file, none when there is no file; what is no record is passed over."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            yield _record(json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue  # A torn line; its notebook is run again.


def settled(path: Path) -> dict[tuple[str, str, str], Record]:
    """The records that make another run needless: those that ran and whose output is still there.

    A later record of the same notebook takes the place of an earlier one.
    """
    found = {record.key: record for record in read_records(path)}
    return {
        key: record
        for key, record in found.items()
        if record.verdict.outcome is not Outcome.NOT_RUN
        and (record.output is None or os.path.exists(record.output))
    }


def _record(flat: dict[str, Any]) -> Record:
    verdict = Verdict(
        Outcome(flat.pop("outcome")), flat.pop("code"), flat.pop("detail"), flat.pop("cell")
    )
    return Record(verdict=verdict, **flat)


def _ends_in_newline(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
