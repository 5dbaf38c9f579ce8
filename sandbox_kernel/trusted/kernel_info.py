"""What the kernel says of itself, and the shape of its own answers."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

from .. import __version__


def kernel_info(level: str, missing: Sequence[str]) -> dict[str, Any]:
    """Content of `kernel_info_reply`.

    `level` and `missing` say what stands between a cell and the host (an extension of ours).
    https://jupyter-client.readthedocs.io/en/stable/messaging.html#kernel-info
    """
    version = platform.python_version()
    return {
        "status": "ok",
        "protocol_version": "5.4",
        "implementation": "sandbox-kernel",
        "implementation_version": __version__,
        "language_info": {
            "name": "python",
            "version": version,
            "mimetype": "text/x-python",
            "codemirror_mode": {"name": "ipython", "version": 3},
            "pygments_lexer": "ipython3",
            "nbconvert_exporter": "python",
            "file_extension": ".py",
        },
        "banner": f"Sandboxed Python {version} (sandbox-kernel {__version__})\n"
        "Cells run in a confined process.",
        "debugger": False,
        "help_links": [
            {
                "text": "Python Reference",
                "url": f"https://docs.python.org/{version.rpartition('.')[0]}",
            },
            {
                "text": "IPython Reference",
                "url": "https://ipython.readthedocs.io/en/stable/",
            },
        ],
        "supported_features": [],
        "sandbox": {"level": level, "missing": list(missing)},
    }


def reply_type(request_type: str) -> str:
    """`execute_reply` for `execute_request`."""
    return request_type.removesuffix("_request") + "_reply"


def error_reply(name: str, text: str) -> dict[str, Any]:
    """Content of an error that the supervisor itself reports."""
    return {
        "status": "error",
        "ename": name,
        "evalue": text,
        "traceback": [f"\x1b[31m{name}\x1b[39m: {text}"],
    }
