"""Sizes, durations and counts as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_kernel.policy.instants import check_expiry, expiry
from sandbox_kernel.policy.units import Amount, Count, Duration, Size, UnitError


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (Size, "0 B", 0),
        (Size, "50 MB", 50_000_000),
        (Size, "50MB", 50_000_000),
        (Size, "1.5 GB", 1_500_000_000),
        (Size, "64 KiB", 65_536),
        (Size, "2 kB", 2_000),
        (Size, "unlimited", math.inf),
        (Duration, "60 s", 60),
        (Duration, "250 ms", 0.25),
        (Duration, "5 min", 300),
        (Duration, "12 h", 43_200),
        (Duration, "7 d", 604_800),
        (Count, 32, 32),
        (Count, 0, 0),
        (Count, "unlimited", math.inf),
    ],
)
def test_amounts_are_read(kind: type[Amount], written: object, value: float) -> None:
    amount = kind.parse(written)

    assert amount.value == value
    assert amount.text == str(written)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (Size, 50),
        (Size, "50"),
        (Size, "MB"),
        (Size, "-1 MB"),
        (Size, "5 bananas"),
        (Size, "1e3 MB"),
        (Size, "99999999999999 TB"),
        (Size, True),
        (Size, None),
        (Size, "٥ MB"),
        (Duration, 60),
        (Duration, "60"),
        (Duration, "60 m"),
        (Duration, "infinite"),
        (Count, "32"),
        (Count, -1),
        (Count, 1.5),
        (Count, True),
        (Count, 2**60),
    ],
)
def test_what_is_no_amount_is_refused_with_an_example(kind: type[Amount], written: object) -> None:
    with pytest.raises(UnitError, match=r"write|too large"):
        kind.parse(written)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_the_smaller_amount_is_the_stricter(a: int, b: int) -> None:
    assert Count.parse(a).smaller(Count.parse(b)).value == min(a, b)


def test_a_right_ends_after_a_duration_or_at_an_instant() -> None:
    assert expiry("2 h", 100.0) == 7300.0
    assert expiry("1970-01-01T00:01:00Z", 5.0) == 60.0
    assert expiry(None, 5.0) is None
    assert expiry("unlimited", 5.0) is None


@pytest.mark.parametrize("written", ["tomorrow", "2026-12-24", "2026-12-24T18:00:00", ""])
def test_an_end_without_zone_or_unit_is_a_mistake(written: str) -> None:
    assert len(check_expiry(written)) == 1
