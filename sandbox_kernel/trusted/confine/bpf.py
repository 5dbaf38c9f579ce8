"""Compile a table of system call rules to classic BPF. Pure.

A program looks at `struct seccomp_data` (nr, arch, instruction pointer, six 64-bit arguments) and
returns an action (seccomp(2)). Rules in prose:

1. A call made through another architecture's entry (int 0x80 on x86_64) kills the process: its
   numbers mean other calls. So does an x32 number (bit 30).
2. A number finds its rule by binary search over intervals of equal rules.
3. A rule is a list of cases, the first whose conditions all hold decides, else its `otherwise`.
4. A condition compares `argument & mask` with a value. It looks at the low 32 bits, as the kernel
   does for `int` arguments, unless it is `wide`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

ALLOW: Final = 0x7FFF0000
NOTIFY: Final = 0x7FC00000
KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000

_LOAD, _JUMP, _JEQ, _JGE, _AND, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x54, 0x06
_OFFSET_NR, _OFFSET_ARCH, _OFFSET_ARGS = 0, 4, 16
_X32_BIT: Final = 0x40000000
#: BPF_MAXINSNS of linux/bpf_common.h.
MOST_INSTRUCTIONS: Final = 4096


def refuse(errno: int) -> int:
    """The action "return -errno without running the call"."""
    return _ERRNO | (errno & 0xFFFF)


class Arg(NamedTuple):
    """Condition: argument number `argument`, and-ed with `mask`, equals `value`."""

    argument: int
    value: int
    mask: int = 0xFFFFFFFF
    wide: bool = False


class Case(NamedTuple):
    """`action` when every condition holds."""

    when: tuple[Arg, ...]
    action: int


class Rule(NamedTuple):
    """What happens to one system call."""

    otherwise: int
    cases: tuple[Case, ...] = ()


Instruction = tuple[int, int, int, int]


def compile_filter(rules: Mapping[int, Rule], audit_arch: int, unknown: int) -> bytes:
    """The program for `rules` (by system call number); `unknown` is the action for other numbers.

    Raises ValueError when the program would be longer than the kernel takes.
    """
    program: list[Instruction] = [
        (_LOAD, 0, 0, _OFFSET_ARCH),
        (_JEQ, 1, 0, audit_arch),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _OFFSET_NR),
        (_JGE, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, KILL),
    ]
    program += _search(_intervals(rules, Rule(unknown)))
    if len(program) > MOST_INSTRUCTIONS:
        raise ValueError(f"seccomp program of {len(program)} instructions")
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _intervals(rules: Mapping[int, Rule], unknown: Rule) -> list[tuple[int, Rule]]:
    """(first number, rule) for each run of numbers with the same rule, from 0 up."""
    runs: list[tuple[int, Rule]] = []
    for number in range(max(rules) + 2):
        rule = rules.get(number, unknown)
        if not runs or runs[-1][1] != rule:
            runs.append((number, rule))
    return runs


def _search(runs: Sequence[tuple[int, Rule]]) -> list[Instruction]:
    if len(runs) == 1:
        return _body(runs[0][1])
    half = len(runs) // 2
    low, high = _search(runs[:half]), _search(runs[half:])
    if len(low) < 256:
        return [(_JGE, len(low), 0, runs[half][0]), *low, *high]
    return [(_JGE, 0, 1, runs[half][0]), (_JUMP, 0, 0, len(low)), *low, *high]


def _body(rule: Rule) -> list[Instruction]:
    out: list[Instruction] = []
    for case in rule.cases:
        out += _case(case)
    out.append((_RETURN, 0, 0, rule.otherwise))
    return out


def _case(case: Case) -> list[Instruction]:
    """Tests that jump past the end of the case as soon as one fails, then the action."""
    steps: list[Instruction | int] = []
    for arg in case.when:
        offset = _OFFSET_ARGS + 8 * arg.argument
        for shift, at in ((0, offset), (32, offset + 4)) if arg.wide else ((0, offset),):
            steps.append((_LOAD, 0, 0, at))
            mask = arg.mask >> shift & 0xFFFFFFFF
            if mask != 0xFFFFFFFF:
                steps.append((_AND, 0, 0, mask))
            steps.append(arg.value >> shift & 0xFFFFFFFF)
    out: list[Instruction] = []
    for position, step in enumerate(steps):
        if isinstance(step, int):
            out.append((_JEQ, 0, len(steps) - position, step))
        else:
            out.append(step)
    return [*out, (_RETURN, 0, 0, case.action)]
