"""What the doors cost: opens, imports, a CSV file, a request, a grant, beside the same unconfined.

The mount door opens at the speed of the file system, for which it was mounted; at the notify door
each open of a granted file goes to the supervisor. Beside them the same behind the walls of the
package `sandlock` (PyPI; it brokers what Landlock cannot say). A grant and a revocation are timed
as a client sees them: from sending the command on a running kernel's control channel to its reply.

All is measured in turn, so that a machine that is busy for a while is so for everything.
"""

from __future__ import annotations

import http.server
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

from benchmarks.door_kernel import control_of_a_kernel, grants_and_revocations
from benchmarks.door_worker import Plain, Walled, rights_of
from benchmarks.report import Row, finish, parser
from sandbox_kernel.trusted.confine.level import Level

OPENS = """
takes = []
for again in range(3):
    begun = time.perf_counter()
    for n in range(10_000):
        os.close(os.open(f"small/{n % 2000}.txt", os.O_RDONLY))
    takes.append(time.perf_counter() - begun)
it = sorted(takes)[1]
"""
IMPORT = """
begun = time.perf_counter()
import numpy, pandas
it = time.perf_counter() - begun
"""
READ_CSV = """
import pandas
takes = []
for again in range(3):
    begun = time.perf_counter()
    pandas.read_csv("ten.csv")
    takes.append(time.perf_counter() - begun)
it = sorted(takes)[1]
"""
REQUEST = """
import http.client
begun = time.perf_counter()
for n in range(100):
    talk = http.client.HTTPConnection("127.0.0.1", PORT)
    talk.request("GET", "/")
    talk.getresponse().read()
    talk.close()
it = (time.perf_counter() - begun) / 100
"""
DOORS = {"mount door": Level.FULL, "notify door": Level.NO_NAMESPACES}
GOALS = {
    ("mount door", "10,000 opens"): 1.3,
    ("mount door", "import numpy, pandas"): 1.1,
    ("mount door", "read_csv of 10 MB"): 1.1,
    ("notify door", "10,000 opens"): 20.0,
    ("notify door", "import numpy, pandas"): 1.15,
}
GRANT_GOAL_MS = 1.0
#: How often the grants are made at each door in turn, how many each time, and before them those by
#: which all who take part warm up; one after a pause is told by itself.
TURNS, GRANTS, WARM_UP = 5, 60, 15

PEER = "sandlock"


def under_peer(folder: Path, port: int, source: str) -> float:
    """What the same code takes in a process that the nearest peer confines."""
    import sandlock

    sandbox = sandlock.Sandbox(
        fs_readable=["/usr", "/lib", "/lib64", "/etc", "/proc", "/dev", str(folder)]
        + [path for path in (*sys.path, sys.prefix, sys.base_prefix) if os.path.exists(path)],
        net_allow=[f"localhost:{port}"],
        cwd=str(folder),
    )
    program = f"import os, time\n{source}\nprint(it)"
    done = sandbox.run([sys.executable, "-c", program], timeout=120)
    if not done.success:
        raise RuntimeError(f"{PEER}: {done} {done.stderr!r}")
    return float(done.stdout)


class _Pong(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"pong")

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def fill(folder: Path) -> None:
    """2,000 small files and 10 MB of CSV."""
    (folder / "small").mkdir()
    for number in range(2000):
        (folder / "small" / f"{number}.txt").write_text("x" * 50)
    line = "1.5,2,hello,2024-01-01\n"
    (folder / "ten.csv").write_text("a,b,c,d\n" + line * (10_000_000 // len(line)))


def main(argv: Sequence[str]) -> int:
    """Measure in turn, a fresh process for each number of each round."""
    words = parser(__doc__)
    words.add_argument("--rounds", type=int, default=9)
    options = words.parse_args(argv)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pong)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    works = {
        "10,000 opens": OPENS,
        "import numpy, pandas": IMPORT,
        "read_csv of 10 MB": READ_CSV,
        "connect and small request": REQUEST.replace("PORT", str(server.server_port)),
    }
    text = (
        '[[given.files]]\npath = "."\nmode = "read"\nreason = "benchmark"\n'
        f'[[given.sockets]]\nconnect = "localhost:{server.server_port}"\nreason = "benchmark"'
    )
    peer = importlib.util.find_spec(PEER) is not None
    if not peer:
        print(f"{PEER} is not installed: no table of it")
    taken: dict[tuple[str, str], list[float]] = {}

    def take(door: str, what: str, *seconds: float) -> None:
        taken.setdefault((door, what), []).extend(seconds)

    with tempfile.TemporaryDirectory() as name, ExitStack() as kernels:
        folder = Path(name) / "work"
        folder.mkdir()
        fill(folder)
        rights = rights_of(folder, text)
        controls = {
            door: kernels.enter_context(control_of_a_kernel(folder, level))
            for door, level in DOORS.items()
        }
        for _ in range(options.rounds):
            for what, source in works.items():
                with closing(Plain(folder)) as plain:
                    take("plain", what, plain.run(source))
                for door, level in DOORS.items():
                    with closing(Walled(folder, level, rights)) as worker:
                        take(door, what, worker.run(source))
                if peer:
                    take(PEER, what, under_peer(folder, server.server_port, source))
            for door, control in controls.items():
                for what, (seconds,) in grants_and_revocations(control, 1).items():
                    take(door, f"{what} after a pause", seconds)
        for _ in range(TURNS):
            for door, control in controls.items():
                for what, each in grants_and_revocations(control, WARM_UP + GRANTS).items():
                    take(door, what, *each[WARM_UP:])
    rows: list[Row] = []
    for door in (*DOORS, PEER) if peer else DOORS:
        for what in works:
            ours, plain_takes = median(taken[door, what]), median(taken["plain", what])
            detail = f"{1e3 * ours:.3g} ms beside {1e3 * plain_takes:.3g} ms"
            goal = GOALS.get((door, what))
            rows.append(Row(f"{door}: {what}", ours / plain_takes, "×", goal, detail))
    for door in DOORS:
        for when, most in (("", GRANT_GOAL_MS), (" after a pause", None)):
            empty = 1e3 * median(taken[door, f"nothing{when}"])
            for what in ("grant", "revoke"):
                it = 1e3 * median(taken[door, f"{what}{when}"])
                detail = f"an empty command takes {empty:.2g} ms"
                rows.append(Row(f"{door}: {what}{when}", it, "ms", most, detail))
    server.shutdown()
    server.server_close()
    title = f"Doors, {options.rounds} rounds, a fresh process each"
    return finish("doors", title, rows, options.json)
