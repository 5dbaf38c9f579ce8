"""Jupyter's connection file: read once, checked completely, never passed on.

Format: https://jupyter-client.readthedocs.io/en/stable/kernels.html#connection-files
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from ..shared.errors import BadConnection

#: The five channels of the Jupyter messaging protocol.
CHANNELS = ("shell", "control", "stdin", "iopub", "hb")


class Connection(msgspec.Struct, frozen=True):
    """What the connection file says.

    `key` signs every message and never leaves this process. `curve` is the public and the secret
    key of CurveZMQ where the client asks for an encrypted transport.
    """

    transport: str
    ip: str
    ports: Mapping[str, int]
    key: bytes
    digest: str
    curve: tuple[bytes, bytes] | None = None

    def address(self, channel: str) -> str:
        """ZeroMQ address of a channel."""
        separator = "-" if self.transport == "ipc" else ":"
        return f"{self.transport}://{self.ip}{separator}{self.ports[channel]}"


def read_connection(path: str) -> Connection:
    """Read and check a connection file.

    Raises `BadConnection` with the path, what is wrong and what would be right.
    """
    try:
        with open(path, "rb") as file:
            data = msgspec.json.decode(file.read(1 << 20))
    except OSError as error:
        raise BadConnection(f"{path}: cannot be read ({error.strerror})") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadConnection(
            f"{path}: not a connection file, which is JSON with transport, ip, five ports and a "
            f"key ({error})"
        ) from None
    if not isinstance(data, dict):
        raise BadConnection(f"{path}: not a connection file: the JSON is no object")
    return _checked(path, data)


def _checked(path: str, data: Mapping[str, object]) -> Connection:
    transport = data.get("transport", "tcp")
    if transport not in ("tcp", "ipc"):
        raise BadConnection(f"{path}: transport {transport!r} is unknown; tcp and ipc are possible")
    ports = {}
    for channel in CHANNELS:
        port = data.get(f"{channel}_port")
        if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
            raise BadConnection(f"{path}: {channel}_port is {port!r}; a number from 1 to 65535")
        ports[channel] = port
    scheme = data.get("signature_scheme", "hmac-sha256")
    digest = scheme.removeprefix("hmac-") if isinstance(scheme, str) else ""
    if digest not in hashlib.algorithms_guaranteed or digest.startswith("shake"):
        raise BadConnection(f"{path}: signature_scheme {scheme!r}; hmac-sha256 is usual")
    key, ip = data.get("key", ""), data.get("ip", "127.0.0.1")
    if not isinstance(key, str) or not isinstance(ip, str):
        raise BadConnection(f"{path}: key and ip are texts")
    if not key:
        raise BadConnection(
            f"{path}: the key is empty, so that anybody on this machine could send cells; "
            "a client makes one for each kernel"
        )
    return Connection(transport, ip, ports, key.encode(), digest, _curve_keys(path, data))


def _curve_keys(path: str, data: Mapping[str, object]) -> tuple[bytes, bytes] | None:
    keys = data.get("curve_publickey"), data.get("curve_secretkey")
    if keys == (None, None):
        return None
    public, secret = keys
    if not (isinstance(public, str) and isinstance(secret, str)):
        raise BadConnection(f"{path}: curve_publickey and curve_secretkey are given together")
    return public.encode(), secret.encode()
