"""The worker's environment: an allowlist, and never a secret. Pure.

Nothing of the server's environment reaches a cell but what the policy's `environment` names, and of
those no variable whose name or value is known to carry a credential.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

#: How a worker sorts, prints and encodes; no policy need list these.
ALWAYS = ("LANG", "LANGUAGE", "TZ")
ALWAYS_PREFIX = "LC_"

_SECRET_NAME = re.compile(
    r"^(JUPYTERHUB_|JPY_|AWS_|AZURE_|GOOGLE_|SSH_|KUBERNETES_|SPARK_|DBUS_)"
    r"|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|COOKIE",
    re.IGNORECASE,
)
_CREDENTIALS_IN_URL = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/@\s]*@|^[^/@\s:]+:[^/@\s]+@")
#: These would change what code the worker runs before it is sealed, or whom it talks to.
_STEERS_THE_PROCESS = re.compile(
    r"^(LD_|PYTHON|GCONV_PATH$|MALLOC_|GLIBC_TUNABLES$|PATH$|HOME$|TMPDIR$|IFS$|BASH_ENV$|ENV$"
    r"|IPYTHONDIR$|JUPYTER_)"
)


class Scrubbed(NamedTuple):
    """What may pass, and per refused name the reason."""

    environment: Mapping[str, str]
    refused: Mapping[str, str]


def scrub(inherited: Mapping[str, str], allowed: Iterable[str]) -> Scrubbed:
    """The part of `inherited` that the policy's names and `ALWAYS` let through."""
    wanted = set(allowed)
    passed: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name, value in inherited.items():
        if name not in wanted and name not in ALWAYS and not name.startswith(ALWAYS_PREFIX):
            continue
        reason = why_not(name, value)
        if reason:
            refused[name] = reason
        else:
            passed[name] = value
    return Scrubbed(passed, refused)


def why_not(name: str, value: str) -> str | None:
    """Why a variable never reaches a worker, or None."""
    if _SECRET_NAME.search(name):
        return "its name says that it carries a credential or belongs to the server"
    if _STEERS_THE_PROCESS.search(name):
        return "the kernel sets it itself"
    if _CREDENTIALS_IN_URL.search(value):
        return "its value is an address with a password in it"
    return None


def complete(
    environment: Mapping[str, str],
    *,
    home: str,
    temporary: str,
    python_path: Iterable[str] = (),
    library_path: str = "",
    user_base: str = "",
) -> dict[str, str]:
    """The whole environment of a worker: what passed, and what every worker gets.

    `user_base` is where the person's own site-packages are, since HOME is another one inside.
    """
    full = {
        "HOME": home,
        "TMPDIR": temporary,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "USER": "sandbox",
        "LOGNAME": "sandbox",
        "IPYTHONDIR": f"{home}/.ipython",
        "JUPYTER_CONFIG_DIR": f"{home}/.jupyter",
        "JUPYTER_NO_CONFIG": "1",
        "MPLCONFIGDIR": f"{home}/.config/matplotlib",
        "XDG_CACHE_HOME": f"{home}/.cache",
        # Installed packages are read-only inside: do not even try.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        # Arrow's allocator starts a thread when it is imported, as pandas does; a process with such
        # a thread cannot be copied, and the session would go unprotected.
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
    }
    entries = ":".join(python_path)
    if entries:
        full["PYTHONPATH"] = entries
    if user_base:
        full["PYTHONUSERBASE"] = user_base
    if library_path:
        full["LD_LIBRARY_PATH"] = library_path
    return {**dict(environment), **full}
