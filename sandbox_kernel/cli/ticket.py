"""Make, narrow and show tickets: signed rights that a notebook carries in its metadata.

    sandbox-kernel ticket keys FILE          a new key pair; FILE gets the private key
    sandbox-kernel ticket new REQUEST --key FILE --expires 30d [--notebook NAME]
    sandbox-kernel ticket narrow TICKET REQUEST [--expires 2h] [--notebook NAME]
    sandbox-kernel ticket show TICKET [--policy NAME] [--notebook NAME]

REQUEST is JSON in the words of metadata.sandbox: {"files": [{"path": "data", "mode": "read"}]}.
TICKET is a ticket, or - for standard input. A policy trusts an issuer by a line

    [[tickets.issuers]]
    key = "ed25519/…"
    reason = "…"
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Sequence

from sandbox_kernel.policy import PolicyError
from sandbox_kernel.policy.instants import expiry
from sandbox_kernel.policy.request import plain_request
from sandbox_kernel.policy.tickets import (
    Ticket,
    TicketError,
    TicketRefused,
    issue,
    narrow,
    new_keys,
    read,
    verify,
)
from sandbox_kernel.policy.units import UnitError
from sandbox_kernel.trusted.policy_files import choose


class _Usage(Exception):
    """What was typed cannot be used; the message says why."""


def main(argv: Sequence[str]) -> int:
    """Run `sandbox-kernel ticket …`: 0 done, 1 refused, 2 bad usage."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except (_Usage, TicketError, PolicyError, UnitError) as error:
        print(error, file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox-kernel ticket", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    keys = commands.add_parser("keys", help="make a key pair of an issuer")
    keys.add_argument("file", help="where to write the private key; must not exist")
    keys.set_defaults(run=_keys)
    new = commands.add_parser("new", help="sign a request")
    new.add_argument("request")
    new.add_argument("--key", required=True, help="file of the private key")
    new.add_argument("--expires", required=True, help="2h, 30d, or an instant with its zone")
    new.add_argument("--notebook", help="file name of the only notebook that it is for")
    new.set_defaults(run=_new)
    narrower = commands.add_parser("narrow", help="a ticket that allows less; needs no key")
    narrower.add_argument("ticket")
    narrower.add_argument("request", nargs="?")
    narrower.add_argument("--expires")
    narrower.add_argument("--notebook")
    narrower.set_defaults(run=_narrow)
    show = commands.add_parser("show", help="what a ticket says, and whether a policy takes it")
    show.add_argument("ticket")
    show.add_argument("--policy", default="default", help="name of the policy")
    show.add_argument("--notebook", help="path of the notebook")
    show.set_defaults(run=_show)
    return parser


def _keys(arguments: argparse.Namespace) -> int:
    private, public = new_keys()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(arguments.file, flags, 0o600)
    except OSError as error:
        raise _Usage(f"{arguments.file}: {error.strerror}") from None
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(private + "\n")
    print(public)
    return 0


def _new(arguments: argparse.Namespace) -> int:
    try:
        with open(arguments.key, encoding="ascii") as file:
            key = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _Usage(f"{arguments.key}: {error}") from None
    ends = _expires(arguments.expires)
    if ends is None:
        raise _Usage("--expires: a ticket has an end; write 30d or an instant")
    print(issue(key, _request(arguments.request), expires_at=ends, notebook=arguments.notebook))
    return 0


def _narrow(arguments: argparse.Namespace) -> int:
    request = None if arguments.request is None else _request(arguments.request)
    if request is None and arguments.expires is None and arguments.notebook is None:
        raise _Usage("say what is to be less: a request, --expires or --notebook")
    ends = _expires(arguments.expires)
    token = _token(arguments.ticket)
    print(narrow(token, request, expires_at=ends, notebook=arguments.notebook))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    token = _token(arguments.ticket)
    told = read(token)
    if isinstance(told, TicketRefused):
        print(f"{told.code}: {told.why}", file=sys.stderr)
        return 1
    _print(told)
    issuers = choose(arguments.policy).chosen.table.tickets.issuers
    verdict = verify(token, issuers, notebook=arguments.notebook, now=time.time())
    if isinstance(verdict, TicketRefused):
        print(f"policy {arguments.policy} refuses it: {verdict.why} ({verdict.code})")
        return 1
    print(f"policy {arguments.policy} takes it, signed by {verdict.issuer}")
    return 0


def _print(ticket: Ticket) -> None:
    print(json.dumps(plain_request(ticket.table), ensure_ascii=False))
    for table in ticket.narrowed:
        print(f"narrowed to {json.dumps(plain_request(table), ensure_ascii=False)}")
    if ticket.expires_at is not None:
        end = datetime.datetime.fromtimestamp(ticket.expires_at, datetime.UTC)
        print(f"until {end.isoformat()}")
    for name in ticket.notebooks:
        print(f"only for {name}")


def _request(text: str) -> dict[str, object]:
    try:
        request = json.loads(text)
    except ValueError as error:
        raise _Usage(f"the request is no JSON: {error}") from None
    if not isinstance(request, dict):
        raise _Usage('the request is no object: write {"files": […]}')
    return request


def _expires(text: str | None) -> float | None:
    return expiry(text, time.time())


def _token(text: str) -> str:
    return (sys.stdin.read(1_000_000) if text == "-" else text).strip()
