"""`sandbox-kernel run` on real notebooks in real kernels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("tqdm")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SOON = 60  # seconds within which a batch must have come as far as a test waits for


def notebook(*sources: str, **metadata: Any) -> dict[str, Any]:
    cells = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": source,
        }
        for number, source in enumerate(sources)
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A folder of notebooks, with a policy of short limits in the place where it is looked for."""
    folder = tmp_path / "share" / "sandbox-kernel" / "policies"
    folder.mkdir(parents=True)
    (folder / "short.toml").write_text(
        'version = 1\nextends = "default"\n'
        '[limits]\nwall_time = "2 s"\noutput = "1 MB"\nmemory = "400 MB"\ngrace = "1 s"\n'
    )
    (folder / "open.toml").write_text('version = 1\nextends = "default"\nlanguage = "full"\n')
    (tmp_path / "home").mkdir()
    return tmp_path


def write(folder: Path, **notebooks: Any) -> None:
    for name, content in notebooks.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.ipynb").write_text(text)


def command(course: Path, *arguments: str) -> tuple[list[str], dict[str, Any]]:
    line = [sys.executable, "-m", "sandbox_kernel.cli", "run", *arguments]
    environment = os.environ | {
        "JUPYTER_PATH": str(course / "share"),
        "HOME": str(course / "home"),
    }
    return line, {"cwd": course, "env": environment, "text": True}


def run(course: Path, *arguments: str, seconds: float = 200) -> subprocess.CompletedProcess[str]:
    line, options = command(course, *arguments)
    return subprocess.run(line, capture_output=True, timeout=seconds, **options)


def records(course: Path) -> dict[str, Mapping[str, Any]]:
    lines = (course / "out/results.jsonl").read_text().splitlines()
    return {record["notebook"]: record for record in map(json.loads, lines)}


def stdout_of(path: Path) -> str:
    cells = json.loads(path.read_text())["cells"]
    return "".join(
        "".join(output["text"])
        for cell in cells
        for output in cell["outputs"]
        if output.get("name") == "stdout"
    )


def test_outcomes_are_typed_and_one_bad_notebook_stops_no_other(course: Path) -> None:
    write(
        course,
        passes=notebook("x = 1", "print(x + 1)"),
        fails=notebook("print('before')", "1/0", "print('after')"),
        loops=notebook("while True: pass"),
        swallows=notebook(
            "while True:\n    try:\n        pass\n    except BaseException:\n        pass"
        ),
        hoards=notebook("b = []\nwhile True:\n    b.append(bytearray(20_000_000))"),
        reads=notebook("open('/etc/shadow')"),
        catches=notebook("try:\n    open('/etc/shadow')\nexcept PermissionError:\n    print('no')"),
        floods=notebook("i = 0\nwhile True:\n    print('spam' * 1000)"),
        broken="{",
        twice={**notebook("1"), "cells": notebook("1")["cells"] * 2},
        foreign=notebook("1", kernelspec={"name": "ir", "display_name": "R", "language": "R"}),
        greedy=notebook(
            "print(len(open('/etc/shadow').read()))",
            sandbox={"files": [{"path": "/", "mode": "write"}], "sockets": [{"connect": "*:*"}]},
        ),
    )
    done = run(course, ".", "--out", "out", "--policy", "short", "--jobs", "2")
    found = {name.removesuffix(".ipynb"): each for name, each in records(course).items()}
    outcomes = {name: record["outcome"] for name, record in found.items()}
    assert outcomes == {
        "passes": "passed",
        "fails": "failed",
        "loops": "timed out",
        "swallows": "timed out",
        "hoards": "out of memory",
        "reads": "denied",
        "catches": "passed",
        "floods": "output flood",
        "broken": "invalid",
        "twice": "invalid",
        "foreign": "invalid",
        "greedy": "denied",
    }, json.dumps(found, indent=1) + done.stderr
    assert done.returncode == 1
    assert stdout_of(course / "out/passes.ipynb") == "2\n"
    assert stdout_of(course / "out/fails.ipynb") == "before\n"
    assert found["fails"]["cell"] == 1
    assert found["catches"]["denials"] == 1
    assert found["broken"]["code"] == "notebook.not-json"
    assert found["broken"]["output"] is None
    assert done.stdout.splitlines()[-1].startswith("2 passed, ")


