"""Which system calls a worker may make, as data: each group with its reason.

What stands in no group is refused with EPERM when the kernel's table knows it (libraries probe and
cope), and with ENOSYS when it does not (glibc falls back only on that). Nothing here depends on a
process id: a copy that takes over keeps the same filter.

Doors
- `FILES` groups run natively at `full`, where the mount namespace decides, and at `landlock-only`
  where Landlock alone decides; at `no-namespaces` they go to the supervisor.
- `NETWORK` and `FORK` go to the supervisor wherever it can listen, and are refused elsewhere.
"""

from __future__ import annotations

import errno
from typing import Final, NamedTuple


class Group(NamedTuple):
    """System calls that are treated alike, and why."""

    reason: str
    names: tuple[str, ...]


def _group(reason: str, names: str) -> Group:
    return Group(reason, tuple(names.split()))


#: Run natively at every level.
PLAIN: Final = (
    _group(
        "read and write what is already open",
        "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close"
        " close_range fsync fdatasync ftruncate fallocate fadvise64 readahead copy_file_range"
        " sendfile splice tee vmsplice flock dup dup2 dup3 getdents getdents64 fstat fstatfs"
        " sync_file_range cachestat",
    ),
    _group("pipes and event descriptors between own threads", "pipe pipe2 eventfd eventfd2"),
    _group(
        "wait for descriptors",
        "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait"
        " epoll_pwait2 timerfd_create timerfd_settime timerfd_gettime signalfd signalfd4",
    ),
    _group(
        "own memory; shared mappings of memfd are counted by the memory limit",
        "mmap munmap mremap mprotect madvise brk msync mincore mlock mlock2 munlock mbind"
        " get_mempolicy membarrier memfd_create mseal pkey_alloc pkey_free pkey_mprotect",
    ),
    _group(
        "locks and threads of this process",
        "futex futex_waitv futex_wake futex_wait futex_requeue set_robust_list get_robust_list"
        " rseq set_tid_address sched_yield",
    ),
    _group(
        "own signal handling",
        "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend"
        " sigaltstack restart_syscall pause",
    ),
    _group(
        "time and timers",
        "nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times getitimer"
        " setitimer alarm",
    ),
    _group(
        "ask about oneself",
        "getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups"
        " getpgrp getpgid getsid uname sysinfo getrandom getcpu getrusage getrlimit getpriority"
        " capget sched_getaffinity sched_getscheduler sched_getparam sched_getattr"
        " sched_get_priority_max sched_get_priority_min sched_rr_get_interval ioprio_get",
    ),
    _group("end", "exit exit_group"),
    _group("reap children that were allowed", "wait4 waitid"),
    _group("own thread state and file mode mask", "arch_prctl umask getcwd fchdir"),
    _group(
        "use a connected socket that a door gave",
        "recvfrom recvmsg recvmmsg shutdown getsockname getpeername getsockopt accept accept4",
    ),
)

#: Look at a path. Landlock does not mediate them: without a mount namespace the door does.
METADATA: Final = _group(
    "ask about a path",
    "stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat statfs chdir"
    " getxattr lgetxattr listxattr llistxattr getxattrat listxattrat",
)
#: Attributes of an open file.
FILE_METADATA: Final = _group("ask about an open file", "fgetxattr flistxattr")
#: Open a path. openat2 hides its flags in memory; libc falls back from ENOSYS.
OPENS: Final = _group("open a path", "open openat creat")
#: Change the tree. Landlock mediates all of them.
TREE_CHANGES: Final = _group(
    "make, move and remove below the scratch and writable grants",
    "rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat mkdir mkdirat rmdir"
    " truncate",
)
#: Change attributes. Landlock mediates none of them.
ATTRIBUTE_CHANGES: Final = _group(
    "modes and times of scratch and granted files (copying a file sets both)",
    "chmod fchmodat fchmodat2 utime utimes utimensat futimesat",
)
#: The same on an open file: at `full` its mount decides.
FILE_ATTRIBUTE_CHANGES: Final = _group("mode of an open file", "fchmod")
NETWORK: Final = _group("reach out or be reached: a door decides", "connect bind listen")
FORK: Final = _group(
    "a second process: only one that the supervisor ordered, or what `processes` allows",
    "fork vfork",
)
SPAWN: Final = _group(
    "run programs inside the same walls, when the policy says so",
    "execve execveat setpgid setsid pidfd_open",
)
#: Answered as if this kernel had none: libraries then take the older call that the filter sees.
ABSENT: Final = _group(
    "arguments that the filter cannot see, or a second way round it",
    "clone3 openat2 io_uring_setup io_uring_enter io_uring_register map_shadow_stack",
)

