"""What may come back on a control channel."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq
from jupyter_client.connect import write_connection_file

from sandbox_kernel.jupyter import control_client
from sandbox_kernel.jupyter.control_client import CommandRefused, ControlClient, NoAnswer, running
from sandbox_kernel.shared.wire import DELIMITER, BadFrames, Signer, decode, encode

KEY = b"k"
ODD = "caf\udce9.ipynb"


@contextmanager
def answering(folder: Path, key: bytes, contents: Sequence[dict[str, object]]) -> Iterator[Path]:
    """A program that answers each request with these, signed with `key`; its connection file."""
    file, ports = write_connection_file(str(folder / "kernel-other.json"), ip="127.0.0.1", key=KEY)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.bind(f"tcp://127.0.0.1:{ports['control_port']}")
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            if socket.poll(20):
                identity, _, _, header, *_ = socket.recv_multipart()
                for content in contents:
                    parts = [encode({}), header, encode({}), encode(content)]
                    signed = [Signer(key, "sha256").sign(parts), *parts]
                    socket.send_multipart([identity, DELIMITER, *signed])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Path(file)
    finally:
        over.set()
        thread.join()
        context.destroy(linger=0)


def test_names_that_are_no_text_come_back(tmp_path: Path) -> None:
    content = {"status": "ok", "notebook": ODD}
    with answering(tmp_path, KEY, [content]) as file, ControlClient(file) as client:
        assert client.status()["notebook"] == ODD
        assert [status["notebook"] for _, status in running(str(tmp_path))] == [ODD]


def test_an_error_is_raised_in_the_kernels_words(tmp_path: Path) -> None:
    content = {"status": "error", "evalue": f"{ODD}: not possible"}
    with (
        answering(tmp_path, KEY, [content]) as file,
        ControlClient(file) as client,
        pytest.raises(CommandRefused, match="not possible"),
    ):
        client.status()


def test_who_has_another_key_is_no_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "_LOOK_SECONDS", 5.0)
    with answering(tmp_path, b"other", [{"status": "ok"}]) as file:
        with ControlClient(file) as client, pytest.raises(NoAnswer, match="another program"):
            client.status()
        assert list(running(str(tmp_path))) == []


def test_what_is_no_signed_message_is_refused() -> None:
    signer = Signer(KEY, "sha256")
    parts = [b"{}"] * 4
    signature = signer.sign(parts)
    assert signer.checked([b"a", b"b", DELIMITER, signature, *parts, b"more"]) == (
        2,
        signature,
        [*parts, b"more"],
    )
    for frames in (
        [],
        [b"a"],
        [DELIMITER],
        [DELIMITER, signature],
        [DELIMITER, signature, *parts[:3]],
        [DELIMITER, signature, *parts[:3], b"[]"],
        [DELIMITER, b"", *parts],
    ):
        with pytest.raises(BadFrames):
            signer.checked(frames)


def test_texts_with_lone_surrogates_go_both_ways() -> None:
    assert decode(encode({"path": ODD})) == {"path": ODD}
    with pytest.raises(ValueError):  # noqa: PT011  # Any of the decoder's.
        decode(b"{")