def test_all_passed_is_success_and_what_is_done_is_not_done_again(course: Path) -> None:
    write(course, a=notebook("print(1)"), b=notebook("print(2)"))
    first = run(course, "a.ipynb", "b.ipynb", "--out", "out")
    assert (first.returncode, first.stdout) == (0, "2 passed\n"), first.stderr

    refused = run(course, "a.ipynb", "--out", "out")
    assert refused.returncode == 2
    assert "--resume" in refused.stderr

    write(course, b=notebook("print(3)"))
    again = run(course, "a.ipynb", "b.ipynb", "--out", "out", "--resume")
    assert again.returncode == 0
    assert "1 of 2 have a result already" in again.stderr
    assert len((course / "out/results.jsonl").read_text().splitlines()) == 3
    assert stdout_of(course / "out/b.ipynb") == "3\n"

    other_policy = run(course, "a.ipynb", "--out", "out", "--resume", "--policy", "short")
    assert "have a result already" not in other_policy.stderr
    fresh = run(course, "a.ipynb", "--out", "out", "--fresh")
    assert fresh.returncode == 0
    assert set(records(course)) == {"a.ipynb"}


def test_what_the_dialect_refuses_is_denied(course: Path) -> None:
    write(course, a=notebook("import ctypes"), b=notebook("print(().__class__.__base__)"))
    done = run(course, "a.ipynb", "b.ipynb", "--out", "out")
    assert done.returncode == 1
    assert {record["outcome"] for record in records(course).values()} == {"denied"}


def test_a_worker_that_dies_is_a_crash(course: Path) -> None:
    """Also where the notebook expects its cell to fail."""
    dies = notebook("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "print('on')")
    expected = json.loads(json.dumps(dies))
    expected["cells"][0]["metadata"]["tags"] = ["raises-exception"]
    write(course, a=dies, b=expected)
    done = run(course, "a.ipynb", "b.ipynb", "--out", "out", "--policy", "open")
    assert done.returncode == 1
    assert {record["outcome"] for record in records(course).values()} == {"crashed"}
    assert stdout_of(course / "out/a.ipynb") == ""
    assert stdout_of(course / "out/b.ipynb") == "on\n"


def test_keep_going_runs_what_stands_behind_an_error(course: Path) -> None:
    write(course, a=notebook("1/0", "print('after')"))
    done = run(course, "a.ipynb", "--out", "out", "--keep-going")
    assert done.returncode == 1
    assert records(course)["a.ipynb"]["code"] == "error.ZeroDivisionError"
    assert stdout_of(course / "out/a.ipynb") == "after\n"


def test_a_notebook_that_takes_too_long_as_a_whole_is_ended(course: Path) -> None:
    write(course, a=notebook(*["import time; time.sleep(1)"] * 30))
    done = run(course, "a.ipynb", "--out", "out", "--timeout", "4")
    assert done.returncode == 1, done.stderr
    assert records(course)["a.ipynb"]["code"] == "notebook.timeout"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.ipynb"], "none.ipynb"),
        (["a.ipynb", "--policy", "nobodys"], "nobodys"),
        (["a.ipynb", "--jobs", "0"], "--jobs"),
        (["empty"], "no notebook"),
    ],
)
def test_wrong_use_is_said_before_anything_runs(
    course: Path, arguments: list[str], says: str
) -> None:
    write(course, a=notebook("1"))
    (course / "empty").mkdir()
    done = run(course, *arguments, "--out", "out")
    assert done.returncode == 2
    assert says in done.stderr
    assert not (course / "out").exists()


def kernels_of(course: Path) -> list[int]:
    """Processes that work in the course's folder and are no batch: kernels and their workers."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            inside = os.readlink(entry / "cwd") == str(course)
        except OSError:
            continue
        if inside and b"sandbox_kernel" in words:
            found.append(int(entry.name))
    return found


def until(condition: Any, seconds: float = SOON) -> None:
    """Wait for a condition that another process brings about."""
    deadline = time.monotonic() + seconds
    for _ in pauses():
        if condition():
            return
        assert time.monotonic() < deadline, "it did not come to this in time"


def pauses() -> Iterator[None]:
    import threading

    never = threading.Event()
    while True:
        yield
        never.wait(0.05)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_batch_that_is_stopped_goes_on_without_loss(course: Path, stop: signal.Signals) -> None:
    names = [f"n{number}" for number in range(6)]
    write(course, **{name: notebook("import time; time.sleep(0.3)", "print(7)") for name in names})
    line, options = command(course, ".", "--out", "out", "--jobs", "2")
    results = course / "out/results.jsonl"
    with subprocess.Popen(line, stderr=subprocess.DEVNULL, **options) as batch:
        until(lambda: results.exists() and results.read_bytes().count(b"\n") >= 2)
        batch.send_signal(stop)
        status = batch.wait(SOON)
    assert status == (130 if stop is not signal.SIGKILL else -stop)
    until(lambda: not kernels_of(course))

    done = run(course, ".", "--out", "out", "--jobs", "2", "--resume")
    assert (done.returncode, done.stdout) == (0, "6 passed\n"), done.stderr
    assert set(records(course)) == {f"{name}.ipynb" for name in names}
    assert all(stdout_of(course / f"out/{name}.ipynb") == "7\n" for name in names)
