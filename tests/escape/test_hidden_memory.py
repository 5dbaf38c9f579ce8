"""Memory where no count of a process shows it: in files, in descriptors on their way."""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Iterator

import pytest

from sandbox_kernel.trusted.limits import sampling
from sandbox_kernel.trusted.limits.sampling import MonitorFailed, held
from sandbox_kernel.trusted.limits.tree import Tree
from tests.features.kernel.conftest import Kernel, started

POLICY = """
version = 1
extends = "default"
language = "full"
[limits]
memory = "300 MB"
"""
MEGABYTE = 1 << 20


@pytest.fixture(scope="module", params=[None, "no-namespaces"])
def kernel(request, tmp_path_factory) -> Iterator[Kernel]:
    made = started(tmp_path_factory.mktemp("hidden"), level=request.param, policy=POLICY)
    yield made
    made.client.stop_channels()
    made.manager.shutdown_kernel(now=True)


STORE = (
    "import os, socket\n"
    "a, b = socket.socketpair()\n"
    "block = b'x' * (1 << 20)\n"
    "def store(megabytes):\n"
    "    file = os.memfd_create('store')\n"
    "    for _ in range(megabytes): os.write(file, block)\n"
    "    return file\n"
)


def test_memory_in_descriptors_that_nobody_receives_ends_the_cell(kernel):
    ran = kernel.run(
        STORE + "for _ in range(12):\n"
        "    file = store(40)\n"
        "    socket.send_fds(a, [b'x'], [file])\n"
        "    os.close(file)\n"
        "while True: pass"
    )
    assert "on their way through sockets" in ran.error
    kernel.run("1")  # The worker is ended at the cell's end, maybe only now.
    assert kernel.run("print(1)").text() == "1\n"


def test_descriptors_that_go_from_hand_to_hand_are_no_breach(kernel):
    ran = kernel.run(
        STORE + "import time\n"
        "end = time.monotonic() + 1.5\n"
        "file = store(10)\n"
        "while time.monotonic() < end:\n"
        "    socket.send_fds(a, [b'x'], [file])\n"
        "    _, fds, _, _ = socket.recv_fds(b, 1, 1)\n"
        "    os.close(fds[0])\n"
        "    time.sleep(0.001)\n"
        "os.close(file)\n"
        "print('done')"
    )
    assert ran.text() == "done\n", ran.error


def test_memory_that_is_shared_does_not_hide_what_lies_in_files(kernel):
    code = (
        STORE + "import mmap\n"
        "shared = mmap.mmap(-1, {megabytes} << 20)\n"
        "for at in range(0, len(shared), 4096): shared[at] = 1\n"
        "file = store({megabytes})\n"
        "{then}\n"
        "os.close(file)\n"
        "shared.close()\n"
        "print('done')"
    )
    few = kernel.run(code.format(megabytes=60, then="pass"))
    assert few.text() == "done\n", few.error
    many = kernel.run(code.format(megabytes=180, then="while True: pass"))
    assert "memory" in many.error
    kernel.run("1")  # What is left of it may end the worker now.
    assert kernel.run("print(1)").text() == "1\n"


# --- what the counts say --------------------------------------------------------------------------


def test_what_is_on_its_way_is_seen_and_in_no_other_count() -> None:
    file = os.memfd_create("store")
    os.write(file, b"x" * 20 * MEGABYTE)
    before = held([os.getpid()])
    assert before.bytes >= 20 * MEGABYTE
    out, back = socket.socketpair()
    with out, back:
        socket.send_fds(out, [b"x"], [file])
        os.close(file)
        # The control: without a look at the sockets it would be gone.
        assert held([os.getpid()]).bytes <= before.bytes - 20 * MEGABYTE
        assert held([os.getpid()]).in_flight == before.in_flight + 1
        _, (again,), _, _ = socket.recv_fds(back, 1, 1)
        assert os.fstat(again).st_blocks * 512 >= 20 * MEGABYTE
        os.close(again)


def test_descriptors_in_a_queue_that_nobody_has_accepted_are_seen_too(tmp_path) -> None:
    folder = os.open(tmp_path, os.O_PATH)
    path = f"/proc/self/fd/{folder}/listener"  # An address has 107 bytes.
    before = held([os.getpid()]).in_flight
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as sender:
        listener.bind(path)
        listener.listen(1)
        sender.connect(path)
        socket.send_fds(sender, [b"x"], [0])
        assert held([os.getpid()]).in_flight == before + 1
    os.close(folder)


def test_what_is_mapped_of_a_file_is_told_from_what_is_shared_without_one() -> None:
    before = sampling.mapped_files([os.getpid()])
    file = os.memfd_create("store")
    os.ftruncate(file, 4 * MEGABYTE)
    with mmap.mmap(file, 4 * MEGABYTE) as mapped, mmap.mmap(-1, 8 * MEGABYTE) as shared:
        for view in (mapped, shared):
            for at in range(0, len(view), 4096):
                view[at] = 1
        assert sampling.mapped_files([os.getpid()]) - before == 4 * MEGABYTE
    os.close(file)


def test_the_descriptor_of_an_order_for_a_copy_may_wait_and_no_other() -> None:
    tree = Tree(1)
    tree._check_in_flight(1, 0.0)
    with pytest.raises(MonitorFailed):
        tree._check_in_flight(1, 1.0)
    tree._check_in_flight(0, 1.1)
    tree.awaits(True, 1.1, 0)
    for clock in (2.0, 5.0, 11.0):
        tree._check_in_flight(1, clock)
    with pytest.raises(MonitorFailed):
        tree._check_in_flight(2, 11.1)
    with pytest.raises(MonitorFailed):
        tree._check_in_flight(1, 13.0)


def test_as_many_may_wait_as_orders_are_not_answered() -> None:
    tree = Tree(1)
    tree.awaits(True, 0.0, 0)
    tree.copy_is(None)  # Given up, and the order still lies in the worker's channel.
    tree.awaits(True, 0.1, 0)
    for clock in (0.2, 5.0):
        tree._check_in_flight(2, clock)
    tree.answered()
    with pytest.raises(MonitorFailed):
        tree._check_in_flight(2, 5.1)
    tree.answered()
    with pytest.raises(MonitorFailed):
        tree._check_in_flight(1, 5.2)


def test_what_waits_in_the_workers_channel_is_the_supervisors_own() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = f"socket:[{os.fstat(theirs.fileno()).st_ino}]"
        before = held([os.getpid()]).in_flight
        socket.send_fds(ours, [b"an order"], [ours.fileno()])
        assert held([os.getpid()]).in_flight == before + 1
        assert held([os.getpid()], channel).in_flight == before
