"""Sixty notebooks of every outcome, two at a time, killed in the middle and gone on with."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.features.run.test_run import (
    command,
    course,
    kernels_of,
    notebook,
    records,
    run,
    stdout_of,
    until,
    write,
)

__all__ = ["course"]  # A fixture.

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

DIES = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    "computes": (("total = sum(n * n for n in range(1000))", "print(total)"), "passed"),
    "plots": (("import statistics", "print(statistics.mean([1, 2, 6]))"), "passed"),
    "handles": (
        ("try:\n    open('/etc/shadow')\nexcept PermissionError:\n    print(1)",),
        "passed",
    ),
    "fails": (("print('before')", "assert 1 == 2", "print('after')"), "failed"),
    "misspells": (("print(1)", "prnt(2)"), "failed"),
    "loops": (("while True: pass",), "timed out"),
    "hoards": (("b = []\nwhile True:\n    b.append(bytearray(20_000_000))",), "out of memory"),
    "reads": (("open('/etc/shadow')",), "denied"),
    "floods": (("while True:\n    print('spam' * 1000)",), "output flood"),
    "dies": (("print('here')", DIES), "crashed"),
    "breaks": ((), "invalid"),
    "foreign": (("1",), "invalid"),
}


def test_sixty_notebooks_killed_in_the_middle_and_gone_on_with(course: Path) -> None:
    policies = course / "share" / "sandbox-kernel" / "policies"
    short = (policies / "short.toml").read_text()
    # In the full language, because the dialect would not let a cell kill its process.
    (policies / "short.toml").write_text(short.replace("[limits]", 'language = "full"\n[limits]'))
    expected = {}
    for number in range(60):
        kind = list(KINDS)[number % len(KINDS)]
        sources, outcome = KINDS[kind]
        name = f"n{number:02d}-{kind}"
        content = notebook(*sources) if kind != "breaks" else "{"
        if kind == "foreign":
            content = notebook(*sources, kernelspec={"name": "ir", "language": "R"})
        write(course, **{name: content})
        expected[f"{name}.ipynb"] = outcome
    words = (".", "--out", "out", "--policy", "short", "--jobs", "2", "--no-progress")
    results = course / "out/results.jsonl"
    line, options = command(course, *words)
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, **options) as batch:
        until(lambda: results.exists() and results.read_bytes().count(b"\n") >= 25, 300)
        batch.send_signal(signal.SIGKILL)
        assert batch.wait(60) == -signal.SIGKILL
    before = results.read_bytes()
    until(lambda: not kernels_of(course))

    done = run(course, *words, "--resume", seconds=900)
    assert results.read_bytes().startswith(before)
    found = records(course)
    wrong = {name: found.get(name) for name in expected if found[name]["outcome"] != expected[name]}
    assert not wrong, done.stderr
    counts = Counter(expected.values())
    assert done.stdout.splitlines()[-1].startswith(f"{counts['passed']} passed, ")
    # Nothing that was done before the kill was done again.
    assert len(results.read_text().splitlines()) == 60
    for name in expected:
        if "-computes" in name:
            assert stdout_of(course / "out" / name) == "332833500\n"
