"""Raw system calls for attacks, in a worker that may lack everything else."""

from __future__ import annotations

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

X86 = os.uname().machine == "x86_64"
#: (x86_64, aarch64); None where the architecture has no such call.
NUMBERS: dict[str, tuple[int, int | None]] = {
    "sendto": (44, 206),
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "ioctl": (16, 29),
    "ptrace": (101, 117),
    "setuid": (105, 146),
    "setgroups": (116, 159),
    "capset": (126, 91),
    "personality": (135, 92),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "chroot": (161, 51),
    "mount": (165, 40),
    "umount2": (166, 39),
    "sethostname": (170, 161),
    "settimeofday": (164, 170),
    "init_module": (175, 105),
    "inotify_init1": (294, 26),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "add_key": (248, 217),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "perf_event_open": (298, 241),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "setns": (308, 268),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "seccomp": (317, 277),
    "bpf": (321, 280),
    "execveat": (322, 281),
    "userfaultfd": (323, 282),
    "memfd_secret": (447, 447),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "pidfd_open": (434, 434),
    "clone3": (435, 435),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
}


class Absent(Exception):
    """This machine has no such call or device: neither attack nor control can be tried."""


def call(name: str, *arguments: object) -> int:
    """syscall(2) by name; ints, bytes, ctypes objects. Raises OSError."""
    number = NUMBERS[name][0 if X86 else 1]
    if number is None:
        raise Absent(name)
    return call_number(number, *arguments)


def call_number(number: int, *arguments: object) -> int:
    """syscall(2) by number."""
    raw = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *raw)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def buffer(size: int) -> ctypes.Array[ctypes.c_char]:
    """Memory to be written by the kernel."""
    return ctypes.create_string_buffer(size)


def address(of: ctypes.Array[ctypes.c_char]) -> int:
    """Where a buffer lies."""
    return ctypes.addressof(of)


def run_machine_code(code: bytes) -> int:
    """Call `code` as a function without arguments."""
    import mmap

    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(code)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(start)())
