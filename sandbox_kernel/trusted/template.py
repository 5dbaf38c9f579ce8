"""A process that has imported what a supervisor needs, and forks one for each kernel of a batch.

    python -P -m sandbox_kernel.trusted.template SOCKET_FD

Its imports are most of what a supervisor's start costs, and in a batch they are the same each
time. It holds no secret: it never reads a connection file, and the workers descend from wardens
that each supervisor starts anew, as everywhere. It ends, and all supervisors with it, when whoever
started it has gone (`jupyter/kernel_template.py`).

| message      | from      | with                                                               |
|--------------|-----------|--------------------------------------------------------------------|
| start        | the batch | arguments, environment, folder; standard error, launch inputs      |
| `started`    | here      | process id; its pidfd                                              |
| `ended`      | here      | process id, exit status                                            |
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
from typing import Any, NoReturn

from ..__main__ import main as run_kernel

#: Most bytes of a message; an environment is the largest part.
MOST_BYTES = 1 << 18
_MODULES = (
    "channels connection doors limits.cgroup limits.person session_start supervisor start"
    " confine.launch confine.selftest"
)


def main(argv: list[str]) -> int:
    """Serve until the other end is closed; returns the exit code."""
    link = socket.socket(fileno=int(argv[0]))
    for name in _MODULES.split():
        importlib.import_module(f"sandbox_kernel.trusted.{name}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    awake, wakes = os.pipe()
    for fd in (awake, wakes):
        os.set_blocking(fd, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    # What is here stays; a collection in a child would copy all of it.
    gc.collect()
    gc.freeze()
    ends: list[Any] = [link, awake]
    while True:
        readable, _, _ = select.select(ends, [], [])
        if awake in readable:
            os.read(awake, 4096)
            _tell_ended(link)
        if link in readable and not _serve(link):
            return 0


def _serve(link: socket.socket) -> bool:
    data, fds, _, _ = socket.recv_fds(link, MOST_BYTES, 4, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return False
    order = json.loads(data)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(link, order, fds, parent)
    for fd in fds:
        os.close(fd)
    pidfd = os.pidfd_open(pid)
    try:
        socket.send_fds(link, [json.dumps({"started": pid}).encode()], [pidfd])
    finally:
        os.close(pidfd)
    return True


def _become(link: socket.socket, order: dict[str, Any], fds: list[int], parent: int) -> NoReturn:
    """In the child: be the supervisor that was ordered. Ends the process."""
    status = 1
    try:
        link.close()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        os.chdir(order["folder"])
        # The kernel ends with this process's parent, as it would with whoever starts it elsewhere.
        environment = {**order["environment"], "JPY_PARENT_PID": str(parent)}
        os.environ.clear()
        os.environ.update(environment)
        errors, inputs = fds
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (errors, 1), (errors, 2)):
            os.dup2(source, target)
        for fd in (null, errors):
            os.close(fd)
        random.seed()
        gc.unfreeze()
        status = run_kernel([*order["arguments"], "--launch-inputs", str(inputs)])
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _tell_ended(link: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        said = {"ended": pid, "status": os.waitstatus_to_exitcode(status)}
        link.send(json.dumps(said).encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
