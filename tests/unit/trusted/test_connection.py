"""Connection files, good and broken."""

import json

import pytest

from sandbox_kernel.shared.errors import BadConnection
from sandbox_kernel.trusted.connection import read_connection

GOOD = {
    "transport": "tcp",
    "ip": "127.0.0.1",
    "shell_port": 1001,
    "control_port": 1002,
    "stdin_port": 1003,
    "iopub_port": 1004,
    "hb_port": 1005,
    "key": "k",
    "signature_scheme": "hmac-sha256",
}


def write(tmp_path, data) -> str:
    path = tmp_path / "kernel.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return str(path)


def test_addresses_of_both_transports(tmp_path):
    tcp = read_connection(write(tmp_path, GOOD))
    assert tcp.address("iopub") == "tcp://127.0.0.1:1004"
    ipc = read_connection(write(tmp_path, {**GOOD, "transport": "ipc", "ip": "/run/k-ipc"}))
    assert ipc.address("hb") == "ipc:///run/k-ipc-1005"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("not json", "not a connection file"),
        ("[1]", "no object"),
        ({**GOOD, "transport": "udp"}, "tcp and ipc"),
        ({**GOOD, "shell_port": "80"}, "shell_port"),
        ({**GOOD, "hb_port": 0}, "hb_port"),
        ({**GOOD, "hb_port": True}, "hb_port"),
        ({k: v for k, v in GOOD.items() if k != "stdin_port"}, "stdin_port"),
        ({**GOOD, "signature_scheme": "none"}, "hmac-sha256"),
        ({**GOOD, "signature_scheme": "hmac-shake_128"}, "hmac-sha256"),
        ({**GOOD, "key": ""}, "key is empty"),
        ({**GOOD, "key": 5}, "key and ip are texts"),
        ({**GOOD, "curve_publickey": "x"}, "given together"),
    ],
)
def test_a_broken_file_is_told_with_its_path_and_what_would_be_right(tmp_path, data, said):
    path = write(tmp_path, data)
    with pytest.raises(BadConnection, match=said) as error:
        read_connection(path)
    assert path in str(error.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(BadConnection, match="cannot be read"):
        read_connection(str(tmp_path / "absent.json"))
