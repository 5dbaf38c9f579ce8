"""Raw calls with which a worker moves into its namespaces and drops its capabilities.

Calls only. Sources: setns(2), unshare(2), user_namespaces(7), capabilities(7), prctl(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_PR_CAPBSET_DROP, _PR_SET_SECUREBITS = 24, 28
#: Every securebit and its lock: uid 0 brings no capability at exec, and no way back.
_SECUREBITS_ALL_LOCKED = 0xEF
_CAPSET = {"x86_64": 126, "aarch64": 91}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), f"prctl {option}")


def enter_mounts(namespace: int) -> None:
    """Move into a mount namespace: root and working directory are its root from now on."""
    _checked(_libc.setns(namespace, _CLONE_NEWNS), "setns")


def own_user_namespace() -> None:
    """Be in a new user namespace, as one whose numbers are not mapped yet."""
    _checked(_libc.unshare(_CLONE_NEWUSER), "unshare")


def drop_capabilities() -> None:
    """Give up every capability for good: bounding set, securebits, then the sets themselves.

    Where the caller has no CAP_SETPCAP the bounding set stays; it is empty power then, because
    no_new_privs has been set before this program was run.
    """
    for capability in range(64):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError:
            break  # EINVAL: past the last one. EPERM: not ours to drop.
    # EPERM: unprivileged, without a user namespace; there is nothing to lock.
    with contextlib.suppress(PermissionError):
        _prctl(_PR_SET_SECUREBITS, _SECUREBITS_ALL_LOCKED)
    header = struct.pack("II", 0x20080522, 0)
    number = ctypes.c_long(_CAPSET[os.uname().machine])
    _checked(_libc.syscall(number, header, bytes(24)), "capset")
