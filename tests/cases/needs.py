"""Whether the place that the cases run in has what a case needs."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path


def unmet(need: str, *, throwaway: bool = False) -> str | None:
    """Why a need is not met, or None when it is.

    A need that has no probe of its own is the name of a library, ``no_`` before it asks for its
    absence.
    """
    if need == "throwaway" and throwaway:
        return None
    probe = PROBES.get(need)
    if probe is not None:
        return probe()
    if need.startswith("no_"):
        name = need.removeprefix("no_")
        return f"{name} is installed" if _installed(name) else None
    return None if _installed(need) else f"{need} is not installed"


@functools.cache
def _installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def _not_by_machine() -> str:
    return "by hand: see the note of the case"


def _not_throwaway() -> str:
    return "only in a container that may be lost; say --throwaway there"


def _root() -> str | None:
    return "this is root" if os.geteuid() == 0 else None


@functools.cache
def _user_namespaces() -> str | None:
    command = shutil.which("unshare")
    if command is None:
        return "cannot tell whether there are user namespaces: no unshare command"
    made = subprocess.run([command, "--user", "true"], capture_output=True, timeout=10)
    return "user namespaces can be made here" if made.returncode == 0 else None


def _docker() -> str | None:
    return None if Path("/.dockerenv").exists() else "not in a Docker container"


def _kubernetes() -> str | None:
    token = Path("/var/run/secrets/kubernetes.io")
    inside = token.exists() or "KUBERNETES_SERVICE_HOST" in os.environ
    return None if inside else "not in a Kubernetes pod"


def _wsl2() -> str | None:
    return None if "microsoft" in os.uname().release.lower() else "not under WSL 2"


def _casefold() -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "lower").touch()
        ignores_case = Path(folder, "LOWER").exists()
    return None if ignores_case else "the file system tells cases apart"


def _ca_store() -> str | None:
    paths = ssl.get_default_verify_paths()
    return None if paths.cafile or paths.capath else "the host has no CA bundle"


def _openssl() -> str | None:
    return None if shutil.which("openssl") else "no openssl command"


def _lab_browser() -> str:
    return "this runner drives no browser"


PROBES: Mapping[str, Callable[[], str | None]] = {
    "manual": _not_by_machine,
    "throwaway": _not_throwaway,
    "unprivileged": _root,
    "no_userns": _user_namespaces,
    "docker": _docker,
    "kubernetes": _kubernetes,
    "wsl2": _wsl2,
    "casefold": _casefold,
    "ca_store": _ca_store,
    "openssl": _openssl,
    "lab_browser": _lab_browser,
}
