"""Run an attack by its name and put into words what came of it."""

from __future__ import annotations

import json
import os
import traceback

import attack_files
import attack_kernel
import attack_network
import attack_processes
from _sys_raw import Absent
from attack import ATTACKS, Target

MODULES = (attack_files, attack_kernel, attack_network, attack_processes)


def outcome(name: str, target: Target) -> dict[str, str]:
    """What came of one attack."""
    try:
        got = ATTACKS[name].run(target)
    except Absent as missing:
        return {"absent": str(missing)}
    except OSError as error:
        return {"stopped": f"{type(error).__name__} {error.errno}"}
    except BaseException:
        return {"broken": traceback.format_exc()}
    return {"got": got or ""}


_last: list[tuple[int, int]] = []


def apart(name: str, target: Target) -> dict[str, str]:
    """The same in a process of its own, which lives until the next attack begins."""
    while _last:
        pid, hold = _last.pop()
        os.close(hold)
        os.waitpid(pid, 0)
    reader, writer = os.pipe()
    waiting, hold = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(hold)
        os.setsid()
        os.write(writer, json.dumps(outcome(name, target)).encode())
        os.close(writer)
        os.read(waiting, 1)
        os._exit(0)
    os.close(writer)
    os.close(waiting)
    with open(reader, "rb") as report:
        data = report.read()
    if data:
        _last.append((pid, hold))
        return dict(json.loads(data))
    os.close(hold)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"got": "the program ran"} if code == 0 else {"stopped": f"exit code {code}"}
