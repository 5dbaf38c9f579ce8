"""What the kernelspec of a case starts: ``python -P -m tests.cases.launch CONFIG -f FILE``.

CONFIG is a JSON file of the runner. It reaches the kernel as Python arguments of its launcher,
the only place where the policy's location, the resolver and the level can be set.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

DNS_WAIT = 1.0  # seconds that the trusted side waits for a server that never answers


def resolver(
    names: Mapping[str, Sequence[str]], dns: tuple[str, int] | None
) -> Callable[[str], list[str]]:
    """Build the trusted side's resolver: the case's names, then its DNS service, then nothing.

    The returned function raises `socket.gaierror` for a name that does not exist.
    """

    def resolve(name: str) -> list[str]:
        if name in names:
            return list(names[name])
        if dns is None:
            raise socket.gaierror(socket.EAI_NONAME, f"{name} does not exist")
        family = socket.AF_INET6 if ":" in dns[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as query:
            query.settimeout(DNS_WAIT)
            query.sendto(_question(name), dns)
            with contextlib.suppress(TimeoutError):
                query.recv(512)
        raise socket.gaierror(socket.EAI_AGAIN, f"no answer for {name}")

    return resolve


def _question(name: str) -> bytes:
    """A DNS query for the address of `name` (RFC 1035, section 4)."""
    labels = b"".join(bytes([len(part)]) + part for part in name.encode("idna").split(b"."))
    header = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    return header + labels + b"\x00\x00\x01\x00\x01"


def main(arguments: Sequence[str]) -> Any:
    """Start the sandboxed kernel with the options of a case."""
    from sandbox_kernel.__main__ import main as kernel_main
    from sandbox_kernel.trusted.options import LaunchOptions

    config = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    options = LaunchOptions(
        level=config["level"],
        policy_paths=[(scope, path) for scope, path in config["policies"]],
        notebook=config["notebook"],
        resolver=resolver(config["resolver"], config["dns"] and tuple(config["dns"])),
        data_dir=config["data"],
    )
    return kernel_main(list(arguments[1:]), options=options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
