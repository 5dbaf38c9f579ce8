"""The compiler against an interpreter: every rule does what it says, and nothing else."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_kernel.trusted.confine.bpf import (
    ALLOW,
    KILL,
    NOTIFY,
    Arg,
    Case,
    Rule,
    compile_filter,
    refuse,
)
from tests.unit.confine.interpreter import run

ARCH = 0xC000003E
UNKNOWN = refuse(errno.ENOSYS)


def verdict(rules: dict[int, Rule], number: int, *arguments: int, arch: int = ARCH) -> int:
    return run(compile_filter(rules, ARCH, UNKNOWN), number, arguments, arch)


def test_a_number_outside_the_table_gets_the_unknown_action() -> None:
    assert verdict({5: Rule(ALLOW)}, 6) == UNKNOWN
    assert verdict({5: Rule(ALLOW)}, 4) == UNKNOWN
    assert verdict({5: Rule(ALLOW)}, 100_000) == UNKNOWN


def test_another_architecture_is_killed_even_for_an_allowed_number() -> None:
    assert verdict({5: Rule(ALLOW)}, 5, arch=0x40000003) == KILL


@pytest.mark.parametrize("number", [0x40000000, 0x40000005, 0xFFFFFFFF])
def test_x32_numbers_are_killed(number: int) -> None:
    assert verdict({5: Rule(ALLOW)}, number) == KILL


def test_a_narrow_condition_ignores_the_high_half() -> None:
    rules = {1: Rule(refuse(1), (Case((Arg(1, 0x5401),), ALLOW),))}
    assert verdict(rules, 1, 0, 0x5401) == ALLOW
    assert verdict(rules, 1, 0, 0xDEAD00005401) == ALLOW
    assert verdict(rules, 1, 0, 0x5412) == refuse(1)


def test_a_wide_condition_looks_at_both_halves() -> None:
    rules = {1: Rule(refuse(1), (Case((Arg(4, 0, 2**64 - 1, wide=True),), ALLOW),))}
    assert verdict(rules, 1, 0, 0, 0, 0, 0) == ALLOW
    assert verdict(rules, 1, 0, 0, 0, 0, 1 << 40) == refuse(1)
    assert verdict(rules, 1, 0, 0, 0, 0, 1) == refuse(1)


def test_the_first_case_whose_conditions_all_hold_decides() -> None:
    cases = (
        Case((Arg(0, 1, 1), Arg(1, 7)), NOTIFY),
        Case((Arg(0, 1, 1),), refuse(13)),
    )
    rules = {3: Rule(ALLOW, cases)}
    assert verdict(rules, 3, 1, 7) == NOTIFY
    assert verdict(rules, 3, 3, 8) == refuse(13)
    assert verdict(rules, 3, 2, 7) == ALLOW


def test_a_program_over_the_kernels_limit_is_refused() -> None:
    many = tuple(Case((Arg(0, i),), ALLOW) for i in range(100))
    rules = {number: Rule(refuse(number), many) for number in range(50)}
    with pytest.raises(ValueError, match="instructions"):
        compile_filter(rules, ARCH, UNKNOWN)


ACTIONS = st.sampled_from([ALLOW, NOTIFY, KILL, refuse(1), refuse(13)])
ARGS = st.builds(
    Arg,
    st.integers(0, 5),
    st.integers(0, 3),
    st.sampled_from([3, 1, 2, 0xFFFFFFFF]),
    st.booleans(),
)
RULES = st.builds(
    Rule,
    ACTIONS,
    st.lists(
        st.builds(Case, st.lists(ARGS, min_size=1, max_size=3).map(tuple), ACTIONS), max_size=4
    ).map(tuple),
)


def expected(rule: Rule, arguments: tuple[int, ...]) -> int:
    """The rule's meaning, said the plain way."""
    for case in rule.cases:
        if all(
            (arguments[arg.argument] & arg.mask & (2**64 - 1 if arg.wide else 2**32 - 1))
            == arg.value
            for arg in case.when
        ):
            return case.action
    return rule.otherwise


@given(
    st.dictionaries(st.integers(0, 500), RULES, min_size=1, max_size=60),
    st.integers(0, 510),
    st.tuples(*[st.sampled_from([0, 1, 2, 3, 1 << 32, (1 << 32) + 1])] * 6),
)
def test_compiled_rules_mean_what_they_say(
    rules: dict[int, Rule], number: int, arguments: tuple[int, ...]
) -> None:
    wanted = expected(rules[number], arguments) if number in rules else UNKNOWN
    assert verdict(rules, number, *arguments) == wanted
