"""The audit log: one record a decision, appended, rotated, private."""

from __future__ import annotations

import fcntl
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


@pytest.mark.parametrize(("most", "stays"), [(2000, True), (1 << 30, False)])
def test_long_texts_do_not_push_other_records_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, stays: bool
) -> None:
    monkeypatch.setattr("sandbox_kernel.trusted.audit.MOST_CHARACTERS", most)
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, most_bytes=50_000, kept=1)
    log.record("granted", now=NOW, who="client")
    for number in range(10):
        log.record("denied", now=NOW, resource=f"{number}" + "\\U0010ffff" * 2000)
    kept = [record for part in tmp_path.glob("audit.jsonl*") for record in lines(part)]
    assert ("granted" in {record["event"] for record in kept}) is stays


def test_a_kernel_that_holds_the_lock_for_ever_does_not_hold_the_others(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with open(f"{path}.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with open(f"{path}.lock") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # Who waits here waits for ever.
        log = AuditLog(path)
        for _ in range(500):  # The first waits for a second, the rest do not.
            with pytest.raises(AuditError, match="does not let go"):
                log.record("denied", now=NOW)
    log.record("granted", now=NOW)
    assert [record["event"] for record in lines(path)] == ["granted"]


def test_a_pipe_in_place_of_the_log_is_an_error_and_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "audit.jsonl")
    with pytest.raises(AuditError):
        AuditLog(tmp_path / "audit.jsonl").record("denied", now=NOW)
