"""What this machine can do, each layer found out by really doing it in a process of its own.

A kernel's version tells little: a container runtime, a security module or a setting may refuse what
the kernel has. Landlock, seccomp and the listener are tried by starting a worker at each level and
having it attack its walls (`trial`); here is the rest, which a worker needs besides.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...shared.errors import ConfinementFailed
from . import _sys_linux as linux
from .launch import Warden
from .plan import Facts, Level, missing
from .spec import WorkerSpec
from .warden import enter_namespaces


@dataclass(frozen=True)
class Found:
    """Whether a layer works, and what the kernel said or what was seen."""

    works: bool
    detail: str = ""


@dataclass(frozen=True)
class Trial:
    """How a worker at one level came out, and which layers of it this machine lacks."""

    level: Level
    works: bool
    detail: str = ""
    lacks: tuple[str, ...] = ()


def _namespaces(kind: int) -> Callable[[], None]:
    def run() -> None:
        _own_user_namespace()
        if kind != linux.CLONE_NEWUSER:
            linux.unshare(kind)

    return run


def _own_user_namespace() -> None:
    entered, why = enter_namespaces()
    if not entered:
        raise PermissionError(why)


def _own_procfs() -> None:
    _own_user_namespace()
    pid = linux.clone_process(linux.CLONE_NEWPID)
    if pid == 0:
        code = 0
        try:
            linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV, "hidepid=2")
        except OSError as error:
            code = error.errno or 1
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise OSError(code, os.strerror(code))


def _workshop() -> str:
    """An empty tmpfs of our own at a place that is everywhere."""
    _own_user_namespace()
    base = next(path for path in ("/tmp", "/mnt", "/home", "/usr") if os.path.isdir(path))
    linux.mount("tmpfs", base, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=1m,mode=700")
    for name in ("from", "to", "upper", "work"):
        os.mkdir(f"{base}/{name}")
    return base


def _mount_door() -> None:
    base = _workshop()
    tree = linux.open_tree(linux.AT_FDCWD, f"{base}/from", recursive=False)
    linux.set_mount_attributes(tree, "", linux.ATTR_RDONLY, recursive=False)
    linux.move_mount(tree, linux.AT_FDCWD, f"{base}/to")
    try:
        os.mkdir(f"{base}/to/made")
    except OSError:
        return
    raise PermissionError("a read-only mount could be written")


def _replacing_mounts() -> None:
    base = _workshop()
    for beneath in (False, True):
        tree = linux.open_tree(linux.AT_FDCWD, f"{base}/from", recursive=False)
        linux.move_mount(tree, linux.AT_FDCWD, f"{base}/to", beneath=beneath)


def _staging() -> None:
    base = _workshop()
    options = f"lowerdir={base}/from,upperdir={base}/upper,workdir={base}/work,userxattr"
    linux.mount("overlay", f"{base}/to", "overlay", linux.MS_NOSUID | linux.MS_NODEV, options)
    os.mkdir(f"{base}/to/made")
    if not os.path.isdir(f"{base}/upper/made"):
        raise OSError(5, "what was made is not in the upper side")


#: Layer -> how it is tried. The trial counts as passed when the function returns.
PROBES: Mapping[str, Callable[[], None]] = {
    "user namespace": _namespaces(linux.CLONE_NEWUSER),
    "mount namespace": _namespaces(linux.CLONE_NEWNS),
    "pid namespace": _namespaces(linux.CLONE_NEWPID),
    "network namespace": _namespaces(linux.CLONE_NEWNET),
    "ipc namespace": _namespaces(linux.CLONE_NEWIPC),
    "uts namespace": _namespaces(linux.CLONE_NEWUTS),
    "cgroup namespace": _namespaces(linux.CLONE_NEWCGROUP),
    "own /proc": _own_procfs,
    "grants by mounts": _mount_door,
    "grants replaced without a gap": _replacing_mounts,
    "staged grants": _staging,
}


def probe(probes: Mapping[str, Callable[[], None]] = PROBES) -> dict[str, Found]:
    """Try each layer in a forked process."""
    return {name: _apart(run) for name, run in probes.items()}


def _apart(run: Callable[[], None]) -> Found:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        answer: dict[str, object] = {"works": True, "detail": ""}
        try:
            linux.die_with_parent(signal.SIGKILL)
            run()
        except OSError as error:
            answer = {"works": False, "detail": str(error)}
        except Exception as error:
            answer = {"works": False, "detail": repr(error)}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as report:
        data = report.read()
    os.waitpid(pid, 0)
    if not data:
        return Found(False, "the process that tried it was killed")
    return Found(**json.loads(data))


#: Seals itself, so that the walls are tried, and ends.
_ENTRY = (
    "-c",
    "import sys; from sandbox_kernel.sandboxed.seal import seal; seal(int(sys.argv[2]))",
)
#: What a level does not use, so that its lack says nothing.
_UNUSED = {
    Level.FULL: frozenset[str](),
    Level.NO_NAMESPACES: frozenset({"namespaces", "own_proc"}),
    Level.LANDLOCK_ONLY: frozenset({"namespaces", "own_proc", "listener"}),
}


async def trial(level: Level) -> Trial:
    """Start a worker at exactly this level and let it attack its walls."""
    with tempfile.TemporaryDirectory(prefix="sandbox-kernel-doctor-") as folder:
        warden = Warden.start(
            WorkerSpec(working_directory=folder, forced_level=level, entry=_ENTRY)
        )
        try:
            worker = warden.launch()
            try:
                await worker.sealed()
            except ConfinementFailed as error:
                return _failed(level, error, worker.facts)
            facts = worker.facts
            worker.close()
        except ConfinementFailed as error:
            return _failed(level, error, None)
        finally:
            warden.close()
    lacks = _lacks(level, facts) if facts else ()
    return Trial(level, True, f"without {', '.join(lacks)}" if lacks else "", lacks)


def _failed(level: Level, error: ConfinementFailed, facts: Facts | None) -> Trial:
    """What stood in the way: the layers that this machine lacks, or else the walls that fell."""
    lacks = _lacks(level, facts) if facts else ()
    if facts is None or not lacks:
        return Trial(level, False, str(error))
    found = [f"{layer} ({facts.why[layer]})" if layer in facts.why else layer for layer in lacks]
    return Trial(level, False, f"lacks {', '.join(found)}", lacks)


def _lacks(level: Level, facts: Facts) -> tuple[str, ...]:
    return tuple(layer for layer in missing(facts) if layer not in _UNUSED[level])


async def trials() -> list[Trial]:
    """Every level that has walls, the strongest first."""
    walled = [level for level in Level if level is not Level.LANGUAGE_ONLY]
    return [await trial(level) for level in walled]


def host() -> dict[str, str]:
    """Settings that explain what was found; "absent" for one that this kernel does not have."""
    settings = {
        "Yama ptrace_scope": "/proc/sys/kernel/yama/ptrace_scope",
        "AppArmor restricts user namespaces": (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
        ),
        "user.max_user_namespaces": "/proc/sys/user/max_user_namespaces",
        "kernel.unprivileged_userns_clone": "/proc/sys/kernel/unprivileged_userns_clone",
        "security modules": "/sys/kernel/security/lsm",
    }
    found = {"kernel": os.uname().release, "machine": os.uname().machine, "uid": str(os.getuid())}
    for name, path in settings.items():
        found[name] = "absent"
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            found[name] = file.read().strip()
    found["Landlock ABI"] = str(linux.landlock_abi() or "absent")
    return found


def examine() -> tuple[list[Trial], dict[str, Found], dict[str, str]]:
    """All of it."""
    return asyncio.run(trials()), probe(), host()
