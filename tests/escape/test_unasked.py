"""Without namespaces: what native code reads that asks no supervisor.

The number by which the worker's own import system says that it need not ask is no secret, and a
path in memory can change after it was asked about: what Landlock lets through is what a cell has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_kernel.shared.unasked import UNASKED
from tests.features.kernel.conftest import FULL_LANGUAGE, Kernel, started

#: Of the host, its network, its mounts and its processes.
CLOSED = [
    "/proc/net/tcp",
    "/proc/self/net/tcp",
    "/proc/self/net/route",
    "/proc/self/net/unix",
    "/proc/thread-self/net/arp",
    "/proc/self/mountinfo",
    "/proc/self/environ",
    "/proc/1/environ",
    "/proc/keys",
    "/etc/passwd",
    "/sys/kernel/mm/transparent_hugepage/enabled",
]
FOLDERS = ["/", "/root", "/home", "/tmp", "/etc", "/proc", "/proc/1/fd", "/dev/shm", "/var/log"]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("unasked")
    (folder / "private").write_text("private")
    made = started(folder, level="no-namespaces", policy=FULL_LANGUAGE)
    yield made
    made.client.stop_channels()
    made.manager.shutdown_kernel(now=True)


def opened(kernel: Kernel, paths: list[str], flags: int) -> dict[str, bool]:
    """Whether native code opens each of these, unasked."""
    ran = kernel.run(
        "import ctypes, json, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"found = {{p: libc.openat({UNASKED}, p.encode(), {flags}) >= 0 for p in {paths!r}}}\n"
        "print(json.dumps(found))"
    )
    answer: dict[str, bool] = json.loads(ran.text())
    return answer


def test_native_code_reads_nothing_of_the_host_unasked(kernel: Kernel) -> None:
    paths = [*CLOSED, str(kernel.folder / "private"), str(kernel.folder / "notebook.ipynb")]
    assert not any(opened(kernel, paths, os.O_RDONLY).values())
    # The controls: what is installed is read so, and outside the walls most of these can be.
    assert opened(kernel, [os.__file__], os.O_RDONLY) == {os.__file__: True}
    assert sum(Path(path).exists() and os.access(path, os.R_OK) for path in CLOSED) >= 6


def test_native_code_lists_nothing_of_the_host_unasked(kernel: Kernel) -> None:
    folders = [*FOLDERS, str(kernel.folder)]
    assert not any(opened(kernel, folders, os.O_RDONLY | os.O_DIRECTORY).values())
    assert sum(os.access(path, os.R_OK) for path in FOLDERS) >= 4


def test_what_libraries_read_of_their_own_process_is_served(kernel: Kernel) -> None:
    ran = kernel.run(
        "import os, threading\n"
        "print('r-xp' in open('/proc/self/maps').read(), len(os.listdir('/proc/self/fd')) > 2,\n"
        "    'VmRSS' in open('/proc/self/status').read(),\n"
        "    'MemTotal' in open('/proc/meminfo').read(),\n"
        "    len(os.listdir('/proc/self/task')) >= 1)"
    )
    assert ran.text() == "True True True True True\n", ran.error
