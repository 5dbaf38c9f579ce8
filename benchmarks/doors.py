"""What the doors cost: opens, imports, a CSV file, a request, a grant, beside the same unconfined.

The mount door opens at the speed of the file system, for which it was mounted; at the notify door
each open of a granted file goes to the supervisor. Beside them the same behind the walls of the
package `sandlock` (PyPI; it brokers what Landlock cannot say). A grant and a revocation are timed
as a client sees them: from sending the command on a running kernel's control channel to its reply.
"""

from __future__ import annotations

import http.server
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.door_kernel import control_of_a_kernel, grants_and_revocations
from benchmarks.door_worker import Plain, Walled, rights_of
from benchmarks.report import Row, finish, parser
from sandbox_kernel.trusted.confine.level import Level

OPENS = """
begun = time.perf_counter()
for n in range(10_000):
    os.close(os.open(f"small/{n % 2000}.txt", os.O_RDONLY))
it = time.perf_counter() - begun
"""
IMPORT = """
begun = time.perf_counter()
import numpy, pandas
it = time.perf_counter() - begun
"""
READ_CSV = """
import pandas
begun = time.perf_counter()
pandas.read_csv("ten.csv")
it = time.perf_counter() - begun
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
GRANTS = 300

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
    taken: dict[tuple[str, str], list[float]] = {}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder)
        rights = rights_of(folder, text)
        if not peer:
            print(f"{PEER} is not installed: no table of it")
        for _ in range(options.rounds):
            for what, source in works.items():
                with closing(Plain(folder)) as plain:
                    taken.setdefault(("plain", what), []).append(plain.run(source))
                if peer:
                    seconds = under_peer(folder, server.server_port, source)
                    taken.setdefault((PEER, what), []).append(seconds)
                for door, level in DOORS.items():
                    with closing(Walled(folder, level, rights)) as worker:
                        taken.setdefault((door, what), []).append(worker.run(source))
        for door in (*DOORS, PEER) if peer else DOORS:
            for what in works:
                ours, plain_takes = median(taken[door, what]), median(taken["plain", what])
                detail = f"{1e3 * ours:.3g} ms beside {1e3 * plain_takes:.3g} ms"
                goal = GOALS.get((door, what))
                rows.append(Row(f"{door}: {what}", ours / plain_takes, "×", goal, detail))
        for door, level in DOORS.items():
            with control_of_a_kernel(folder, level) as control:
                seconds = grants_and_revocations(control, GRANTS)
            nothing = f"an empty command takes {1e3 * median(seconds.pop('nothing')):.2g} ms"
            for what, each in seconds.items():
                rows.append(
                    Row(f"{door}: {what}", 1e3 * median(each), "ms", GRANT_GOAL_MS, nothing)
                )
    server.shutdown()
    server.server_close()
    title = f"Doors, {options.rounds} rounds, a fresh process each"
    return finish("doors", title, rows, options.json)
