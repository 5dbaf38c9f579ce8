"""Raw Linux calls of the trusted side: namespaces, mounts, credentials, process control.

Calls only; what to call when is decided elsewhere. Every failure is an OSError. The numbers are
the kernel's: unshare(2), mount_setattr(2), open_tree(2), move_mount(2), pidfd_open(2), prctl(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REC, MS_PRIVATE, MS_SLAVE = 0x4000, 1 << 18, 1 << 19
MNT_DETACH = 2

ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = 0o2000000
MOVE_MOUNT_F_EMPTY_PATH = 4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOVE_MOUNT_BENEATH = 0x200

RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS = 1, 2, 4
RESOLVE_BENEATH, RESOLVE_IN_ROOT = 8, 16
_LOOK = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS)

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_SYS_CHROOT, CAP_SYS_ADMIN = 18, 21
#: Version and process (the caller) of capget(2) and capset(2).
_CAPABILITY_HEADER = struct.pack("II", 0x20080522, 0)

# From 424 on, numbers are the same on every architecture.
_OPEN_TREE, _MOVE_MOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 437, 442
_BY_MACHINE = {
    "x86_64": {
        **{"pivot_root": 155, "clone": 56, "landlock": 444, "seccomp": 317},
        **{"capget": 125, "capset": 126},
    },
    "aarch64": {
        **{"pivot_root": 41, "clone": 220, "landlock": 444, "seccomp": 277},
        **{"capget": 90, "capset": 91},
    },
}
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = [
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
]


def _call(*kinds: type[ctypes._SimpleCData[Any]]) -> Callable[..., int]:
    """syscall(2) for arguments of these kinds: a few times as fast as finding them out."""
    function = _libc["syscall"]
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, *kinds]
    return function


_FD, _BYTES, _SIZE = ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t
_FLAGS = ctypes.c_uint
_openat2 = _call(_FD, _BYTES, _BYTES, _SIZE)
_open_tree = _call(_FD, _BYTES, _FLAGS)
_mount_setattr = _call(_FD, _BYTES, _FLAGS, _BYTES, _SIZE)
_move_mount = _call(_FD, _BYTES, _FD, _BYTES, _FLAGS)


def _number(name: str) -> int:
    return _BY_MACHINE[os.uname().machine][name]


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _syscall(what: str, number: int, *arguments: object) -> int:
    raw = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *raw), what)


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` (unshare(2))."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int) -> None:
    """Enter the namespace behind `fd` (setns(2))."""
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def clone_process(namespaces: int) -> int:
    """Fork into new namespaces; 0 in the child.

    The child must be single-threaded code that execs or exits: Python's own hooks after a fork do
    not run in it. unshare(2) cannot do this, a second new pid namespace is refused there.
    """
    sigchld = 17
    return _syscall("clone", _number("clone"), namespaces | sigchld, 0, 0, 0, 0)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2)."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    result = _libc.mount(*encoded, ctypes.c_ulong(flags), os.fsencode(data) if data else None)
    _checked(result, f"mount {kind or ''} {target}")


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2); without flags it fails with EBUSY while something is open below."""
    _checked(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2)."""
    _syscall("pivot_root", _number("pivot_root"), os.fsencode(new), os.fsencode(old))


def open_tree(dirfd: int, path: str, *, recursive: bool) -> int:
    """A detached copy of the mount at `path` (empty: at `dirfd` itself) as a descriptor."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    if not path:
        flags |= AT_EMPTY_PATH
    return _checked(_open_tree(_OPEN_TREE, dirfd, os.fsencode(path), flags), "open_tree")


def set_mount_attributes(
    fd: int, path: str, attributes: int, *, recursive: bool, private: bool = False
) -> None:
    """Switch `attributes` on for a mount (mount_setattr(2)).

    private: what is mounted at its origin later does not appear in it. Without that, a later mount
    appears with its own attributes, not with these.
    """
    flags = (AT_RECURSIVE if recursive else 0) | (0 if path else AT_EMPTY_PATH)
    packed = struct.pack("QQQQ", attributes, 0, MS_PRIVATE if private else 0, 0)
    result = _mount_setattr(_MOUNT_SETATTR, fd, os.fsencode(path), flags, packed, len(packed))
    _checked(result, "mount_setattr")