#: Not among the timers: timer_create. Its signal may be SIGCONT, which wakes a process that the
#: supervisor has stopped to look at it.
#: close_range: descriptors of one's own are copied first (CLOSE_RANGE_UNSHARE).
UNSHARE: Final = 2
#: fstatat and statx: the descriptor itself is meant (stat(2)).
AT_EMPTY_PATH: Final = 0x1000
#: O_CLOEXEC and O_DIRECTORY: an open with no other flag changes nothing and makes nothing.
READING_FLAGS: Final = {"x86_64": 0x80000 | 0x10000, "aarch64": 0x80000 | 0x4000}
#: pthread_create's shape: a thread that shares its process's memory, working directory,
#: descriptors and signal handlers (clone(2)). Descriptors of its own could not be taken back.
THREAD_SHAPE: Final = 0x00010000 | 0x100 | 0x200 | 0x400 | 0x800
CLONE_THREAD: Final = 0x00010000
CLONE_NEW_ANY: Final = 0x7E020000
CLONE_PARENT_OR_TRACED: Final = 0x00008000 | 0x00002000

#: Questions, and the close-on-exec and non-blocking flags of a descriptor; no TIOCSTI.
IOCTLS: Final = {
    "TCGETS": 0x5401,
    "TIOCGPGRP": 0x540F,
    "TIOCGWINSZ": 0x5413,
    "FIONREAD": 0x541B,
    "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450,
    "FIOCLEX": 0x5451,
}
#: No F_SETOWN and F_SETSIG (signals to others), no F_SETLEASE and F_NOTIFY.
FCNTLS: Final = {
    "F_DUPFD": 0,
    "F_GETFD": 1,
    "F_SETFD": 2,
    "F_GETFL": 3,
    "F_SETFL": 4,
    "F_GETLK": 5,
    "F_SETLK": 6,
    "F_SETLKW": 7,
    "F_OFD_GETLK": 36,
    "F_OFD_SETLK": 37,
    "F_OFD_SETLKW": 38,
    "F_DUPFD_CLOEXEC": 1030,
    "F_SETPIPE_SZ": 1031,
    "F_GETPIPE_SZ": 1032,
    "F_ADD_SEALS": 1033,
    "F_GET_SEALS": 1034,
}
#: Names of threads and mappings, and questions. No PR_SET_DUMPABLE, no PR_SET_PTRACER.
PRCTLS: Final = {
    "PR_GET_DUMPABLE": 3,
    "PR_SET_NAME": 15,
    "PR_GET_NAME": 16,
    "PR_CAPBSET_READ": 23,
    "PR_GET_NO_NEW_PRIVS": 39,
    "PR_GET_THP_DISABLE": 42,
    "PR_SET_VMA": 0x53564D41,
}
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM, SOCK_DGRAM, SOCK_TYPE_MASK = 1, 2, 0xF
IPPROTO_TCP, IPPROTO_UDP = 6, 17
#: Connects without connect(2).
MSG_FASTOPEN: Final = 0x20000000
#: (level, option) that change how an own connection behaves, not whom it reaches.
SOCKET_OPTIONS: Final = (
    *((1, option) for option in (2, 7, 8, 9, 13, 15, 20, 21)),
    *((6, option) for option in (1, 4, 5, 6, 12, 18)),
    (41, 26),
)

#: errno by which a group is refused where another than EPERM lets libraries go on.
REFUSED_WITH: Final = {
    "socket": errno.EAFNOSUPPORT,
    "ioctl": errno.ENOTTY,
    "setsockopt": errno.ENOPROTOOPT,
    "connect": errno.EACCES,
    "bind": errno.EACCES,
    "listen": errno.EACCES,
}
