"""Attacks on the assembled kernel: floods, processes that nobody ordered, and hidden memory."""

from __future__ import annotations

import contextlib
import time

import psutil

SECONDS = 20.0


def test_refusals_do_not_flood_the_audit_log_and_the_front_end(kernel):
    kernel.run("1")
    audit = kernel.folder / "state" / "audit.jsonl"
    ran = kernel.run(
        "import gc\n"
        "link = next(o for o in gc.unfreeze() or gc.get_objects() if type(o).__name__ == 'Link')\n"
        "for n in range(3000):\n"
        "    link.ask('tried', {'action': 'read', 'resource': f'/nowhere/{n}'})\n"
        "print('done')"
    )
    assert "done" in ran.text()
    told = [c for c in ran.of("sandbox_event") if c["kind"] == "denied"]
    assert 0 < len(told) <= 1000
    assert 0 < audit.read_text().count("/nowhere/") <= 3 * 1000  # each in three fields of a record


def test_answers_that_nobody_reads_end_the_worker_not_the_supervisor(kernel):
    ran = kernel.run(
        "import gc\n"
        "from sandbox_kernel.shared.messages import Question\n"
        "link = next(o for o in gc.unfreeze() or gc.get_objects() if type(o).__name__ == 'Link')\n"
        "for n in range(10**7):\n"
        "    link.send(Question(10**6 + n, 'describe', {}))\n"
        "print('all asked')"
    )
    assert "does not read the answers" in ran.error
    assert kernel.run("print(1 + 1)").text() == "2\n"


_OTHER_FORK = """
import gc, os
copies = next(o for o in gc.unfreeze() or gc.get_objects() if type(o).__name__ == "Copies")
def take(link, harmless):
    if os.fork() == 0:
        while True:
            pass
    return "none is made", 0.0, None
copies.take = take
"""


def test_a_fork_that_was_ordered_for_a_copy_makes_no_process_that_stays(kernel, control):
    supervisor = psutil.Process(kernel.manager.provisioner.process.pid)

    def alive() -> int:
        found = 0
        for process in supervisor.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += process.status() != psutil.STATUS_ZOMBIE
        return found

    kernel.run("1")
    deadline = time.monotonic() + SECONDS
    while not control.status()["protected"]:
        assert time.monotonic() < deadline, "there is no copy"
    with_copy = alive()
    kernel.run(_OTHER_FORK)
    for _ in range(5):
        kernel.run("2")
    # Without a wall there would be one more for each cell.
    deadline = time.monotonic() + SECONDS
    while alive() > with_copy:
        assert time.monotonic() < deadline, "processes that nobody ordered go on"
        psutil.wait_procs(supervisor.children(recursive=True), timeout=0.2)
    assert kernel.run("3").status == "ok"


def test_memory_in_files_that_are_not_mapped_counts(kernel, control):
    code = (
        "import os\nfile = os.memfd_create('store')\nblock = b'x' * (1 << 20)\n"
        "for _ in range({megabytes}): os.write(file, block)\n"
        "{then}"
    )
    few = kernel.run(code.format(megabytes=20, then="os.close(file); print('kept')"))
    assert few.text() == "kept\n", few.error
    many = kernel.run(code.format(megabytes=400, then="while True: pass"))
    assert "memory" in many.error
    kernel.run("os.close(file)")
    assert kernel.run("1").status == "ok"


def test_the_supervisor_listens_while_a_cell_floods_it_with_questions(kernel, control):
    code = (
        "import gc\n"
        "from sandbox_kernel.shared.messages import Question\n"
        "link = next(o for o in gc.unfreeze() or gc.get_objects() if type(o).__name__ == 'Link')\n"
        "path = 'a/' * 2000\n"
        "print('go', flush=True)\n"
        "while True:\n"
        "    link.send(Question(10**6, 'can', {'action': 'read', 'resource': path}))\n"
        "    link.poll()\n"
        "    link._arrived.clear()\n"
    )
    before = time.monotonic()
    control.status()
    quiet = time.monotonic() - before
    cell = kernel.client.execute(code)
    kernel.published(lambda message: message["content"].get("text") == "go\n")
    before = time.monotonic()
    for _ in range(3):
        assert control.status()["busy"] is True
    assert time.monotonic() - before < SECONDS + quiet
    kernel.manager.interrupt_kernel()
    assert kernel.reply_to(cell)["content"]["status"] == "error"
    assert kernel.run("1").status == "ok"
