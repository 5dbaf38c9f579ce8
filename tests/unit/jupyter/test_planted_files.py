"""Finding running kernels among files that others may have put there; words on a terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jupyter_client.connect import write_connection_file

from sandbox_kernel.cli import _live
from sandbox_kernel.jupyter import control_client
from sandbox_kernel.jupyter.control_client import ControlClient, NoAnswer, connection_files, find

HONEST = {
    **{f"{channel}_port": 1 + n for n, channel in enumerate(("shell", "iopub", "stdin"))},
    **{"control_port": 4, "hb_port": 5, "key": "k", "ip": "127.0.0.1", "transport": "tcp"},
    "signature_scheme": "hmac-sha256",
}


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    write_connection_file(str(tmp_path / "kernel-honest.json"), key=b"k")
    return tmp_path


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"7",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({**HONEST, "key": 5}).encode(),
        json.dumps({**HONEST, "key": ""}).encode(),
        json.dumps({**HONEST, "ip": {"a": 1}}).encode(),
        json.dumps({**HONEST, "transport": "pgm"}).encode(),
        json.dumps({**HONEST, "shell_port": "22; x"}).encode(),
        json.dumps({**HONEST, "hb_port": None}).encode(),
        json.dumps({**HONEST, "signature_scheme": ["hmac"]}).encode(),
        json.dumps({**HONEST, "curve_publickey": 1}).encode(),
    ],
)
def test_a_planted_file_is_no_kernel_and_crashes_nothing(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(control_client, "_LOOK_SECONDS", 0.05)  # The honest one has ended.
    planted = runtime / "kernel-planted.json"
    planted.write_bytes(content)
    with pytest.raises(NoAnswer):
        ControlClient(planted)
    with pytest.raises(NoAnswer, match="no sandboxed kernel runs"):
        find("notebook.ipynb", str(runtime))


def test_only_files_of_ones_own_are_looked_at(runtime: Path) -> None:
    os.mkfifo(runtime / "kernel-pipe.json")
    (runtime / "kernel-folder.json").mkdir()
    (runtime / "elsewhere.txt").write_text(json.dumps(HONEST))
    (runtime / "kernel-link.json").symlink_to("elsewhere.txt")
    (runtime / "kernel-gone.json").symlink_to("nowhere")
    (runtime / "other-kernel.json").write_text(json.dumps(HONEST))
    assert [path.name for path in connection_files(str(runtime))] == ["kernel-honest.json"]
    assert list(connection_files(str(runtime / "missing"))) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of another user")
def test_a_file_of_another_user_is_not_looked_at(runtime: Path) -> None:
    foreign = runtime / "kernel-foreign.json"
    foreign.write_text(json.dumps(HONEST))
    assert foreign in connection_files(str(runtime))  # The control: it is one of ours still.
    os.chown(foreign, 65534, 65534)
    assert foreign not in connection_files(str(runtime))


def test_no_words_of_a_notebook_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _live.show({"notebook": "a\x9b2K\u202eb\x1b]0;x\x07\udcff"}, indent=None)
    _live.tell("first\nsecond \x1b[2K")
    told = capsys.readouterr().out
    assert not set(told) & set("\x9b\u202e\x1b\x07")
    assert told.count("\n") == 3
    assert "é" in (_live.tell("é") or capsys.readouterr().out)
