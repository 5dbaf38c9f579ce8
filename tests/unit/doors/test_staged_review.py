"""Which changes of a private layer may reach the host, by table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_kernel.trusted.doors.staged_review import (
    Act,
    Kind,
    LowerEntry,
    Mode,
    Review,
    Spent,
    StageRule,
    UpperEntry,
    review,
)

FILE = LowerEntry(Kind.FILE, 4)
DIRECTORY = LowerEntry(Kind.DIRECTORY)


def rule(mode: str, **more: int | None) -> StageRule:
    return StageRule("", True, Mode(mode), **more)


def acts(outcome: Review) -> list[tuple[str, str]]:
    return [(change.act.value, change.path) for change in outcome.changes]


def codes(outcome: Review) -> list[str]:
    return [refusal.code for refusal in outcome.refused]


@pytest.mark.parametrize(
    ("upper", "lower", "create", "append", "write"),
    [
        (UpperEntry(Kind.FILE, 3), None, "create", "create", "create"),
        (UpperEntry(Kind.DIRECTORY), None, "make_directory", "make_directory", "make_directory"),
        (UpperEntry(Kind.FILE, 6, extends=True), FILE, "exists", "append", "replace"),
        (UpperEntry(Kind.FILE, 6, extends=False), FILE, "exists", "rewritten", "replace"),
        (UpperEntry(Kind.FILE, 6, extends=None), FILE, "exists", "rewritten", "replace"),
        (UpperEntry(Kind.FILE, 2, extends=False), FILE, "exists", "rewritten", "replace"),
        (UpperEntry(Kind.FILE, 4, extends=True, same=True), FILE, None, None, None),
        (UpperEntry(Kind.WHITEOUT), FILE, "removed", "removed", "remove"),
        (UpperEntry(Kind.WHITEOUT), None, None, None, None),
        (UpperEntry(Kind.DIRECTORY), DIRECTORY, None, None, None),
        (UpperEntry(Kind.DIRECTORY, opaque=True), DIRECTORY, "opaque", "opaque", None),
        (UpperEntry(Kind.SYMLINK), None, "symlink", "symlink", "link"),
        (UpperEntry(Kind.SYMLINK), FILE, "symlink", "symlink", "link"),
        (UpperEntry(Kind.SPECIAL), None, "special", "special", "special"),
        (UpperEntry(Kind.SPECIAL), FILE, "special", "special", "special"),
    ],
)
def test_each_kind_of_change_is_judged_by_mode(
    upper: UpperEntry, lower: LowerEntry | None, create: str, append: str, write: str
) -> None:
    below = {} if lower is None else {"x": lower}
    for mode, expected in (("create", create), ("append", append), ("write", write)):
        outcome = review(below, {"x": upper}, [rule(mode)])
        assert codes(outcome) + [act for act, _ in acts(outcome)] == (
            [] if expected is None else [expected]
        ), mode


def test_a_grant_of_one_file_covers_no_other_name() -> None:
    only = StageRule("out/result.csv", False, Mode.CREATE)
    upper = {
        "out": UpperEntry(Kind.DIRECTORY),
        "out/result.csv": UpperEntry(Kind.FILE, 1),
        "out/result.csv.bak": UpperEntry(Kind.FILE, 1),
        "other": UpperEntry(Kind.DIRECTORY),
    }
    outcome = review({}, upper, [only])
    assert acts(outcome) == [("make_directory", "out"), ("create", "out/result.csv")]
    assert {r.path: r.code for r in outcome.refused} == {
        "out/result.csv.bak": "outside",
        "other": "outside",
    }


def test_bytes_are_metered_over_the_life_of_the_grant() -> None:
    metered = rule("create", max_bytes=10)
    upper = {"a": UpperEntry(Kind.FILE, 4), "b": UpperEntry(Kind.FILE, 5)}
    first = review({}, upper, [metered], spent={metered: Spent(bytes=3)})
    assert acts(first) == [("create", "a")]
    assert [(r.path, r.code) for r in first.refused] == [("b", "max_bytes")]
    assert first.spent[metered] == Spent(bytes=7, files=1)


def test_an_exact_fit_passes_and_one_byte_more_does_not() -> None:
    metered = rule("create", max_bytes=4)
    assert acts(review({}, {"a": UpperEntry(Kind.FILE, 4)}, [metered])) == [("create", "a")]
    assert codes(review({}, {"a": UpperEntry(Kind.FILE, 5)}, [metered])) == ["max_bytes"]


def test_new_files_are_counted() -> None:
    counted = rule("create", max_count=1)
    upper = {"a": UpperEntry(Kind.FILE), "b": UpperEntry(Kind.FILE)}
    outcome = review({}, upper, [counted])
    assert acts(outcome) == [("create", "a")]
    assert codes(outcome) == ["max_count"]


def test_a_limit_of_nothing_means_nothing() -> None:
    assert codes(review({}, {"a": UpperEntry(Kind.FILE, 1)}, [rule("write", max_bytes=0)])) == [
        "max_bytes"
    ]
    assert codes(review({}, {"a": UpperEntry(Kind.FILE, 1)}, [])) == ["outside"]


def test_a_denied_path_stays_as_it_is_in_every_mode() -> None:
    def deny(path: str) -> str | None:
        return "secret" if path.split("/")[0] == "secret" else None

    for mode in ("create", "append", "write"):
        upper = {"secret": UpperEntry(Kind.DIRECTORY), "secret/k": UpperEntry(Kind.FILE, 1)}
        outcome = review({}, upper, [rule(mode)], deny=deny)
        assert acts(outcome) == []
        assert codes(outcome) == ["denied", "denied"]


def test_a_directory_with_a_denied_file_is_not_removed() -> None:
    lower = {"d": DIRECTORY, "d/k": FILE}

    def deny(path: str) -> str | None:
        return "d/k" if path == "d/k" else None

    for upper in ({"d": UpperEntry(Kind.WHITEOUT)}, {"d": UpperEntry(Kind.DIRECTORY, opaque=True)}):
        outcome = review(lower, upper, [rule("write")], deny=deny)
        assert acts(outcome) == []
        assert codes(outcome) == ["denied"]


def test_a_removed_directory_goes_from_its_leaves() -> None:
    lower = {"d": DIRECTORY, "d/e": DIRECTORY, "d/e/f": FILE}
    outcome = review(lower, {"d": UpperEntry(Kind.WHITEOUT)}, [rule("write")])
    assert acts(outcome) == [("remove", "d/e/f"), ("remove", "d/e"), ("remove", "d")]


def test_a_directory_in_place_of_a_file_removes_the_file_first() -> None:
    outcome = review(
        {"x": FILE},
        {"x": UpperEntry(Kind.DIRECTORY, opaque=True), "x/y": UpperEntry(Kind.FILE, 1)},
        [rule("write")],
    )
    assert acts(outcome) == [("remove", "x"), ("make_directory", "x"), ("create", "x/y")]


def test_mount_points_of_ours_are_no_changes() -> None:
    upper = {"data": UpperEntry(Kind.DIRECTORY), "in": UpperEntry(Kind.DIRECTORY)}
    upper["in/x"] = UpperEntry(Kind.FILE)
    outcome = review({}, upper, [rule("create")], placeholders=["data", "in/x"])
    assert outcome.changes == ()
    assert outcome.refused == ()


names = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
uppers = st.dictionaries(
    names,
    st.builds(
        UpperEntry,
        st.sampled_from(list(Kind)),
        st.integers(0, 50),
        st.booleans(),
        st.sampled_from([None, False, True]),
        st.booleans(),
    ),
)
lowers = st.dictionaries(
    names, st.builds(LowerEntry, st.sampled_from([Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK]))
)


@given(lowers, uppers, st.sampled_from(["create", "append"]), st.integers(0, 60))
def test_without_write_nothing_old_is_lost(
    lower: dict[str, LowerEntry], upper: dict[str, UpperEntry], mode: str, most: int
) -> None:
    outcome = review(lower, upper, [rule(mode, max_bytes=most)])
    for change in outcome.changes:
        assert change.act in (Act.CREATE, Act.APPEND, Act.MAKE_DIRECTORY)
        if change.act is not Act.APPEND:
            assert change.path not in lower
    assert sum(change.size for change in outcome.changes) <= most
