"""10,000 printed lines, from request to the idle status, beside plain ipykernel's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from benchmarks.kernels import PLAIN, SANDBOXED, Kernel, interleaved, running
from benchmarks.report import Row, finish, parser

GOAL = 1.1
LINES = 10_000
CELL = f"for i in range({LINES}): print('line', i)"


class OutputLost(Exception):
    """A kernel printed something else than it was told to."""


def printing(kernel: Kernel) -> tuple[float, int]:
    """Seconds that a cell of LINES prints took, and how many messages carried them."""
    started = time.perf_counter()
    message_id = kernel.client.execute(CELL)
    messages = kernel.until_idle(message_id)
    seconds = time.perf_counter() - started
    kernel.reply(message_id)
    texts = [m["content"]["text"] for m in messages if m["msg_type"] == "stream"]
    if "".join(texts) != "".join(f"line {i}\n" for i in range(LINES)):
        raise OutputLost(f"{sum(text.count(chr(10)) for text in texts)} of {LINES} lines came")
    return seconds, len(texts)


def main(argv: Sequence[str]) -> int:
    """Measure both kernels in turn; the text that arrives is checked each time."""
    words = parser(__doc__)
    words.add_argument("--rounds", type=int, default=4)
    words.add_argument("--cells", type=int, default=4)
    options = words.parse_args(argv)
    taken: dict[str, list[tuple[float, int]]] = {PLAIN: [], SANDBOXED: []}
    for _, name in interleaved(options.rounds):
        with running(name) as kernel:
            printing(kernel)
            taken[name] += [printing(kernel) for _ in range(options.cells)]
    plain, ours = (median(seconds for seconds, _ in taken[name]) for name in (PLAIN, SANDBOXED))
    few, many = sorted(int(median(n for _, n in taken[name])) for name in (PLAIN, SANDBOXED))
    detail = f"{1e3 * ours:.0f} ms beside {1e3 * plain:.0f} ms; {few} to {many} messages"
    row = Row(f"{LINES} printed lines", ours / plain, "×", GOAL, detail)
    return finish("output", "Output", [row], options.json)
