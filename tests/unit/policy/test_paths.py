"""Which paths a written path covers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_kernel.policy.kinds import files
from sandbox_kernel.policy.kinds.paths import (
    PathError,
    PathPattern,
    escaped,
    is_below,
    literal,
    pattern,
)


def make(written: str) -> PathPattern:
    return pattern(written, "/home/ann/nb", "/home/ann", lambda path: path)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        (".", "/home/ann/nb"),
        ("data", "/home/ann/nb/data"),
        ("./data//x/", "/home/ann/nb/data/x"),
        ("../outside", "/home/ann/outside"),
        ("../../../../../etc", "/etc"),
        ("/etc/hosts", "/etc/hosts"),
        ("//etc/hosts", "/etc/hosts"),
        ("~", "/home/ann"),
        ("~/data", "/home/ann/data"),
        ("data/*.csv", "/home/ann/nb/data/*.csv"),
    ],
)
def test_a_written_path_is_made_absolute(written: str, path: str) -> None:
    assert make(written).real == path


@pytest.mark.parametrize("written", ["", "~bob/x", "a\0b", "*/../../etc", "d[ab]/.."])
def test_what_is_no_path_is_refused(written: str) -> None:
    with pytest.raises(PathError):
        make(written)


@pytest.mark.parametrize(
    ("written", "path", "covered"),
    [
        ("data", "/home/ann/nb/data", True),
        ("data", "/home/ann/nb/data/a/b", True),
        ("data", "/home/ann/nb/database", False),
        ("data", "/home/ann/nb", False),
        ("/", "/anything", True),
        ("data/*.csv", "/home/ann/nb/data/a.csv", True),
        ("data/*.csv", "/home/ann/nb/data/.hidden.csv", False),
        ("data/*.csv", "/home/ann/nb/data/sub/a.csv", False),
        ("data/*.csv", "/home/ann/nb/data/a.csv/inside", True),
        ("data/?.csv", "/home/ann/nb/data/ab.csv", False),
        ("data/[ab].csv", "/home/ann/nb/data/b.csv", True),
        ("data/[!ab].csv", "/home/ann/nb/data/b.csv", False),
        ("data/[!ab].csv", "/home/ann/nb/data/c.csv", True),
        ("data/[a-c]1", "/home/ann/nb/data/b1", True),
        ("data/[z-a]1", "/home/ann/nb/data/b1", False),
        ("a[+-0]b", "/home/ann/nb/a/b", False),
        ("a[+-0]b", "/home/ann/nb/a-b", True),
        ("a[+--]b", "/home/ann/nb/a-b", True),
        ("a[a-]b", "/home/ann/nb/a-b", True),
        ("a[]]b", "/home/ann/nb/a]b", True),
        ("**/*.ipynb", "/home/ann/nb/x.ipynb", True),
        ("**/*.ipynb", "/home/ann/nb/a/b/x.ipynb", True),
        ("**/*.ipynb", "/home/ann/nb/.git/x.ipynb", False),
        ("**/*.ipynb", "/home/ann/x.ipynb", False),
        ("a+b(c).txt", "/home/ann/nb/a+b(c).txt", True),
    ],
)
def test_what_a_pattern_covers(written: str, path: str, covered: bool) -> None:
    assert make(written).covers(path) is covered


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("private/key.txt", "/home/ann/nb/PRIVATE/Key.TXT"),
        ("*.env", "/home/ann/nb/.env"),
        ("**/*.env", "/home/ann/nb/.git/x.ENV"),
        ("straße", "/home/ann/nb/STRASSE"),
    ],
)
def test_a_denial_holds_for_any_case_and_for_hidden_files(written: str, path: str) -> None:
    assert make(written).covers_any_spelling(path)
    assert not make(written).covers(path)


_segment = st.text("ab.*?[]!-", min_size=1, max_size=4).filter(lambda s: s not in (".", ".."))
_paths = st.lists(_segment, min_size=1, max_size=4).map("/".join)


@given(_paths)
def test_a_literal_covers_exactly_its_path(path: str) -> None:
    exact = literal("/x/" + path, lambda same: same)

    assert not exact.is_glob
    assert exact.covers_any_spelling("/x/" + path)
    assert not exact.covers_any_spelling("/x/" + path + "z")
    assert pattern(escaped(path), "/x", "/h", lambda same: same).covers_any_spelling("/x/" + path)


@pytest.mark.parametrize("folder", ["/n/[ab]", "/n/*", "/n/a?", "/n/[*]"])
def test_wildcards_in_the_folders_own_name_are_letters(folder: str) -> None:
    """A notebook in a folder named `[ab]` has no rights in the folders `a` and `b`."""
    plain = pattern("data", folder, "/home/ann", lambda path: path)
    glob = pattern("*.csv", folder, "/home/ann", lambda path: path)

    assert plain.covers(f"{folder}/data/x")
    assert not plain.is_glob
    assert glob.covers(f"{folder}/x.csv")
    assert glob.fixed_prefix == folder
    for other in ("/n/a", "/n/b", "/n/ab", "/n/x"):
        assert not plain.covers(f"{other}/data/x")
        assert not glob.covers(f"{other}/x.csv")


@given(_paths, _paths, _paths)
def test_a_pattern_that_is_said_to_cover_another_does(wide: str, narrow: str, path: str) -> None:
    a, b = make(wide), make(narrow)
    real = "/home/ann/nb/" + path

    if a.covers_pattern(b) and b.covers(real):
        assert a.covers(real)
    if a.covers(real) and b.covers(real):
        assert a.may_touch(b)


_modes = st.sampled_from(files.MODES)
_entries = st.builds(
    lambda path, mode, deny: files.FileEntry((make(path),), mode, tuple(map(make, deny))),
    _paths,
    _modes,
    st.lists(_paths, max_size=2),
)


def _allowed(entry: files.FileEntry | None, real: str, mode: str) -> bool:
    return (
        entry is not None
        and entry.includes(real)
        and entry.denial(real) is None
        and files.MODES.index(entry.mode) >= files.MODES.index(mode)  # type: ignore[arg-type]
    )


@given(_entries, _entries, _paths, _modes)
def test_what_two_rights_share_is_what_both_allow(
    a: files.FileEntry, b: files.FileEntry, path: str, mode: str
) -> None:
    real = "/home/ann/nb/" + path
    both = _allowed(a, real, mode) and _allowed(b, real, mode)

    assert _allowed(files.meet(a, b), real, mode) is both
    assert _allowed(files.meet(b, a), real, mode) is both


def test_a_folder_is_below_itself_and_the_root() -> None:
    assert is_below("/a/b", "/a")
    assert is_below("/a", "/a")
    assert is_below("/a", "/")
    assert not is_below("/ab", "/a")
