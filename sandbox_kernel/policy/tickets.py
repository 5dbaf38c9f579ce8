"""Tickets: signed rights that a notebook carries in its metadata.

An issuer whose public key stands in the policy signs a request in the vocabulary of
`metadata.sandbox`; whoever holds the ticket can narrow it and pass it on, and nobody can widen
it.  A ticket counts as a person's yes: the policy's tiers bound what it can do.

The format is Biscuit (https://doc.biscuitsec.org), with a fixed shape a block:

| block     | statements                                                             |
|-----------|------------------------------------------------------------------------|
| first     | one `grant("<request>")`, `issuer("<public key>")`, then checks        |
| each next | at most one `narrow("<request>")`, then checks                         |
| checks    | `check if time($time), $time <= <instant>`                             |
|           | `check if notebook($notebook), $notebook == "<file name>"`             |

`<request>` is JSON in URL-safe base64.  The issuer's key is there for whoever narrows the ticket
and is never believed: trust comes from the policy's list alone.  A block with any other statement
is refused: what this version does not know may be a restriction that it would not apply.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import biscuit_auth as biscuit
import msgspec

from . import entries as make
from . import model
from .entries import meet
from .problems import Origin
from .request import parse_request
from .resolve import Grant
from .rights import Places

MAX_TOKEN = 16_384
"""A longer ticket is refused unread (characters)."""

_FACT = re.compile(r'(grant|narrow)\("([A-Za-z0-9_=-]*)"\)')
_ISSUER = re.compile(r'issuer\("(ed25519/[0-9a-f]{64})"\)')
_UNTIL = re.compile(r"check if time\(\$time\), \$time <= (\S+)")
_ONLY = re.compile(r'check if notebook\(\$notebook\), \$notebook == "([^"\\]*)"')
_NAME = re.compile(r'[^"\\/\x00-\x1f]{1,255}')
_LIBRARY_ERRORS = (
    biscuit.BiscuitValidationError,
    biscuit.BiscuitSerializationError,
    ValueError,
    TypeError,
)
_NEUTRAL = Places(folder="/notebook", home="/home")
# The library's own bound of 1 ms is missed on a busy machine.
_MOST_TIME = datetime.timedelta(seconds=2)


class TicketError(ValueError):
    """A ticket cannot be made: the message says why."""


@dataclass(frozen=True)
class TicketRefused:
    """Why a ticket grants nothing; `code` is stable."""

    code: str
    why: str


@dataclass(frozen=True)
class Ticket:
    """What a ticket says: `narrowed` are the blocks after the first.

    `expires_at` is in seconds since the epoch, the earliest of all blocks; `notebooks` the names
    it is bound to; `issuer` the name or key of who signed it, empty where nobody checked; `key`
    the public key that the ticket itself names.
    """

    table: model.RequestTable
    narrowed: tuple[model.RequestTable, ...]
    expires_at: float | None
    notebooks: tuple[str, ...]
    issuer: str
    key: str
    id: str

    def grant(self, now: float) -> Grant:
        """The yes that this ticket is, for `resolve`."""
        return Grant(
            f"ticket:{self.id}",
            self.table,
            "ticket",
            "notebook",
            now,
            self.narrowed,
            self.expires_at,
        )


def new_keys() -> tuple[str, str]:
    """A new private key and its public key, as text (`ed25519-private/…`, `ed25519/…`)."""
    pair = biscuit.KeyPair()
    return str(pair.private_key), str(pair.public_key)


def issue(
    private_key: str,
    request: Mapping[str, object],
    *,
    expires_at: float,
    notebook: str | None = None,
) -> str:
    """Sign a request; raises TicketError for a malformed one or a bad key.

    `expires_at` (seconds since the epoch) is required: a ticket that leaks should end by itself.
    `notebook` binds it to a file name.
    """
    try:
        key = biscuit.PrivateKey(private_key)
    except (ValueError, TypeError) as error:
        raise TicketError(f"this is no private key: {error}") from None
    public = biscuit.KeyPair.from_private_key(key).public_key
    source = _statements("grant", request, expires_at, notebook) + f'\nissuer("{public}");'
    return str(biscuit.BiscuitBuilder(source).build(key).to_base64())


def narrow(
    token: str,
    request: Mapping[str, object] | None = None,
    *,
    expires_at: float | None = None,
    notebook: str | None = None,
) -> str:
    """A ticket that allows less; needs no key.

    Raises TicketError when the request is malformed or names more than the ticket has.
    """
    before = read(token)
    if isinstance(before, TicketRefused):
        raise TicketError(before.why)
    source = _statements("narrow", request, expires_at, notebook)
    try:
        # The library writes verified tickets only; the key is the one that the ticket names.
        held = biscuit.Biscuit.from_base64(token, biscuit.PublicKey(before.key))
    except (biscuit.BiscuitValidationError, ValueError) as error:
        raise TicketError(f"the ticket was changed or is broken: {error}") from None
    after = str(held.append(biscuit.BlockBuilder(source)).to_base64())
    told = read(after)
    if isinstance(told, TicketRefused):
        raise TicketError(told.why)
    return after


def read(token: str) -> Ticket | TicketRefused:
    """What a ticket says, its signature *not* checked: for showing it to people."""
    parsed = _parse(token)
    if isinstance(parsed, TicketRefused):
        return parsed
    try:
        blocks = [parsed.block_source(index) for index in range(parsed.block_count())]
        marks = parsed.revocation_ids
    except BaseException as error:
        if not _is_of_library(error):
            raise
        return TicketRefused("ticket.malformed", f"the ticket cannot be read: {error}")
    return _ticket([str(block) for block in blocks], "", marks)


def verify(
    token: str, issuers: Sequence[model.Issuer], *, notebook: str | None, now: float
) -> Ticket | TicketRefused:
    """Check a ticket: signed by a listed issuer, every block of a known shape, every check true.

    `notebook` is the notebook's path; `now` is in seconds since the epoch.  Never raises on a
    token.
    """
    parsed = _parse(token)
    if isinstance(parsed, TicketRefused):
        return parsed
    for issuer in issuers:
        try:
            signed = biscuit.Biscuit.from_base64(token, biscuit.PublicKey(issuer.key))
        except BaseException as error:
            # This issuer did not sign it, or the policy's key is none; the others may have.
            if not _is_of_library(error):
                raise
            continue
        return _checked(signed, issuer.name or issuer.key, notebook, now)
    return TicketRefused(
        "ticket.not_trusted",
        "the ticket is forged, changed, or signed by somebody whom the policy does not list "
        "in [[tickets.issuers]]",
    )


def _parse(token: str) -> biscuit.UnverifiedBiscuit | TicketRefused:
    if len(token) > MAX_TOKEN:
        return TicketRefused("ticket.malformed", f"longer than {MAX_TOKEN} characters")
    try:
        return biscuit.UnverifiedBiscuit.from_base64(token)
    except BaseException as error:
        if not _is_of_library(error):
            raise
        return TicketRefused("ticket.malformed", "this is no ticket")


def _is_of_library(error: BaseException) -> bool:
    """Whether an exception is the library's answer to bad data.

    A panic of the Rust side comes as a BaseException that pyo3 does not export.
    """
    return isinstance(error, _LIBRARY_ERRORS) or type(error).__name__ == "PanicException"


def _checked(
    signed: biscuit.Biscuit, issuer: str, notebook: str | None, now: float
) -> Ticket | TicketRefused:
    count = signed.block_count()
    if any(signed.block_external_key(index) is not None for index in range(count)):
        return TicketRefused("ticket.unknown_block", "a block is signed by somebody else")
    blocks = [str(signed.block_source(index)) for index in range(count)]
    ticket = _ticket(blocks, issuer, signed.revocation_ids)
    if isinstance(ticket, TicketRefused):
        return ticket
    if ticket.expires_at is not None and now > ticket.expires_at:
        ended = _instant(ticket.expires_at).isoformat()
        return TicketRefused("ticket.expired", f"the ticket ended at {ended}")
    name = posixpath.basename(notebook) if notebook else ""
    for only in ticket.notebooks:
        if only != name:
            text = f"the ticket is for the notebook {only}, not for {name or 'an unknown one'}"
            return TicketRefused("ticket.other_notebook", text)
    # Any: the stubs of biscuit-python 0.4 lack the limits that the library has.
    builder: Any = biscuit.AuthorizerBuilder(
        "time({now}); notebook({name}); allow if true;", {"now": _instant(now), "name": name}
    )
    limits = builder.limits()
    limits.max_time = _MOST_TIME
    builder.set_limits(limits)
    try:
        builder.build(signed).authorize()
    except biscuit.AuthorizationError as error:
        return TicketRefused("ticket.check_failed", f"a check of the ticket failed: {error}")
    return ticket


def _ticket(blocks: Sequence[str], issuer: str, marks: Sequence[str]) -> Ticket | TicketRefused:
    tables: list[model.RequestTable | None] = []
    ends: list[float] = []
    notebooks: list[str] = []
    key = ""
    for index, block in enumerate(blocks):
        table: model.RequestTable | None = None
        for statement in filter(None, (line.strip() for line in block.split(";\n"))):
            statement = statement.removesuffix(";")
            if fact := _FACT.fullmatch(statement):
                refused = _misplaced(fact[1], index, table)
                if refused is not None:
                    return refused
                decoded = _decode(fact[2])
                if isinstance(decoded, TicketRefused):
                    return decoded
                table = decoded
            elif index == 0 and not key and (named := _ISSUER.fullmatch(statement)):
                key = named[1]
            elif until := _UNTIL.fullmatch(statement):
                try:
                    ends.append(datetime.datetime.fromisoformat(until[1]).timestamp())
                except (ValueError, OverflowError):
                    text = f"block {index} ends at an instant that is none"
                    return TicketRefused("ticket.malformed", text)
            elif only := _ONLY.fullmatch(statement):
                notebooks.append(only[1])
            else:
                text = f"block {index} has a statement that this version does not know"
                return TicketRefused("ticket.unknown_block", text)
        tables.append(table)
    first, *rest = tables
    if first is None:
        return TicketRefused("ticket.malformed", "the first block grants nothing")
    narrower = tuple(table for table in rest if table is not None)
    wider = _widened(first, narrower)
    if wider is not None:
        return wider
    return Ticket(
        table=first,
        narrowed=narrower,
        expires_at=min(ends, default=None),
        notebooks=tuple(notebooks),
        issuer=issuer,
        key=key,
        id=str(marks[-1])[:16],
    )


def _misplaced(fact: str, index: int, before: model.RequestTable | None) -> TicketRefused | None:
    if fact == "grant" and index > 0:
        text = f"block {index} tries to grant more: only the first block can grant"
        return TicketRefused("ticket.widened", text)
    if fact == "narrow" and index == 0:
        return TicketRefused("ticket.malformed", "the first block grants nothing")
    if before is not None:
        return TicketRefused("ticket.unknown_block", f"block {index} says {fact} twice")
    return None


def _widened(first: model.RequestTable, rest: Sequence[model.RequestTable]) -> TicketRefused | None:
    """The refusal of a block that names what the blocks before it do not have."""
    grant = Grant("", first, "ticket")
    for index, table in enumerate(rest, start=1):
        have = grant.entries(_NEUTRAL)
        for entry, kind, at in make.entries(table, _NEUTRAL, 0.0):
            if not any(meet(entry, other) == entry for other in have):
                text = f"block {index} names more than the ticket has: {kind}[{at}]"
                return TicketRefused("ticket.widened", text)
        grant = Grant("", first, "ticket", narrowed=(*grant.narrowed, table))
    return None


def _statements(
    fact: str,
    request: Mapping[str, object] | None,
    expires_at: float | None,
    notebook: str | None,
) -> str:
    parts = []
    if request is not None:
        parsed = parse_request(dict(request), Origin("ticket"))
        if parsed.table is None:
            raise TicketError("; ".join(problem.text for problem in parsed.problems))
        if parsed.table.tickets or parsed.table.policy:
            raise TicketError("a ticket carries rights, no policy and no tickets")
        parts.append(f'{fact}("{_encode(request)}")')
    if expires_at is not None:
        # To the second, as the datalog has it.
        until = _instant(float(int(expires_at))).isoformat().replace("+00:00", "Z")
        parts.append(f"check if time($time), $time <= {until}")
    if notebook is not None:
        if not _NAME.fullmatch(notebook):
            raise TicketError(f"{notebook!r}: write the file name of a notebook")
        parts.append(f'check if notebook($notebook), $notebook == "{notebook}"')
    return ";\n".join(parts) + (";" if parts else "")


def _encode(request: Mapping[str, object]) -> str:
    text = json.dumps(request, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def _decode(text: str) -> model.RequestTable | TicketRefused:
    try:
        raw = msgspec.json.decode(base64.urlsafe_b64decode(text))
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        return TicketRefused("ticket.malformed", "the ticket's request is no JSON")
    parsed = parse_request(raw, Origin("ticket"))
    if parsed.table is None:
        why = "; ".join(problem.text for problem in parsed.problems)
        return TicketRefused("ticket.malformed", why)
    return parsed.table


def _instant(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
