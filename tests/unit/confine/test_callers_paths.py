"""Paths as another process would reach them."""

import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox_kernel.trusted.confine.callers_paths import as_own, real_path


@pytest.fixture
def other(tmp_path):
    """A process whose standard input is a file of its own."""
    (tmp_path / "own").write_text("x")
    with open(tmp_path / "own") as file:
        process = subprocess.Popen(["sleep", "1000"], stdin=file)
    yield process.pid
    process.kill()
    process.wait()


@pytest.mark.parametrize("path", ["/proc/self/fd/0", "/proc/thread-self/fd/0", "/dev/fd/0"])
def test_descriptors_are_the_callers(path, other, tmp_path):
    assert real_path(path, other) == str(tmp_path / "own")
    assert os.path.realpath(path) != str(tmp_path / "own")


def test_a_link_that_leads_there_leads_to_the_callers(other, tmp_path):
    (tmp_path / "link").symlink_to("/dev/stdin")
    assert real_path(str(tmp_path / "link"), other) == str(tmp_path / "own")


@pytest.mark.parametrize("tail", ["", "/", "/.", "/missing", "/missing/deeper", "/../beside"])
def test_elsewhere_as_any_process_reaches_it(tail, tmp_path):
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("folder/inner")
    path = str(tmp_path / "link") + tail
    assert real_path(path, os.getpid()) == os.path.realpath(path)


def test_a_circle_of_links_is_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        real_path(str(tmp_path / "a"), os.getpid())


def test_a_process_is_told_from_another_by_its_number(other):
    assert as_own(f"/proc/{other}/stat", other) == "/proc/self/stat"
    assert as_own(f"/proc/{other}/task/1/stat", other) == "/proc/self/task/1/stat"
    for path in (f"/proc/{os.getpid()}/stat", f"/proc/{other}", "/proc/stat", "/proc/self/stat"):
        assert as_own(path, other) == path


def test_a_thread_is_its_process():
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(threading.get_native_id).result()
        assert task != os.getpid()
        assert as_own(f"/proc/{os.getpid()}/stat", task) == "/proc/self/stat"
