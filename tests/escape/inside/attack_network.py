"""Attacks on the network and on sockets of the machine."""

from __future__ import annotations

import os
import socket

from _sys_raw import Absent
from attack import Target, attack


@attack("tcp")
def connect_by_tcp(target: Target) -> None:
    socket.create_connection(("127.0.0.1", target.port), 2).close()


@attack("tcp")
def connect_by_tcp6_mapped(target: Target) -> None:
    with socket.socket(socket.AF_INET6) as client:
        client.connect(("::ffff:127.0.0.1", target.port))


@attack("tcp")
def connect_without_waiting(target: Target) -> None:
    import select

    with socket.socket() as client:
        client.setblocking(False)
        code = client.connect_ex(("127.0.0.1", target.port))
        if code not in (0, 115):
            raise OSError(code, os.strerror(code))
        select.select([], [client], [], 2)


@attack("tcp")
def connect_by_fast_open(target: Target) -> None:
    with socket.socket() as client:
        client.sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", target.port))


@attack("tcp")
def connect_by_fast_open_message(target: Target) -> None:
    with socket.socket() as client:
        client.sendmsg([b"x"], [], socket.MSG_FASTOPEN, ("127.0.0.1", target.port))


@attack("tcp")
def connect_by_multipath(target: Target) -> None:
    try:
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    except OSError as error:
        if error.errno in (93, 95):
            raise Absent("MPTCP") from error
        raise
    with client:
        client.connect(("127.0.0.1", target.port))


@attack("udp")
def send_by_udp(target: Target) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("127.0.0.1", target.udp_port))


@attack()
def listen(target: Target) -> None:
    with socket.socket() as server:
        server.listen()


@attack()
def bind_a_port(target: Target) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))


@attack()
def look_up_a_name(target: Target) -> None:
    """A resolver talks UDP; connecting one is enough to be stopped."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", 53))


@attack("path")
def connect_to_a_path_named_socket(target: Target) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(target.path_socket)


@attack("abstract")
def connect_to_an_abstract_socket(target: Target) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + target.abstract_socket)


@attack("datagram")
def send_to_a_path_named_datagram_socket(target: Target) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", target.datagram_socket)


@attack("datagram")
def send_from_a_datagram_pair(target: Target) -> None:
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with a, b:
        a.sendto(b"x", target.datagram_socket)


@attack("datagram")
def send_a_message_from_a_datagram_pair(target: Target) -> None:
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with a, b:
        a.sendmsg([b"x"], [], 0, target.datagram_socket)


_KEPT: list[socket.socket] = []


@attack("name")
def take_an_abstract_name_that_others_may_call(target: Target) -> None:
    """Whoever outside trusts a service by its name would talk to us."""
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0" + target.abstract_socket + "-made")
    server.listen()
    _KEPT.append(server)


def _make(family: int, kind: int, protocol: int = 0) -> None:
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        if error.errno in (93, 94, 97) and os.path.exists("/sys/kernel"):
            raise Absent("that family of sockets") from error
        raise


@attack()
def make_a_netlink_socket(target: Target) -> None:
    _make(16, socket.SOCK_RAW)


@attack()
def make_a_vsock_socket(target: Target) -> None:
    _make(40, socket.SOCK_STREAM)


@attack(root=True)
def make_a_packet_socket(target: Target) -> None:
    _make(17, socket.SOCK_RAW)


@attack()
def make_a_crypto_socket(target: Target) -> None:
    _make(38, socket.SOCK_SEQPACKET)


@attack(root=True)
def make_a_raw_socket(target: Target) -> None:
    _make(socket.AF_INET, socket.SOCK_RAW, 1)
