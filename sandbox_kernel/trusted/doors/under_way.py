"""Calls that are under way in a task that does not run: asleep for a slow disk or server.

A task that sleeps so deeply that only a signal which ends it wakes it (state D) counts as standing
still. What it waits in may still give it a descriptor, or a working directory, once it goes on: a
path that was resolved before the place was taken away, a message that has left one table and is in
no queue yet, a child that has its copy of the table and is in no list. Sources:
proc_pid_syscall(5), for the numbers and arguments; proc_pid_wchan(5).
"""

from __future__ import annotations

import os

from ..confine.syscall_numbers import TABLES
from .worker_processes import content, state_of

#: Whoever sleeps in one of these gets nothing new by it: the rest of what opens is in the table,
#: or the door answers it anew.
_HARMLESS = (
    "read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 lseek close fsync"
    " fdatasync sync_file_range ftruncate truncate fallocate fadvise64 readahead copy_file_range"
    " sendfile splice msync mmap munmap mremap mprotect madvise brk mlock munlock getdents"
    " getdents64 stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2"
    " readlink readlinkat getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr rename"
    " renameat renameat2 link linkat symlink symlinkat unlink unlinkat mkdir mkdirat rmdir chmod"
    " fchmod fchmodat fchmodat2 utime utimes utimensat futimesat flock futex wait4 waitid exit"
    " exit_group socket connect bind listen sendto vfork nanosleep clock_nanosleep poll ppoll"
    " select pselect6 epoll_wait epoll_pwait epoll_pwait2"
)
_NUMBERS = TABLES.get(os.uname().machine, {})
_HARMLESS_NUMBERS = frozenset(_NUMBERS[name] for name in _HARMLESS.split() if name in _NUMBERS)
_CLONE = _NUMBERS.get("clone")
_CLONE_VFORK, _CLONE_PIDFD = 0x4000, 0x1000


def may_yet_hold(task: str) -> bool:
    """Whether a task (its folder of /proc) sleeps in a call that may still give it something."""
    if state_of(task) != b"D":
        return False
    try:
        if content(f"{task}/wchan").startswith(b"seccomp"):
            return False  # It waits for us, and is answered by the rights of that time.
        words = content(f"{task}/syscall").split()
    except (FileNotFoundError, ProcessLookupError):
        return False  # It has ended.
    except PermissionError:
        return True
    if not words or words[0] == b"running":
        return True
    number = int(words[0])
    if number == _CLONE:
        # Waiting for the child, who is in the lists by then; not for where to write its number.
        flags = int(words[1], 16)
        return not flags & _CLONE_VFORK or bool(flags & _CLONE_PIDFD)
    # -1: a page of its memory is read in.
    return number != -1 and number not in _HARMLESS_NUMBERS
