"""Frames on the worker channel."""

import struct

import pytest

from sandbox_kernel.shared import codec
from sandbox_kernel.shared.errors import PeerViolation
from sandbox_kernel.shared.messages import Finished, FromWorker, Output, Ready


def unpacker() -> codec.Unpacker:
    return codec.Unpacker(FromWorker)


def test_messages_and_buffers_come_back_as_they_were():
    reader = unpacker()
    reader.feed(codec.pack(Ready()))
    reader.feed(codec.pack(Output("comm_msg", {"data": {"a": [1, None]}}), [b"\0raw", b""]))
    assert list(reader) == [
        (Ready(), []),
        (Output("comm_msg", {"data": {"a": [1, None]}}), [b"\0raw", b""]),
    ]
    assert not reader.partial


def test_a_message_may_arrive_byte_by_byte():
    data = codec.pack(Finished("id", (3, 4))) + codec.pack(Ready())
    reader, got = unpacker(), []
    for position in range(len(data)):
        reader.feed(data[position : position + 1])
        got.extend(reader)
    assert [message for message, _ in got] == [Finished("id", (3, 4)), Ready()]


def test_a_message_that_cannot_be_decoded_for_want_of_memory_stays():
    reader, decoder = unpacker(), FullDecoder()
    decoder.inner, reader._decoder = reader._decoder, decoder
    reader.feed(codec.pack(Finished("id")) + codec.pack(Ready()))
    with pytest.raises(MemoryError):
        list(reader)
    assert [message for message, _ in reader] == [Finished("id"), Ready()]


class FullDecoder:
    """Fails the first time."""

    def __init__(self):
        self.failures = 1

    def decode(self, data):
        if self.failures:
            self.failures -= 1
            raise MemoryError
        return self.inner.decode(data)


def test_lone_surrogates_are_shown_and_not_lost():
    reader = unpacker()
    reader.feed(codec.pack(Output("stream", {"text": "a\udc80b", "\ud800": 1})))
    ((message, _),) = reader
    assert message.content == {"text": "a\\udc80b", "\\ud800": 1}


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<I", 0),
        struct.pack("<I", codec.MAX_FRAMES + 1),
        struct.pack("<II", 1, codec.MAX_BYTES + 1),
        struct.pack("<III", 2, codec.MAX_BYTES, 1),
        b"\xff" * 64,
        struct.pack("<II", 1, 2) + b"{}",
        struct.pack("<II", 1, 4) + b"\xff\xfe{}",
        struct.pack("<II", 1, 19) + b'{"say":"something"}',
        struct.pack("<II", 1, 25) + b'{"say":"ready","more":1}\n',
        struct.pack("<II", 1, 29) + b'{"say":"finished","to":["x"]}',
    ],
)
def test_what_no_honest_peer_sends_is_a_violation(data):
    reader = unpacker()
    reader.feed(data)
    with pytest.raises(PeerViolation):
        list(reader)


def test_deep_nesting_is_a_violation_and_no_crash():
    text = b'{"say":"output","type":"stream","content":{"a":' + b"[" * 200_000
    reader = unpacker()
    reader.feed(struct.pack("<II", 1, len(text)) + text)
    with pytest.raises(PeerViolation):
        list(reader)


def test_too_big_is_said_before_anything_is_written():
    with pytest.raises(codec.MessageTooBig) as error:
        codec.pack(Ready(), [bytes(codec.MAX_BYTES)])
    assert error.value.allowed == codec.MAX_BYTES
    assert error.value.size > codec.MAX_BYTES


def test_the_largest_message_goes_through():
    head = len(codec.pack(Ready())) - 8
    reader = unpacker()
    reader.feed(codec.pack(Ready(), [bytes(codec.MAX_BYTES - head)]))
    ((message, (buffer,)),) = reader
    assert message == Ready()
    assert len(buffer) == codec.MAX_BYTES - head


def output(value: str) -> bytes:
    """A message whose content is this JSON."""
    head = f'{{"say":"output","type":"stream","content":{value}}}'.encode()
    return struct.pack("<II", 1, len(head)) + head


@pytest.mark.parametrize("many", ["[],", "{},", "1,"])
def test_a_few_bytes_do_not_become_many_values(monkeypatch, many):
    bomb = output('{"a":[' + many * 5000 + "0]}")
    monkeypatch.setattr(codec, "MAX_VALUES", 1000)
    reader = unpacker()
    reader.feed(bomb)
    with pytest.raises(PeerViolation, match="values"):
        list(reader)
    # The control: without the bound all of them are made.
    monkeypatch.setattr(codec, "MAX_VALUES", 1 << 30)
    reader = unpacker()
    reader.feed(bomb)
    ((message, _),) = reader
    assert len(message.content["a"]) == 5001


@pytest.mark.parametrize(
    "text", [",[{" * 2000, '\\"' * 2000 + "," * 2000, "\\\\" * 500 + "," * 2000]
)
def test_what_stands_in_a_text_is_no_value(monkeypatch, text):
    monkeypatch.setattr(codec, "MAX_VALUES", 1500)
    reader = unpacker()
    sent = Output("stream", {"name": "stdout", "text": text})
    reader.feed(codec.pack(sent))
    assert list(reader) == [(sent, [])]


def test_text_that_does_not_end_is_looked_at_once(monkeypatch):
    monkeypatch.setattr(codec, "MAX_VALUES", 3_000_000)
    reader = unpacker()
    head = b"," * 3_000_001 + b'\\"' * 4_000_000  # Each quote could begin a text up to the end.
    reader.feed(struct.pack("<II", 1, len(head)) + head)
    with pytest.raises(PeerViolation):
        list(reader)