def set_read_only(fd: int, *, read_only: bool) -> None:
    """Switch that attribute of the mount behind `fd` alone (mount_setattr(2)).

    On: fails with EBUSY while a file is open for writing through it.
    """
    on, off = (ATTR_RDONLY, 0) if read_only else (0, ATTR_RDONLY)
    packed = struct.pack("QQQQ", on, off, 0, 0)
    result = _mount_setattr(_MOUNT_SETATTR, fd, b"", AT_EMPTY_PATH, packed, len(packed))
    _checked(result, "mount_setattr")


def make_writable(path: str) -> None:
    """Take back a read-only attribute that was set in this very namespace (mount_setattr(2))."""
    packed = struct.pack("QQQQ", 0, ATTR_RDONLY, 0, 0)
    result = _mount_setattr(_MOUNT_SETATTR, -1, os.fsencode(path), 0, packed, len(packed))
    _checked(result, "mount_setattr")


def move_mount(tree: int, target_fd: int, target: str = "", *, beneath: bool = False) -> None:
    """Attach a detached tree at `target` (empty: at `target_fd` itself)."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (MOVE_MOUNT_BENEATH if beneath else 0)
    if not target:
        flags |= MOVE_MOUNT_T_EMPTY_PATH
    result = _move_mount(_MOVE_MOUNT, tree, b"", target_fd, os.fsencode(target), flags)
    _checked(result, "move_mount")


def openat2(dirfd: int, path: str, flags: int, resolve: int) -> int:
    """openat2(2) without creation."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, resolve)
    return _checked(_openat2(_OPENAT2, dirfd, os.fsencode(path), how, len(how)), "openat2")


def has_no_links(path: bytes) -> bool:
    """Whether an absolute path is known to go through no symbolic link, as far as it exists.

    A look that meets a link first fails with ELOOP, one that meets the end first with ENOENT.
    """
    look = _openat2(_OPENAT2, AT_FDCWD, path, _LOOK, len(_LOOK))
    if look < 0:
        return ctypes.get_errno() == errno.ENOENT
    os.close(look)
    return True


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument."""
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), f"prctl {option}")


def die_with_parent(signal_number: int) -> None:
    """Receive `signal_number` when the parent dies (PR_SET_PDEATHSIG)."""
    prctl(PR_SET_PDEATHSIG, signal_number)


def keep_over_exec(capabilities: Iterable[int]) -> None:
    """Let the next program have these of our capabilities, whoever runs it (capabilities(7)).

    They become inheritable and ambient.
    """
    sets = ctypes.create_string_buffer(24)
    _syscall("capget", _number("capget"), _CAPABILITY_HEADER, sets)
    words = list(struct.unpack("6I", sets.raw))  # effective, permitted, inheritable; twice
    for capability in capabilities:
        words[2 + 3 * (capability // 32)] |= 1 << capability % 32
    _syscall("capset", _number("capset"), _CAPABILITY_HEADER, struct.pack("6I", *words))
    for capability in capabilities:
        arguments = [ctypes.c_ulong(n) for n in (PR_CAP_AMBIENT_RAISE, capability, 0, 0)]
        _checked(_libc.prctl(PR_CAP_AMBIENT, *arguments), f"ambient capability {capability}")


def landlock_abi() -> int:
    """The kernel's Landlock ABI, 0 where it has none or has it switched off."""
    try:
        return _syscall("landlock_create_ruleset", _number("landlock"), 0, 0, 1)
    except OSError:
        return 0


def seccomp_knows(action: int) -> bool:
    """Whether the kernel has this seccomp action (SECCOMP_GET_ACTION_AVAIL)."""
    try:
        _syscall("seccomp", _number("seccomp"), 2, 0, struct.pack("I", action))
    except OSError:
        return False
    return True
