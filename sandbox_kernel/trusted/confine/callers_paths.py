"""Where a path leads for the process that calls, asked by another process.

`/proc/self` and `/proc/thread-self` are links that show each reader its own folder: followed by the
supervisor they lead to the supervisor's descriptors, and `/dev/fd`, `/dev/stdin` and any link in
the scratch lead there too (proc_pid_fd(5)).
"""

from __future__ import annotations

import errno
import os

MOST_LINKS = 40  # as the kernel (path_resolution(7))


def real_path(path: str, task: int) -> str:
    """The absolute `path` as thread `task` would reach it, every link followed.

    A missing tail is kept as it is spelled. Raises OSError (ELOOP) past MOST_LINKS links.
    """
    own = {"/proc/self": f"/proc/{task}", "/proc/thread-self": f"/proc/{task}/task/{task}"}
    todo = _parts(path)
    done = "/"
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            done = os.path.dirname(done)
            continue
        here = os.path.join(done, part)
        if here in own:
            done = own[here]
            continue
        try:
            target = os.readlink(here)
        except OSError:  # No link, or nothing at all.
            done = here
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.startswith("/"):
            done = "/"
        todo += _parts(target)
    return done


def as_own(path: str, task: int) -> str:
    """`/proc/PID/…` (psutil writes so) as `/proc/self/…` where thread `task` is of that process."""
    _, proc, number, *rest = path.split("/", 3) if path.count("/") > 2 else ("", "", "")
    if proc == "proc" and number.isdigit() and int(number) == _process_of(task):
        return "/".join(("/proc/self", *rest))
    return path


def _process_of(task: int) -> int:
    with open(f"/proc/{task}/status", encoding="utf-8", errors="replace") as lines:
        return int(next(line for line in lines if line.startswith("Tgid:")).split()[1])


def _parts(path: str) -> list[str]:
    """The names in a path, the first one last."""
    return [part for part in path.split("/") if part not in ("", ".")][::-1]
