"""One suite over all limits: what holds for each of them.

A limit that is added gets a row in `ROWS` and must pass everything here, or is one that only a door
can count (`test_limits_of_doors.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sandbox_kernel.trusted.limits.table import BY_NAME, LIMITS
from tests.conformance.test_limits_of_doors import BY_DOORS
from tests.features.kernel.conftest import Kernel, start_kernel

__all__ = ["start_kernel"]  # A fixture.

#: What every cell of this suite may use, beyond what its row lowers.
POLICY = """version = 1
extends = "default"
language = "full"
[[given.processes]]
spawn = true
reason = "the processes limit needs some"
[limits]
{lines}
[limits.max]
wall_time = "60 s"
cpu_time = "60 s"
memory = "2 GB"
output = "20 MB"
messages = 5000
threads = 200
processes = 50
open_files = 900
created_files = 5000
scratch = "64 MB"
"""

USUAL = {"wall_time": '"30 s"', "grace": '"1 s"', "memory": '"1 GB"', "scratch": '"64 MB"'}


def policy(**values: str) -> str:
    """The policy of this suite with these limits, each in TOML."""
    lines = "\n".join(f"{name} = {value}" for name, value in {**USUAL, **values}.items())
    return POLICY.format(lines=lines)


IN_SCRATCH = "import os, tempfile; at = tempfile.mkdtemp()\n"


@dataclass(frozen=True)
class Row:
    """A limit with a value, a cell that goes beyond it and one that just does not.

    `raised` is a higher value under which the first cell ends well, None where a limit cannot be
    raised while the kernel runs. `errors` are the exceptions that it may show as.
    """

    name: str
    value: str
    over: str
    under: str
    raised: object
    errors: tuple[str, ...] = ("LimitExceeded",)
    shown: str = ""


ROWS = (
    Row(
        "wall_time",
        '"1 s"',
        "import time; time.sleep(2.5)",
        "import time; time.sleep(.2)",
        "20 s",
        shown="1 s",
    ),
    Row(
        "cpu_time",
        '"1 s"',
        "import time\nend = time.process_time() + 2.5\nwhile time.process_time() < end: pass",
        "sum(range(10**6))",
        "20 s",
        shown="1 s",
    ),
    Row(
        "memory",
        '"300 MB"',
        "blocks = [bytearray(b'x') * 10_000_000 for _ in range(40)]; del blocks",
        "block = bytearray(b'x') * 150_000_000; del block",
        "900 MB",
        ("MemoryError", "LimitExceeded"),
        "300 MB",
    ),
    Row(
        "output",
        '"200 kB"',
        "for i in range(20000): print('x' * 80, flush=i % 50 == 0)",
        "print('x' * 150_000)",
        "10 MB",
        shown="200 kB",
    ),
    Row(
        "messages",
        "60",
        "import time\nfor i in range(400): display(i); time.sleep(.001)",
        "for i in range(40): display(i)",
        3000,
        shown="60",
    ),
    Row(
        "threads",
        "20",
        "import threading, time\nstop = threading.Event()\n"
        "try:\n"
        "    for _ in range(40): threading.Thread(target=stop.wait).start(); time.sleep(.002)\n"
        "    time.sleep(.2)\nfinally: stop.set()",
        "import threading\nstop = threading.Event()\n"
        "for _ in range(8): threading.Thread(target=stop.wait).start()\nstop.set()",
        100,
        ("LimitExceeded", "RuntimeError"),
        "20",
    ),
    Row(
        "processes",
        "3",
        "import subprocess, time\nmany = []\ntry:\n"
        "    for _ in range(8): many.append(subprocess.Popen(['sleep', '30']))\n"
        "    time.sleep(.5)\nfinally:\n    for p in many: p.kill(); p.wait()",
        "import subprocess\np = subprocess.Popen(['sleep', '30']); p.kill(); p.wait()",
        20,
        ("BlockingIOError", "LimitExceeded"),
        "3",
    ),
    Row(
        "open_files",
        "64",
        "many = [open('/dev/null') for _ in range(200)]; [f.close() for f in many]",
        "many = [open('/dev/null') for _ in range(40)]; [f.close() for f in many]",
        500,
        ("OSError",),
        "64",
    ),
    Row(
        "scratch",
        '"8 MB"',
        IN_SCRATCH + "import time\ntry:\n    with open(at + '/big', 'wb', 0) as f:\n"
        "        for _ in range(20): f.write(b'x' * 1_000_000); time.sleep(.05)\n"
        "finally: os.remove(at + '/big')",
        IN_SCRATCH + "open(at + '/small', 'wb').write(b'x' * 1_000_000)",
        None,
        ("OSError", "LimitExceeded"),
        "8 MB",
    ),
    Row(
        "created_files",
        "50",
        IN_SCRATCH + "import time\nfor i in range(120): open(f'{at}/{i}', 'w').close()\n"
        "time.sleep(1)",
        IN_SCRATCH + "for i in range(20): open(f'{at}/{i}', 'w').close()",
        3000,
        shown="50",
    ),
)


def test_every_limit_has_a_row() -> None:
    assert {row.name for row in ROWS} | BY_DOORS == set(BY_NAME)
    assert all(kind.wall and kind.measured for kind in LIMITS)


@pytest.fixture(params=ROWS, ids=lambda row: row.name, scope="module")
def limited(request, start_kernel) -> tuple[Row, Kernel]:
    row: Row = request.param
    kernel = start_kernel(policy=policy(**{row.name: row.value}))
    assert kernel.run("kept = ['from before']").status == "ok"
    return row, kernel


def limits_request(kernel: Kernel, **wanted: object) -> dict:
    content = {"command": "limits", "arguments": wanted}
    return kernel.request("sandbox_request", content, "control").reply["content"]


def assert_kept(kernel: Kernel, told: str) -> None:
    after = kernel.run("print(kept)")
    assert after.text() == "['from before']\n", f"{after.error} after {told}"


def test_just_not_reached_is_not_stopped(limited) -> None:
    row, kernel = limited
    ran = kernel.run(row.under)
    assert ran.status == "ok", ran.error


def test_reached_is_told_and_keeps_the_variables(limited) -> None:
    row, kernel = limited
    ran = kernel.run(row.over)
    assert ran.status == "error"
    assert ran.reply["content"]["ename"] in row.errors
    told = ran.reply["content"]["evalue"]
    assert row.name in told
    assert f"{row.shown} allowed" in told
    assert "policy.toml:" in told
    assert "ariables" in told  # Whether they were kept.
    assert '"limits"' in told or "limits.max" in told  # How to get more.
    assert_kept(kernel, ran.error)


def test_reached_inside_a_library_call_and_at_an_import(limited) -> None:
    """The cell's frame is not the one that runs: a callback of C code, a module's top level."""
    row, kernel = limited
    library = f"import functools\ndef work(*a):\n    exec({row.over!r}, {{'display': display}})\n"
    ran = kernel.run(library + "functools.reduce(work, [1, 2])")
    assert ran.status == "error"
    assert row.name in ran.reply["content"]["evalue"]
    code = "import sys, tempfile, os\nat = tempfile.mkdtemp(); sys.path.insert(0, at)\n"
    name = f"heavy_{row.name}"
    source = "from IPython.display import display\n" + row.over
    code += f"open(f'{{at}}/{name}.py', 'w').write({source!r})\nimport {name}"
    ran = kernel.run(code)
    assert ran.status == "error"
    assert row.name in ran.reply["content"]["evalue"]
    assert_kept(kernel, ran.error)


def test_ignored_is_ended_by_force_and_said(limited) -> None:
    """A cell that swallows the exception is killed after the grace; the copy brings all back."""
    row, kernel = limited
    if row.errors[0] != "LimitExceeded":
        pytest.skip("its wall refuses; there is no exception of ours to swallow")
    loop = "import time\nwhile True:\n    try:\n"
    body = "".join(f"        {line}\n" for line in row.over.splitlines())
    ran = kernel.run(loop + body + "        time.sleep(.2)\n    except BaseException: pass\n")
    assert ran.status == "error"
    assert row.name in ran.reply["content"]["evalue"]
    assert "killed" in ran.reply["content"]["evalue"]
    said = ran.reply["content"]["evalue"]
    kept = kernel.run("print(kept)")
    if "are back" in said:
        assert kept.text() == "['from before']\n"
    else:
        assert "Its variables are gone" in said
        assert "NameError" in kept.error
        kernel.run("kept = ['from before']")


def test_hit_while_a_question_is_open(limited) -> None:
    """A thread goes on while the cell waits for a person; the person's time does not count."""
    row, kernel = limited
    waits = "answer = input('your name? ')\nprint(answer)"
    assert kernel.run(waits, answer="ann").text() == "ann\n"
    if row.name in ("cpu_time", "memory"):
        work = {
            "cpu_time": "while True: pass",
            "memory": "import mmap, time\nheld = mmap.mmap(-1, 600_000_000)\n"
            "for i in range(0, 600_000_000, 4096): held[i] = 1",
        }[row.name]
        code = f"import threading\ndef work():\n    exec({work!r})\n"
        code += "threading.Thread(target=work, daemon=True).start()\n" + waits
        cell = kernel.client.execute(code, allow_stdin=True)
        assert kernel.client.get_stdin_msg(timeout=30)["msg_type"] == "input_request"
        reply = kernel.reply_to(cell)["content"]
        assert reply["status"] == "error"
        assert row.name in reply["evalue"]
        kernel.run("import os; os._exit(0)")
        kernel.run("kept = ['from before']")


