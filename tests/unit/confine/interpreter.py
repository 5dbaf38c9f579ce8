"""A classic BPF machine, as far as seccomp programs use it (networking/filter.rst)."""

from __future__ import annotations

import struct

ACTION = 0x7FFF0000


def run(program: bytes, number: int, arguments: tuple[int, ...] = (), arch: int = 0) -> int:
    """The value that `program` returns for one system call. Raises ValueError for bad code."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *(a % 2**64 for a in padded))
    code = list(struct.iter_unpack("<HBBI", program))
    accumulator, at = 0, 0
    while at < len(code):
        operation, yes, no, constant = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, constant)
        elif operation == 0x54:
            accumulator &= constant
        elif operation == 0x05:
            at += constant
        elif operation == 0x15:
            at += yes if accumulator == constant else no
        elif operation == 0x35:
            at += yes if accumulator >= constant else no
        elif operation == 0x06:
            return int(constant)
        else:
            raise ValueError(f"operation {operation:#x}")
    raise ValueError("ran off the end")
