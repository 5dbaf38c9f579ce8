"""Frames on the worker channel: how messages become bytes, and back.

A message is `count`, then `count` lengths (all unsigned 32-bit, little endian), then the frames.
Frame 0 is the JSON of one message, the others are its raw buffers. Both the number of frames and
the sum of the lengths are bounded before anything is read or kept, and so is the number of values
in the JSON before it is decoded: three bytes of it can become eighty in memory.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from .errors import PeerViolation

#: Most frames in one message (1 JSON + buffers; a widget with many arrays uses some dozens).
MAX_FRAMES = 1024
#: Most bytes in one message, all frames together.
MAX_BYTES = 64 * 1024 * 1024
#: Most values (items, members, containers) in the JSON of one message.
MAX_VALUES = 2_000_000
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)

Buffer = bytes | bytearray | memoryview
M = TypeVar("M")


class MessageTooBig(ValueError):
    """The message does not fit on the channel; `size` and `allowed` are in bytes."""

    def __init__(self, size: int, allowed: int = MAX_BYTES) -> None:
        super().__init__(f"a message of {size:,} bytes; at most {allowed:,} go through at once")
        self.size = size
        self.allowed = allowed


def pack(
    message: msgspec.Struct,
    buffers: Sequence[Buffer] = (),
    enc_hook: Callable[[Any], Any] | None = None,
) -> bytes:
    """Bytes of one message.

    `enc_hook` turns foreign objects into plain ones (see msgspec). Lone surrogates, which JSON in
    UTF-8 cannot carry, are sent in their backslash form, so that text is never lost.

    Raises `MessageTooBig` when the message exceeds `MAX_BYTES` or `MAX_FRAMES`.
    """
    try:
        head = msgspec.json.encode(message, enc_hook=enc_hook)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(message, enc_hook=enc_hook, str_keys=True)
        head = msgspec.json.encode(_without_surrogates(plain))
    sizes = [len(head), *(memoryview(b).nbytes for b in buffers)]
    if len(sizes) > MAX_FRAMES or sum(sizes) > MAX_BYTES:
        raise MessageTooBig(sum(sizes))
    return b"".join([struct.pack(f"<{len(sizes) + 1}I", len(sizes), *sizes), head, *buffers])


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(v) for v in value]
    return value


class Unpacker(Generic[M]):
    """Sans-I/O reader: feed it bytes as they come, take whole messages out.

    A violation (bad counts, sizes, JSON, unknown message or field) raises `PeerViolation`; after
    that the stream cannot be trusted and the unpacker must be dropped.
    """

    def __init__(self, kind: Any, *, max_bytes: int = MAX_BYTES) -> None:
        self._decoder: msgspec.json.Decoder[M] = msgspec.json.Decoder(kind)
        self._data = bytearray()
        self._max = max_bytes

    def feed(self, data: Buffer) -> None:
        """Add bytes from the peer."""
        self._data += data

    @property
    def partial(self) -> bool:
        """True when the bytes so far end inside a message."""
        return bool(self._data)

    def __iter__(self) -> Iterator[tuple[M, list[bytes]]]:
        while (taken := self._take()) is not None:
            yield taken

    def _take(self) -> tuple[M, list[bytes]] | None:
        data = self._data
        if len(data) < 4:
            return None
        (count,) = struct.unpack_from("<I", data)
        if not 1 <= count <= MAX_FRAMES:
            raise PeerViolation(f"{count} frames in a message; 1 to {MAX_FRAMES} are possible")
        start = 4 + 4 * count
        if len(data) < start:
            return None
        sizes = struct.unpack_from(f"<{count}I", data, 4)
        total = sum(sizes)
        if total > self._max:
            raise PeerViolation(f"a message of {total} bytes; at most {self._max} are possible")
        if len(data) < start + total:
            return None
        frames: list[bytes] = []
        with memoryview(data) as view:
            for size in sizes:
                frames.append(bytes(view[start : start + size]))
                start += size
        if _may_have_values(frames[0]) > MAX_VALUES:
            raise PeerViolation(f"a message of more than {MAX_VALUES} values")
        try:
            message = self._decoder.decode(frames[0])
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise PeerViolation(f"not a message of this protocol: {error}") from None
        del data[:start]  # Not before: where memory does not suffice for it, it stays for later.
        return message, frames[1:]


def _may_have_values(head: bytes) -> int:
    """The number of values in JSON, or more; looked at closely only where there may be many."""
    count = _marks(head)
    if count <= MAX_VALUES or head.count(b'"') > 2 * MAX_VALUES:
        return count
    return _marks(_STRING.sub(b"", head))


def _marks(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
