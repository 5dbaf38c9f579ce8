"""The worker's side of its confinement: apply the plan, give the listener away, try the walls.

Called once, before any cell, while this process still runs installed code only. The plan comes
from the trusted side, ready to apply; nothing is decided here. Packets on the seal descriptor:

1. supervisor: the plan, and where this process goes first, with its mount namespace (none at the
   levels without). Again, when the answer was `refused` (no second listener in a tree of filters):
   the plan that does without.
2. worker: `{"sealed": ...}`, with the listener's descriptor. The worker closes its own: who keeps
   it could approve its own requests.
3. supervisor: `{"try": ...}`, where the canary and the witnesses are.
4. worker: `{"tried": {attempt: null or errno}}`; null means that it succeeded.
5. supervisor: `{"go": true}`; anything else, or the end of the stream, ends the worker.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import socket
import sys
from typing import Any

from . import _sys_enter as entering
from . import _sys_seal as raw
from .attempts import attempts

_PACKET = 1 << 20


class NotSealed(Exception):
    """The walls are not up; the worker must not run."""


def seal(seal_fd: int) -> None:
    """Confine this process by the plan that arrives on `seal_fd`, which is closed at the end.

    Raises NotSealed (the process then ends) when the supervisor does not say go.
    """
    with socket.socket(fileno=seal_fd) as link:
        _apply_plans(link)
        order = _receive(link)["try"]
        tries = attempts(order) if order else ()
        _send(link, {"tried": {name: _outcome(attempt) for name, attempt in tries}})
        if not _receive(link).get("go"):
            raise NotSealed("the supervisor refused to run this worker")


def _apply_plans(link: socket.socket) -> None:
    threads = _threads()
    while True:
        plan, namespaces = _receive_with(link)
        if threads != 1 and plan["seccomp"] is not None:
            _send(link, {"threads": threads})
            raise NotSealed("a thread made before the walls would stay outside them")
        if "enter" in plan:
            try:
                _enter(plan["enter"], namespaces)
            except OSError as error:
                _send(link, {"text": f"entering its namespaces: {error}"})
                raise
        try:
            listener = _apply(plan)
        except OSError as error:
            _send(link, {"refused": error.errno, "text": str(error)})
            continue
        if listener is None:
            _send(link, {"sealed": True})
        else:
            socket.send_fds(link, [json.dumps({"sealed": True}).encode()], [listener])
            os.close(listener)
        return


def _enter(place: dict[str, Any], namespaces: list[int]) -> None:
    """Leave the host's tree, then every capability; there is no way back."""
    if namespaces:
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        entering.enter_mounts(namespaces[0])
        os.close(namespaces[0])
        _own_user_namespace(proc)
        os.close(proc)
        _forget_listings()
    if not place["capabilities"]:
        entering.drop_capabilities()
    os.environ.update(place["environment"])
    try:
        os.chdir(place["working_directory"])
    except OSError:
        os.chdir(os.environ["HOME"])  # Without mounts it may be gone or closed to us.


def _forget_listings() -> None:
    """Have the import system forget which names lay in folders that are not here."""
    for path in [path for path in sys.path_importer_cache if not os.path.isdir(path)]:
        del sys.path_importer_cache[path]


def _own_user_namespace(proc: int) -> None:
    """User namespace B: one uid and gid, mapped to themselves, and no further one below it.

    `proc` is the /proc from before, where these files can be written.
    """
    uid, gid = os.getuid(), os.getgid()
    entering.own_user_namespace()
    _write(proc, "self/setgroups", "deny")
    _write(proc, "self/uid_map", f"{uid} {uid} 1")
    _write(proc, "self/gid_map", f"{gid} {gid} 1")
    # Read-only /proc/sys in a container: there the filter alone refuses unshare and clone.
    with contextlib.suppress(OSError):
        _write(proc, "sys/user/max_user_namespaces", "0")


def _write(directory: int, path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _apply(plan: dict[str, Any]) -> int | None:
    for name, (soft, hard) in plan["rlimits"].items():
        _limit(getattr(resource, f"RLIMIT_{name}"), soft, hard)
    landlock = plan["landlock"]
    if landlock is not None and not plan.get("again"):
        raw.no_new_privileges()
        rules = [(path, access) for path, access in landlock["rules"]]
        raw.restrict_files(landlock["files"], landlock["net"], landlock["scoped"], rules)
    if plan["seccomp"] is None:
        return None
    raw.no_new_privileges()
    return raw.install_filter(bytes.fromhex(plan["seccomp"]), listener=plan["listener"])


def _limit(kind: int, soft: int, hard: int) -> None:
    """Lower a limit; one that is already lower stays."""
    _, ceiling = resource.getrlimit(kind)
    if ceiling != resource.RLIM_INFINITY:
        hard = ceiling if hard == resource.RLIM_INFINITY else min(hard, ceiling)
        soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(kind, (soft, hard))


def _threads() -> int:
    """Tasks of this process. Counted before the first plan, which may close /proc."""
    return len(os.listdir("/proc/self/task"))


def _outcome(attempt: Any) -> int | str | None:
    """None: it succeeded. A number: the errno that stopped it. A text: what it obtained."""
    try:
        got = attempt()
    except OSError as error:
        return error.errno or errno.EIO
    return got if isinstance(got, str) else None


def _send(link: socket.socket, message: dict[str, Any]) -> None:
    link.send(json.dumps(message).encode())


def _receive(link: socket.socket) -> dict[str, Any]:
    return _receive_with(link)[0]


def _receive_with(link: socket.socket) -> tuple[dict[str, Any], list[int]]:
    data, descriptors, _, _ = socket.recv_fds(link, _PACKET, 1)
    if not data:
        raise NotSealed("the supervisor closed the seal channel")
    message: dict[str, Any] = json.loads(data)
    return message, descriptors
