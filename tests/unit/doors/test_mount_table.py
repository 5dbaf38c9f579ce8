"""The table of mounts for rights that meet one another."""

import itertools

import pytest

from sandbox_kernel.policy.kinds.files import FileEntry
from sandbox_kernel.policy.kinds.paths import literal
from sandbox_kernel.trusted.doors.mount_table import Bind, Granted, plan
from sandbox_kernel.trusted.doors.resolve import resolve
from sandbox_kernel.trusted.doors.survey import LiveHost


def granted(path, mode, **more) -> Granted:
    entry = FileEntry((literal(str(path), lambda same: same),), mode, **more)
    return Granted(entry, resolve(str(path), "/"), "a line")


@pytest.mark.parametrize("modes", list(itertools.product(("read", "write"), repeat=2)))
def test_the_same_folder_from_two_lines_is_mounted_once_with_the_wider_mode(tmp_path, modes):
    items = plan([granted(tmp_path, mode) for mode in modes], LiveHost())
    (bind,) = (item for item in items if isinstance(item, Bind))
    assert bind.destination == str(tmp_path)
    assert bind.writable is ("write" in modes)


def test_lines_that_protect_other_files_are_still_the_same_folder(tmp_path):
    elsewhere = (literal("/elsewhere/policy.toml", lambda same: same),)
    rights = [granted(tmp_path, "write", read_only=elsewhere), granted(tmp_path, "write")]
    (bind,) = plan(rights, LiveHost())
    assert bind.writable


def test_a_folder_below_a_writable_one_needs_no_mount_of_its_own(tmp_path):
    (tmp_path / "below").mkdir()
    (bind,) = plan([granted(tmp_path / "below", "write"), granted(tmp_path, "write")], LiveHost())
    assert bind.destination == str(tmp_path)
