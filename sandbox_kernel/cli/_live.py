"""What the commands that talk to running kernels share: which kernel, which request."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from sandbox_kernel.jupyter.control_client import (
    CommandRefused,
    ControlClient,
    NoAnswer,
    find,
)
from sandbox_kernel.trusted.capabilities.wording import visible

KERNEL_HELP = "a notebook's path, a kernel id, or a connection file"


def request_options(parser: argparse.ArgumentParser) -> None:
    """Options that name rights, as `metadata.sandbox` does."""
    parser.add_argument("--read", action="append", default=[], metavar="PATH")
    parser.add_argument("--create", action="append", default=[], metavar="PATH")
    parser.add_argument("--append", action="append", default=[], metavar="PATH")
    parser.add_argument("--write", action="append", default=[], metavar="PATH")
    parser.add_argument("--connect", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--listen", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--module", action="append", default=[], metavar="NAME")
    parser.add_argument("--json", metavar="REQUEST", help="a request as in metadata.sandbox")


def request_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The request that those options make. Raises ValueError for JSON that is none."""
    request: dict[str, Any] = {}
    if arguments.json:
        request = json.loads(arguments.json)
        if not isinstance(request, dict):
            raise ValueError("--json takes an object, as metadata.sandbox is one")
    for mode in ("read", "create", "append", "write"):
        for path in getattr(arguments, mode):
            request.setdefault("files", []).append({"path": path, "mode": mode})
    for use in ("connect", "listen"):
        for endpoint in getattr(arguments, use):
            request.setdefault("sockets", []).append({use: endpoint})
    if arguments.module:
        request.setdefault("modules", []).extend(arguments.module)
    return request


def talk(name: str, work: Callable[[ControlClient], int]) -> int:
    """Do `work` with the kernel that `name` means; 1 with a word when that fails."""
    try:
        with ControlClient(find(name)) as client:
            return work(client)
    except (NoAnswer, CommandRefused, ValueError) as error:
        print(f"sandbox-kernel: {visible(str(error))}", file=sys.stderr)
        return 1


def show(value: object, *, indent: int | None = 2) -> None:
    """Print data as JSON for people."""
    tell(json.dumps(value, indent=indent, ensure_ascii=False))


def tell(text: str) -> None:
    """Print lines in which a notebook, a path or a cell may have chosen words.

    What would steer a terminal, or turn the direction of the text, is shown as an escape.
    """
    for line in text.split("\n"):
        print(visible(line))
