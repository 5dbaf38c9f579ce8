"""The audit log: one record a decision, appended, rotated, private."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from sandbox_kernel.trusted.audit import AuditError, AuditLog
from sandbox_kernel.trusted.capabilities.files.decide import decide
from sandbox_kernel.trusted.capabilities.files.schema import FileRequest
from sandbox_kernel.trusted.capabilities.verdict import Denied
from tests.unit.policy.samples import rights

NOW = 1_800_000_000.0


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_refusal_is_one_record_with_its_rule(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", kernel="k1", notebook="/n/a.ipynb")
    refusal = decide(FileRequest("/etc/shadow", "/etc/shadow", "read", True), rights(""))
    assert isinstance(refusal, Denied)

    log.denied(refusal, now=NOW)

    (record,) = lines(tmp_path / "audit.jsonl")
    assert record["time"] == "2027-01-15T08:00:00.000+00:00"
    assert record["event"] == "denied"
    assert record["resource"] == "/etc/shadow"
    assert record["code"] == "files.not_granted"
    assert record["line"] == "course.toml"
    assert (record["kernel"], record["notebook"]) == ("k1", "/n/a.ipynb")
    assert [found.event for found in log.recent()] == ["denied"]


def test_records_are_appended_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "audit.jsonl"
    AuditLog(path).record("granted", now=NOW, kind="files", who="client", lasts="session")
    AuditLog(path).record("revoked", now=NOW)

    assert [record["event"] for record in lines(path)] == ["granted", "revoked"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_resource_cannot_forge_a_record(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path).record("denied", now=NOW, resource='x"}\n{"event": "granted"}\udcff')

    (record,) = lines(path)
    assert record["event"] == "denied"
    assert record["resource"].endswith("\\udcff")


def test_the_log_is_rotated_and_the_oldest_part_goes(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, most_bytes=1000, kept=3)
    for number in range(100):
        log.record("denied", now=NOW, resource=f"/file/{number:03}")

    parts = [path, *(Path(f"{path}.{number}") for number in (1, 2, 3))]
    assert all(0 < part.stat().st_size <= 1000 for part in parts)
    assert not Path(f"{path}.4").exists()
    kept = [record["resource"] for part in reversed(parts) for record in lines(part)]
    assert kept == [f"/file/{number:03}" for number in range(100 - len(kept), 100)]
    assert {str(part) for part in parts} < set(log.paths)


def test_kernels_share_a_log_without_losing_records(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    def write(kernel: int) -> None:
        log = AuditLog(path, kernel=str(kernel), most_bytes=2000, kept=50)
        for _ in range(50):
            log.record("denied", now=NOW, text="x" * 40)

    threads = [threading.Thread(target=write, args=(kernel,)) for kernel in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert (
        sum(len(lines(part)) for part in tmp_path.glob("audit.jsonl*") if part.suffix != ".lock")
        == 200
    )


def test_a_log_that_cannot_be_written_is_an_error_and_the_record_is_not_lost(
    tmp_path: Path,
) -> None:
    os.symlink(tmp_path / "elsewhere", tmp_path / "audit.jsonl")
    log = AuditLog(tmp_path / "audit.jsonl")

    with pytest.raises(AuditError, match=r"audit\.jsonl"):
        log.record("denied", now=NOW)

    assert len(log.recent()) == 1
    assert not (tmp_path / "elsewhere").exists()
