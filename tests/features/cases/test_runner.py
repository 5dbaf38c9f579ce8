"""The runner on live kernels: plain ones as the control, and broken ones.

A plain ipykernel has no wall, so that here every ``after`` key and every step can be shown to hold
and to fail; a runner that cannot fail would prove nothing of the sandboxed kernel.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cases import kernels
from tests.cases.kernels import Kernel, KernelFault
from tests.cases.play import CHECKOUT, write_kernelspec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = {"path": "outside/secret.txt", "text": "CANARY\n"}


def run(tmp_path: Path, *records: Mapping[str, Any], jobs: int = 2) -> tuple[int, dict[str, Any]]:
    """Run cases on plain kernels, as a person does; the exit status and the results by id."""
    file, out = tmp_path / "cases.jsonl", tmp_path / "out.json"
    file.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    done = subprocess.run(
        [sys.executable, "-m", "tests.cases", str(file), "--kernel", "plain"]
        + ["--jobs", str(jobs), "--json", str(out)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    lines = done.stdout.splitlines()
    results = {each["id"]: each for each in json.loads(out.read_text())}
    assert len(lines) == len(results) + 1, done.stdout + done.stderr
    passed = sum(each["outcome"] == "pass" for each in results.values())
    failed = sum(each["outcome"] == "fail" for each in results.values())
    skipped = len(results) - passed - failed
    assert lines[-1] == f"{passed} passed, {failed} failed, {skipped} skipped"
    return done.returncode, results


def case(name: str, *steps: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": name, "group": "X", "steps": list(steps)} | fields


def reasons(results: Mapping[str, Any], name: str) -> str:
    return " | ".join(results[name]["reasons"])


def contains(reasons: str, parts: Iterable[str]) -> bool:
    return all(part in reasons for part in parts)


def test_every_kind_of_step_can_hold(tmp_path: Path) -> None:
    """Everything that plain ipykernel can do, in one case and one kernel."""
    code, results = run(
        tmp_path,
        case(
            "STEPS",
            {"host": "open('${WORLD}/nb/made.txt', 'w').write('by the host')"},
            {"cell": "print(open('made.txt').read())", "expect": {"stdout": "by the host\n"}},
            {"stdin": "Ann"},
            {"cell": "print(input('name? '))", "expect": {"status": "ok", "stdout": "Ann\n"}},
            {"cell": "x = 41; 1/0", "expect": {"error": ["ZeroDivisionError"], "within_s": 20}},
            {"cell": "import time; time.sleep(1)", "wait": False, "expect": {"status": "ok"}},
            {"cell": "print('queued')", "wait": False, "expect": {"stdout": "queued\n"}},
            {"interrupt_after": 0.2},
            {"cell": "while True: pass", "expect": {"error": ["KeyboardInterrupt"]}},
            {
                "request": {
                    "type": "complete_request",
                    "content": {"code": "pri", "cursor_pos": -1},
                },
                "expect": {"reply": {"status": "ok"}, "reply_has": ["print"]},
            },
            {
                "cell": "import os, json\n"
                "print(os.getppid() == ${RUNNER.pid}, len(${KERNEL.ports}),\n"
                "      len(json.load(open('${KERNEL.connection_file}'))['key']) > 5,\n"
                "      os.environ['CASE'], os.environ['HOME'] == '${WORLD}/home')",
                "expect": {"stdout": "True 5 True CANARY True\n"},
            },
            {"cell": "import os; print(os.getcwd())", "expect": {"stdout": "${WORLD}/nb\n"}},
            {
                "cell": "import glob; print(sorted(glob.glob('*.ipynb')))",
                "kernel": "b",
                "expect": {"stdout_has": ["case-b.ipynb", "case.ipynb"]},
            },
            environ={"CASE": "CANARY"},
            world=[SECRET],
            after={
                "vars_kept": {"x": "41"},
                "alive": True,
                "unchanged": ["outside/secret.txt", "nb/case.ipynb"],
                "present": ["nb/made.txt"],
                "absent": ["home/.cache/none"],
                "stdout_has": ["queued", "Ann"],
            },
        ),
        case(
            "RESTART",
            {"cell": "y = 1"},
            {"restart": True},
            {"cell": "print('y' in globals())", "expect": {"stdout": "False\n"}},
            after={"alive": True},
        ),
    )
    assert code == 0, results
    assert {each["outcome"] for each in results.values()} == {"pass"}


def test_every_way_to_fail_is_told_with_its_reason(tmp_path: Path) -> None:
    web = {"name": "web", "kind": "tcp", "host": "127.0.0.1", "port": "auto"}
    idle = web | {"name": "idle"}
    code, results = run(
        tmp_path,
        case(
            "AFTER",
            {"cell": "x = 1; open('${WORLD}/outside/secret.txt', 'a').write('more')"},
            {
                "cell": "import socket\nsocket.create_connection(('127.0.0.1', ${web.port}))",
                "expect": {"status": "error"},
            },
            {"cell": "name = input('name? ')"},
            {"host": "assert False, 'seen from outside'"},
            {"comm": {"model": "ButtonModel", "data": {}}},
            {"cell": "print('late')", "wait": False, "expect": {"stdout": "early\n"}},
            {"stdin": "never asked"},
            world=[SECRET],
            services=[web, idle],
            after={
                "unchanged": ["outside/secret.txt"],
                "absent": ["outside/secret.txt"],
                "present": ["nb/nothing"],
                "no_contact": ["web"],
                "contact": ["idle"],
                "vars_kept": {"x": "2"},
                "stdout_has": ["not printed"],
            },
        ),
        case("NEEDS", {"cell": "1"}, needs=["json", "manual"]),
        case("DIES", {"cell": "import os; os._exit(5)"}, after={"alive": True}),
        case(
            "SPEED",
            {"cell": "import time; time.sleep(0.5)", "expect": {"within_s": 0.2}},
            {"cell": "print('after a failure the case goes on')", "expect": {"stdout": ""}},
        ),
    )
    assert code == 1
    assert contains(
        reasons(results, "AFTER"),
        ["unchanged:", "absent:", "present:", "no_contact: web", "contact: nobody came to idle"]
        + ["vars_kept: x is '1\\n'", "stdout_has", "seen from outside", "ButtonModel"]
        + ["step 2: status is ok", "step 3: a question for which nothing is armed"]
        + ["step 6: stdout"],
    ), reasons(results, "AFTER")
    assert results["NEEDS"]["outcome"] == "needs-manual"
    assert "the kernel process ended" in reasons(results, "DIES")
    assert contains(reasons(results, "SPEED"), ["step 1: within_s", "step 2: stdout"])


def test_notebook_clients(tmp_path: Path) -> None:
    pytest.importorskip("papermill")
    cells = [
        {"cell": "alpha = 1", "tags": ["parameters"], "expect": {"status": "ok", "within_s": 30}},
        {"cell": "print(alpha)\n1/0", "expect": {"status": "error", "stdout": "1\n"}},
        {"cell": "print('on')", "expect": {"stdout": "on\n"}},
    ]
    five = [cells[0], cells[1] | {"expect": {"error": ["ZeroDivisionError"], "stdout": "5\n"}}]
    code, results = run(
        tmp_path,
        case(
            "ALL",
            {"client": "nbclient", "allow_errors": True},
            *cells,
            after={"stdout_has": ["on"]},
        ),
        case("STOPS", {"client": "nbclient"}, *cells),
        case("PAPERMILL", {"client": "papermill", "parameters": {"alpha": 5}}, *five),
        case("WRONG", {"client": "papermill"}, {"cell": "2", "expect": {"mime_has": ["a/b"]}}),
    )
    assert code == 1
    assert results["ALL"]["outcome"] == "pass", reasons(results, "ALL")
    assert results["PAPERMILL"]["outcome"] == "pass", reasons(results, "PAPERMILL")
    assert "step 4: stdout" in reasons(results, "STOPS")
    assert "mime_has" in reasons(results, "WRONG")


# ---- kernels that do not do what a kernel must --------------------------------------------------


def broken(tmp_path: Path, code: str) -> Kernel:
    """A kernel whose process runs `code` and no kernel."""
    write_kernelspec(tmp_path / "kernels", [sys.executable, "-c", code, "{connection_file}"])
    return Kernel(tmp_path / "kernels", "sandbox-python", tmp_path, tmp_path / "log")


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setattr(kernels, "START", 1.0)
    monkeypatch.setattr(kernels, "STOP", 1.0)


async def start_and_stop(kernel: Kernel) -> None:
    try:
        await kernel.start()
    finally:
        await kernel.stop()


async def fault_of(kernel: Kernel) -> str:
    with pytest.raises(KernelFault) as fault:
        await start_and_stop(kernel)
    return str(fault.value)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise SystemExit('no such wall')", "the kernel process ended; the kernel wrote: no such"),
        ("import signal; signal.pause()", "it does not answer"),
    ],
)
def test_a_kernel_that_does_not_start_is_a_fault_and_no_hang(
    tmp_path: Path, code: str, says: str
) -> None:
    kernel = broken(tmp_path, code)
    assert says in asyncio.run(fault_of(kernel))
    assert not os.path.exists(kernel.connection_file)


def test_a_file_without_a_case_to_run_is_no_success(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text(json.dumps(case("X01", {"cell": "1"})))
    for arguments in (["--group", "Q"], ["--only", "X02"]):
        done = subprocess.run(
            [sys.executable, "-m", "tests.cases", str(file), *arguments],
            cwd=CHECKOUT,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 2
