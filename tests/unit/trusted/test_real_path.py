"""Where a path leads: the same as `os.path.realpath` says, for whatever there is."""

import errno
import os

import pytest

from sandbox_kernel.trusted.real_path import is_plain, one_moment, real_path


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "file").write_text("x")
    (tmp_path / "folder" / "gone (deleted)").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    for name, target in (
        ("to-folder", "folder"),
        ("to-file", "to-folder/file"),
        ("up", "folder/below/../.."),
        ("dangling", "folder/none/below"),
        ("circle", "circle"),
    ):
        (tmp_path / name).symlink_to(target)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "path",
    ["folder/file", "to-file", "to-folder/below/../file", "up/to-file", "dangling", "dangling/more"]
    + ["circle", "circle/x", "folder/file/below", "none", "pipe", "", ".", "/", "//", "/proc/self"]
    + ["to-folder/gone (deleted)", "/proc/self/fd/0", "/proc/self/root/usr", b"folder".decode()],
)
def test_it_is_where_python_says(place, path):
    assert real_path(path) == os.path.realpath(path)


@pytest.mark.parametrize(
    "path",
    ["none/deep/er", "to-folder/none/x", "dangling", "dangling/more", "circle", "circle/x"]
    + ["folder/file/below/more", "none/../x", "to-folder/none/../y", "none/", "none//x", "none/."],
)
def test_nor_do_missing_paths_lead_elsewhere(place, path):
    assert real_path(f"{place}/{path}") == os.path.realpath(f"{place}/{path}")
    assert real_path(f"/{place}/{path}") == os.path.realpath(f"/{place}/{path}")


def test_of_a_removed_folder_it_is_the_path_as_written(place, monkeypatch):
    (place / "short").mkdir()
    held = os.open(place / "short", os.O_PATH)
    (place / "short").rmdir()
    try:
        assert real_path(f"/proc/self/fd/{held}") == os.path.realpath(f"/proc/self/fd/{held}")
        assert real_path(str(place / "short")) == str(place / "short")
    finally:
        os.close(held)


def test_within_one_moment_a_path_is_looked_at_once(place):
    link = place / "moves"
    link.symlink_to("folder")
    with one_moment():
        assert real_path(str(link)) == str(place / "folder")
        link.unlink()
        link.symlink_to("to-file")
        with one_moment():
            assert real_path(str(link)) == str(place / "folder")
        assert real_path(str(link)) == str(place / "folder")
    assert real_path(str(link)) == str(place / "folder" / "file")


@pytest.mark.parametrize("times", [1, 1000], ids=["once", "always"])
def test_a_link_that_comes_and_goes_is_no_error(place, monkeypatch, times):
    """`os.path.realpath` raises when a link is gone between two looks at it."""
    plain, left = os.path.realpath, iter(range(times))

    def realpath(path: str) -> str:
        if next(left, None) is not None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return plain(path)

    monkeypatch.setattr(os.path, "realpath", realpath)
    found = real_path(str(place / "dangling"))
    assert found == str(place / ("folder/none/below" if times == 1 else "dangling"))


@pytest.mark.parametrize(
    "path", ["folder/below/none/x", "folder/file/x", "to-folder/below/x", "up/folder", "circle/x/y"]
)
def test_what_a_path_says_of_those_that_it_is_in_is_so(place, path):
    below = f"{place}/{path}"
    with one_moment():
        is_plain(below)
        while below != "/":
            assert real_path(below) == os.path.realpath(below)
            below = os.path.dirname(below)
