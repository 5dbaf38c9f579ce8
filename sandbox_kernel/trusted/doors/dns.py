"""The resolver that the worker sees: parse one query, word one answer. No input or output.

The worker's `resolv.conf` names 127.0.0.1 with `use-vc`, so that libc asks over a stream: the
connect is a notification, and the socket door puts one end of a socket pair in its place. Queries
are length-prefixed (RFC 1035 4.2.2). Granted names have synthetic addresses; every other name is
answered REFUSED, and never looked up anywhere: a query is itself a way out.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .names import BadName, TooManyNames, normal_name
from .sockaddr import IpAddress

TYPE_A = 1
TYPE_AAAA = 28
CLASS_IN = 1
TTL_SECONDS = 60
MOST_BYTES = 512  # no query of a stub resolver is longer
NO_ERROR, FORMAT_ERROR, NOT_IMPLEMENTED, REFUSED = 0, 1, 4, 5

Lookup = Callable[[str], "tuple[IpAddress, ...] | None"]
"""Called with a normalised name: its synthetic addresses, or None where no grant covers it."""


class BadQuery(ValueError):
    """Bytes that are no query with one question."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `raw` is the question section as it came, echoed in the answer."""

    identifier: int
    flags: int
    name: str
    kind: int
    klass: int
    raw: bytes


def parse_query(message: bytes) -> Query:
    """The question in `message`; raises BadQuery."""
    if len(message) < 12 or len(message) > MOST_BYTES:
        raise BadQuery(f"{len(message)} bytes")
    identifier, flags, questions = struct.unpack_from("!HHH", message)
    if flags & 0x8000 or questions != 1:
        raise BadQuery("not a query with one question")
    labels: list[str] = []
    at = 12
    while True:
        if at >= len(message):
            raise BadQuery("name runs past the end")
        length = message[at]
        at += 1
        if length == 0:
            break
        if length > 63 or at + length > len(message):
            raise BadQuery("bad label")
        try:
            labels.append(message[at : at + length].decode("ascii"))
        except UnicodeDecodeError:
            raise BadQuery("label is not ASCII") from None
        at += length
    if at + 4 > len(message):
        raise BadQuery("no type and class")
    kind, klass = struct.unpack_from("!HH", message, at)
    return Query(identifier, flags, ".".join(labels), kind, klass, message[12 : at + 4])


def answer(message: bytes, lookup: Lookup) -> bytes:
    """The reply to `message`. A malformed one gets FORMERR; raises BadQuery only without an id."""
    if len(message) < 12:
        raise BadQuery(f"{len(message)} bytes")
    try:
        query = parse_query(message)
    except BadQuery:
        identifier = struct.unpack_from("!H", message)[0]
        return struct.pack("!HHHHHH", identifier, 0x8000 | FORMAT_ERROR, 0, 0, 0, 0)
    opcode = query.flags >> 11 & 0xF
    if opcode:
        return _reply(query, NOT_IMPLEMENTED, ())
    try:
        addresses = lookup(normal_name(query.name))
    except (BadName, TooManyNames):
        addresses = None
    if addresses is None:
        return _reply(query, REFUSED, ())
    family = {TYPE_A: socket.AF_INET, TYPE_AAAA: socket.AF_INET6}.get(query.kind)
    if query.klass != CLASS_IN or family is None:
        return _reply(query, NO_ERROR, ())
    wanted = 4 if family == socket.AF_INET else 6
    return _reply(query, NO_ERROR, tuple(a.packed for a in addresses if a.version == wanted))


def _reply(query: Query, code: int, records: tuple[bytes, ...]) -> bytes:
    # QR, AA, RA set; RD echoed.
    flags = 0x8480 | query.flags & 0x0100 | code
    head = struct.pack("!HHHHHH", query.identifier, flags, 1, len(records), 0, 0)
    body = b"".join(
        struct.pack("!HHHIH", 0xC00C, query.kind, CLASS_IN, TTL_SECONDS, len(data)) + data
        for data in records
    )
    return head + query.raw + body


def frames(buffer: bytearray) -> Iterator[bytes]:
    """Take complete length-prefixed messages out of `buffer`; raises BadQuery for a long one."""
    while len(buffer) >= 2:
        length = struct.unpack_from("!H", buffer)[0]
        if length > MOST_BYTES:
            raise BadQuery(f"{length} bytes")
        if len(buffer) < 2 + length:
            return
        message = bytes(buffer[2 : 2 + length])
        del buffer[: 2 + length]
        yield message


def framed(message: bytes) -> bytes:
    """`message` with its length before it."""
    return struct.pack("!H", len(message)) + message