def test_raised_live_lets_the_same_cell_through(limited) -> None:
    """Last of its row: the limit is higher from here on."""
    row, kernel = limited
    if row.raised is None:
        answer = limits_request(kernel, **{row.name: "60 MB"})
        assert answer["status"] == "error"
        return
    wanted = {row.name: row.raised}
    if row.name == "wall_time":
        # While it runs: the answer to `limits` must come before the cell's end.
        cell = kernel.client.execute(row.over)
        kernel.published(lambda m: m["content"].get("execution_state") == "busy")
        assert limits_request(kernel, **wanted)["status"] == "ok"
        assert kernel.reply_to(cell)["content"]["status"] == "ok"
    else:
        assert limits_request(kernel, **wanted)["status"] == "ok"
        ran = kernel.run(row.over)
        assert ran.status == "ok", ran.error
    too_much = {row.name: 10**6 if isinstance(row.raised, int) else row.raised.replace(" ", "00 ")}
    refused = limits_request(kernel, **too_much)
    assert refused["status"] == "error"
    assert row.name in str(refused)


def test_two_kernels_at_their_limit_do_not_disturb_each_other(start_kernel) -> None:
    # Each has the one limit: a busy machine takes more than a second for filling 300 MB.
    texts = (policy(cpu_time='"1 s"'), policy(memory='"300 MB"'))
    both = [start_kernel(policy=text) for text in texts]
    cells = ["while True: pass", "blocks = [bytearray(b'x') * 10_000_000 for _ in range(99)]"]
    ids = [kernel.client.execute(cell) for kernel, cell in zip(both, cells, strict=True)]
    replies = [k.reply_to(i)["content"] for k, i in zip(both, ids, strict=True)]
    assert "cpu_time" in replies[0]["evalue"]
    assert "memory" in replies[1]["evalue"]
    for kernel in both:
        assert kernel.run("print('alive')").text() == "alive\n"
