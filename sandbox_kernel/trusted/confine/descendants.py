"""End every process below this one. For processes that adopt orphans (PR_SET_CHILD_SUBREAPER)."""

from __future__ import annotations

import contextlib
import os
import signal


def end_descendants() -> None:
    """Kill children until none is left: what they started becomes ours and is killed in turn."""
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
            if ended:
                continue
            # Looking through all of /proc takes long: only when somebody is left.
            for child in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            os.wait()
        except ChildProcessError:
            return


def _children() -> list[int]:
    """Direct children, read from every process's status: `children` files are an option of the
    kernel's."""
    own = str(os.getpid())
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                after_name = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if after_name[1].decode() == own:
            found.append(int(name))
    return found
