"""A notebook's file through renames, moves and saves."""

import os

import pytest

from sandbox_kernel.trusted.notebook_file import NotebookFile


@pytest.fixture
def place(tmp_path):
    (tmp_path / "a.ipynb").write_text("one")
    return tmp_path


@pytest.fixture
def file(place):
    held = NotebookFile(str(place / "a.ipynb"))
    yield held
    held.close()


def test_nothing_new_is_nothing(file, place):
    assert file.look() is False
    assert file.path == str(place / "a.ipynb")


def test_a_renamed_notebook_is_followed(file, place):
    os.rename(place / "a.ipynb", place / "b.ipynb")
    file.look()
    assert file.path == str(place / "b.ipynb")


def test_a_moved_notebook_is_followed_with_its_folder(file, place):
    (place / "deep" / "er").mkdir(parents=True)
    os.rename(place / "a.ipynb", place / "deep" / "a.ipynb")
    file.look()
    os.rename(place / "deep", place / "er")
    file.look()
    assert file.path == str(place / "er" / "a.ipynb")


def test_what_appears_at_the_old_path_is_not_the_notebook(file, place):
    os.rename(place / "a.ipynb", place / "b.ipynb")
    (place / "a.ipynb").write_text("made by somebody else")
    assert file.look() is False
    assert file.path == str(place / "b.ipynb")


@pytest.mark.parametrize("by_rename", [False, True])
def test_a_save_is_seen_and_the_saved_file_is_followed(file, place, by_rename):
    if by_rename:
        (place / "new").write_text("two")
        os.rename(place / "new", place / "a.ipynb")
    else:
        (place / "a.ipynb").write_text("two")
        os.utime(place / "a.ipynb", ns=(1, 1))
    assert file.look() is True
    assert file.look() is False
    os.rename(place / "a.ipynb", place / "b.ipynb")
    file.look()
    assert file.path == str(place / "b.ipynb")


def test_a_deleted_notebook_keeps_its_path_and_comes_back_with_the_next_save(file, place):
    os.unlink(place / "a.ipynb")
    assert file.look() is False
    assert file.path == str(place / "a.ipynb")
    (place / "a.ipynb").write_text("two")
    assert file.look() is True


def test_a_notebook_that_is_not_saved_yet_is_seen_when_it_is(place):
    file = NotebookFile(str(place / "new.ipynb"))
    assert file.look() is False
    (place / "new.ipynb").write_text("one")
    assert file.look() is True
    file.close()


def test_a_link_keeps_its_own_name(place):
    (place / "link.ipynb").symlink_to("a.ipynb")
    file = NotebookFile(str(place / "link.ipynb"))
    file.look()
    assert file.path == str(place / "link.ipynb")
    file.close()


def test_it_is_not_followed_into_a_file_of_another_kind(file, place):
    os.rename(place / "a.ipynb", place / "a.txt")
    file.look()
    assert file.path == str(place / "a.ipynb")
