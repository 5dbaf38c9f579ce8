"""Pages that are written after each fork are known and copied ahead: real forks of a process."""

from __future__ import annotations

import subprocess
import sys

PAGES = 400
WORK = f"""
import gc, mmap, os, resource, sys
from sandbox_kernel.sandboxed.written_pages import WrittenPages
PAGE, PAGES = mmap.PAGESIZE, {PAGES}
memory = mmap.mmap(-1, 4 * PAGES * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, len(memory), PAGE): memory[at] = 1
def write():
    for at in range(0, 2 * PAGES * PAGE, 2 * PAGE): memory[at] += 1
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
gc.disable()
pages, child, found = WrittenPages(), 0, []
def fork():
    global child
    pages.before_fork(child > 0)
    former, child = child, os.fork()
    if child == 0:
        sys.stdin.read()
        os._exit(0)
    if former:
        os.kill(former, 9); os.waitpid(former, 0)
for number in range(1, 7):
    fork()
    if sys.argv[1] == "ahead":
        for _ in pages.copy_ahead(): pass
    before = faults()
    write()
    found.append(faults() - before)
os.kill(child, 9)
print(*found, memory[0], memory[PAGE], flush=True)
"""


def faults_of_writes(how: str) -> tuple[list[int], list[int]]:
    """Page faults of each round's writes, and what stands in two pages in the end."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WORK, how]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        *found, first, second = map(int, process.stdout.readline().split())
    return found, [first, second]


def test_known_pages_cost_the_next_cell_no_faults_and_keep_what_they_hold() -> None:
    found, values = faults_of_writes("ahead")
    # 1 is left alone to be looked at, 2 has looked, 3 is left alone, 4 has looked again.
    assert min(found[0], found[2]) >= PAGES
    assert max(found[1], found[3], found[4], found[5]) < PAGES / 10
    assert values == [7, 1]


def test_control_without_it_each_fork_costs_them_again() -> None:
    found, values = faults_of_writes("behind")
    assert min(found) >= PAGES
    assert values == [7, 1]
