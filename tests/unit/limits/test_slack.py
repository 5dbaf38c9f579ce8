"""How far beside the limit the memory wall stands: pure, by looks one after another."""

from __future__ import annotations

import math
from dataclasses import replace

from sandbox_kernel.trusted.limits.sampling import Sample
from sandbox_kernel.trusted.limits.slack import SETTLED, Slack

MB = 1_000_000
LIMIT = 400.0 * MB
MARGIN = 6 * MB
BEGIN = Sample(clock=0.0, cpu=1.0, memory=40 * MB, own=40 * MB, reserved=10 * MB, threads=1)


def worked(sample: Sample, *, grown: int = 0, reserved: int, cpu: float = SETTLED) -> Sample:
    """The next look: after so much work, with so much more filled."""
    return replace(
        sample,
        cpu=sample.cpu + cpu,
        memory=sample.memory + grown,
        own=sample.own + grown,
        reserved=reserved,
    )


def test_what_a_worker_has_reserved_before_its_first_cell_is_added() -> None:
    assert Slack(BEGIN).bytes(BEGIN, LIMIT) == 10 * MB - MARGIN


def test_a_block_that_is_being_filled_does_not_raise_the_wall() -> None:
    slack = Slack(BEGIN)
    look = BEGIN
    for left in (60, 40, 20, 0):
        look = worked(look, grown=20 * MB, reserved=(10 + left) * MB)
        assert slack.bytes(look, LIMIT) == 10 * MB - MARGIN


def test_a_block_whose_filling_is_kept_waiting_by_a_busy_machine_does_not_either() -> None:
    slack = Slack(BEGIN)
    for _ in range(20):
        look = worked(BEGIN, reserved=70 * MB, cpu=0.0)
        assert slack.bytes(look, LIMIT) == 10 * MB - MARGIN


def test_what_stays_untouched_while_the_worker_goes_on_raises_it() -> None:
    slack = Slack(BEGIN)
    look = worked(BEGIN, reserved=70 * MB)
    assert slack.bytes(look, LIMIT) == 70 * MB - MARGIN


def test_pages_that_were_given_back_raise_it_at_once() -> None:
    slack = Slack(BEGIN)
    full = replace(BEGIN, memory=140 * MB, own=140 * MB)
    assert slack.bytes(full, LIMIT) == 10 * MB - MARGIN
    back = replace(BEGIN, memory=50 * MB, own=50 * MB, reserved=100 * MB)
    assert slack.bytes(back, LIMIT) == 100 * MB - MARGIN


def test_all_that_was_in_use_and_was_given_back_counts_and_of_the_rest_a_part() -> None:
    slack = Slack(BEGIN)
    full = replace(BEGIN, memory=390 * MB, own=390 * MB)
    slack.bytes(full, LIMIT)
    back = replace(BEGIN, memory=50 * MB, own=50 * MB, reserved=350 * MB)
    assert slack.bytes(back, LIMIT) == 340 * MB - MARGIN
    untouched = Slack(BEGIN)
    untouched.bytes(replace(BEGIN, reserved=350 * MB), LIMIT)
    asked = replace(BEGIN, reserved=350 * MB, cpu=BEGIN.cpu + 1.0)
    assert untouched.bytes(asked, LIMIT) == 128 * MB - MARGIN


def test_what_is_touched_after_all_lowers_it_at_once() -> None:
    slack = Slack(BEGIN)
    look = worked(BEGIN, grown=8 * MB, reserved=2 * MB, cpu=0.0)
    assert slack.bytes(look, LIMIT) == 2 * MB - MARGIN


def test_memory_that_the_wall_does_not_count_lowers_it() -> None:
    elsewhere = replace(BEGIN, memory=BEGIN.memory + 100 * MB)
    assert Slack(elsewhere).bytes(elsewhere, LIMIT) == (10 - 100) * MB - MARGIN


def test_a_small_copy_lowers_it_and_one_that_would_be_given_up_does_not() -> None:
    small = replace(BEGIN, memory=BEGIN.memory + 5 * MB, copy=5 * MB)
    big = replace(BEGIN, memory=BEGIN.memory + 50 * MB, copy=50 * MB)
    assert Slack(small).bytes(small, LIMIT) == (10 - 5) * MB - MARGIN
    assert Slack(big).bytes(big, LIMIT) == 10 * MB - MARGIN


def test_without_a_limit_and_below_zero_there_is_still_a_number() -> None:
    assert Slack(BEGIN).bytes(BEGIN, math.inf) == 10 * MB
    full = replace(BEGIN, memory=BEGIN.memory + 900 * MB)
    assert Slack(full).bytes(full, LIMIT) == -LIMIT


def test_after_a_cell_that_filled_everything_the_next_one_has_room() -> None:
    slack = Slack(BEGIN)
    own = int(LIMIT) - MARGIN
    full = replace(BEGIN, memory=own, own=own)
    before = slack.bytes(full, LIMIT)
    slack.leave_room(full, LIMIT)
    room = LIMIT + slack.bytes(full, LIMIT) - full.own - full.reserved
    assert before == 10 * MB - MARGIN
    assert room == MARGIN


def test_room_is_left_once_and_never_far_beyond_the_limit() -> None:
    slack = Slack(BEGIN)
    full = BEGIN
    for _ in range(20):
        own = int(LIMIT) + slack.bytes(full, LIMIT) - full.reserved
        full = replace(BEGIN, memory=own, own=own)
        slack.leave_room(full, LIMIT)
    assert LIMIT + MARGIN < own <= LIMIT + 24 * MB + MARGIN
    slack.leave_room(BEGIN, LIMIT)
    assert slack.bytes(BEGIN, LIMIT) == 10 * MB - MARGIN
