"""A message of Jupyter's as its frames: JSON, and the signature of it; for both ends of a channel.

Wire format: https://jupyter-client.readthedocs.io/en/stable/messaging.html#wire-protocol.
"""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

_PROTOCOL = "5.4"
#: Between the addresses that ZeroMQ needs and the signature.
DELIMITER = b"<IDS|MSG>"
#: header, parent header, metadata, content: what is signed; buffers follow.
SIGNED = 4

_json = msgspec.json.Encoder()


class BadFrames(ValueError):
    """The frames are no message that was signed with the key."""


class Signer:
    """Signs with the key of a connection file, and checks.

    `digest` is a name that hashlib knows.
    """

    def __init__(self, key: bytes, digest: str) -> None:
        self._unsigned = hmac.new(key, digestmod=digest)

    def sign(self, parts: Sequence[bytes]) -> bytes:
        """The signature of the four parts of a message."""
        mac = self._unsigned.copy()
        mac.update(b"".join(parts))
        return mac.hexdigest().encode()

    def checked(self, frames: Sequence[bytes]) -> tuple[int, bytes, Sequence[bytes]]:
        """How many addresses come first, the signature, and the parts with what buffers follow.

        Raises `BadFrames`.
        """
        try:
            cut = frames.index(DELIMITER)
        except ValueError:
            raise BadFrames("there is no delimiter") from None
        signature, *parts = frames[cut + 1 :] or (b"",)
        if len(parts) < SIGNED:
            raise BadFrames("parts are missing")
        if not hmac.compare_digest(self.sign(parts[:SIGNED]), signature):
            raise BadFrames("the signature is wrong")
        return cut, signature, parts


class Author:
    """Makes the messages of one session, as Jupyter calls it, of a kernel or a client."""

    def __init__(self, signer: Signer, username: str) -> None:
        self._signer = signer
        self._username = username
        self._session = uuid.uuid4().hex
        self._count = 0

    def message(
        self,
        kind: str,
        content: Mapping[str, Any],
        parent: Mapping[str, Any],
        metadata: Mapping[str, Any],
    ) -> tuple[str, list[bytes]]:
        """A new message's msg_id, and its frames from the delimiter to the content.

        kind: its msg_type. parent: the header of what it is about.
        """
        self._count += 1
        message_id = f"{self._session}_{self._count}"
        header = {
            "msg_id": message_id,
            "msg_type": kind,
            "username": self._username,
            "session": self._session,
            "date": datetime.now(UTC),
            "version": _PROTOCOL,
        }
        parts = [encode(part) for part in (header, parent, metadata, content)]
        return message_id, [DELIMITER, self._signer.sign(parts), *parts]


def encode(value: Mapping[str, Any]) -> bytes:
    """A part of a message; texts may have lone surrogates, as paths that are not UTF-8 do."""
    try:
        return _json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value).encode()  # They have a form only as escapes.


def decode(part: bytes) -> Any:
    """The value of a part. Raises ValueError, RecursionError."""
    try:
        return msgspec.json.decode(part)
    except msgspec.DecodeError:
        return json.loads(part.decode("utf-8", "replace"))
