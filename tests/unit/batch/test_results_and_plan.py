"""The results file survives a kill; the plan puts every notebook in a place of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox_kernel.jupyter.outcomes import Outcome, Verdict
from sandbox_kernel.jupyter.results_file import Record, ResultsFile, read_records, settled
from sandbox_kernel.jupyter.run import plan

DONE = Record(
    notebook="a.ipynb",
    digest="d1",
    policy="default",
    policy_digest="p1",
    verdict=Verdict(Outcome.FAILED, "error.ValueError", "ValueError: größe \ud800", 3),
    denials=2,
    seconds=1.25,
    finished="2026-01-01T00:00:00+00:00",
    output=None,
)


def write_all(path: Path, *records: Record) -> None:
    with ResultsFile(path) as file:
        for record in records:
            file.append(record)


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "out" / "results.jsonl"
    other = replace(DONE, notebook="b.ipynb", verdict=Verdict(Outcome.PASSED))
    write_all(path, DONE)
    write_all(path, other)
    assert list(read_records(path)) == [DONE, other]


def test_a_torn_last_line_costs_that_record_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write_all(path, DONE, replace(DONE, notebook="torn.ipynb"))
    path.write_bytes(path.read_bytes()[:-30])
    after = replace(DONE, notebook="after.ipynb")
    write_all(path, after)
    assert list(read_records(path)) == [DONE, after]


def test_no_file_means_no_records(tmp_path: Path) -> None:
    assert settled(tmp_path / "none.jsonl") == {}


def test_what_need_not_be_run_again(tmp_path: Path) -> None:
    output = tmp_path / "out.ipynb"
    output.touch()
    kept = replace(DONE, notebook="kept.ipynb", output=str(output))
    gone = replace(DONE, notebook="gone.ipynb", output=str(tmp_path / "gone.ipynb"))
    not_run = replace(DONE, notebook="later.ipynb", verdict=Verdict(Outcome.NOT_RUN))
    path = tmp_path / "results.jsonl"
    write_all(path, kept, gone, not_run)
    assert set(settled(path)) == {("kept.ipynb", "d1", "p1")}


def test_the_plan_keeps_folders_and_takes_no_file_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for path in (
        here / "one.ipynb",
        here / "deep/one.ipynb",
        here / "deep/.ipynb_checkpoints/one-checkpoint.ipynb",
        here / "out/one.ipynb",
        elsewhere / "one.ipynb",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (here / "again.ipynb").symlink_to("one.ipynb")
    monkeypatch.chdir(here)
    given = [Path("one.ipynb"), Path("deep"), Path("again.ipynb"), Path("."), elsewhere]
    jobs = plan(given, Path("out"))
    assert [job.name for job in jobs] == [
        "one.ipynb",
        "deep/one.ipynb",
        str(elsewhere / "one.ipynb"),
    ]
    assert len({job.target for job in jobs}) == 3
    assert all(job.target.is_relative_to(here / "out") for job in jobs)


def test_a_notebook_that_is_not_there_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.ipynb"):
        plan([tmp_path / "none.ipynb"], tmp_path)
