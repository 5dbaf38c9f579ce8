"""Attacks on the assembled kernel: sockets whose right has ended.

Each test has a witness outside the kernel, and shows first that the attack works where the right
is there.
"""

from __future__ import annotations

import contextlib
import socket

SECONDS = 20.0
QUIET = 1.0


def arrives(connection: socket.socket) -> bytes:
    """What a witness gets now; nothing when nothing comes."""
    connection.settimeout(QUIET)
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        return connection.recv(100)
    return b""


def test_datagrams_end_with_their_right_also_to_the_same_address(kernel, control):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as witness:
        witness.bind(("127.0.0.1", 0))
        witness.settimeout(SECONDS)
        address = witness.getsockname()
        (grant,) = control.grant({"sockets": [{"udp": f"127.0.0.1:{address[1]}"}]})
        kernel.run(
            "import socket\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"s.sendto(b'before', {address!r})"
        )
        assert witness.recv(100) == b"before"
        control.revoke({"id": grant})
        assert "PermissionError" in kernel.run(f"s.sendto(b'after', {address!r})").error
        assert arrives(witness) == b""


def test_a_connection_that_is_under_way_between_two_sockets_ends_with_its_right(kernel, control):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SECONDS)
        port = server.getsockname()[1]
        (grant,) = control.grant({"sockets": [{"connect": f"127.0.0.1:{port}"}]})
        kernel.run(
            "import socket\n"
            "out, back = socket.socketpair()\n"
            f"t = socket.create_connection(('127.0.0.1', {port}))\n"
            "t.sendall(b'before')\n"
            "socket.send_fds(out, [b'x'], [t.fileno()])\n"
            "t.close()"
        )
        witness, _ = server.accept()
        with witness:
            assert arrives(witness) == b"before"
            control.revoke({"id": grant})
            kernel.run(
                "_, fds, _, _ = socket.recv_fds(back, 1, 1)\n"
                "socket.socket(fileno=fds[0]).sendall(b'after')"
            )
            assert arrives(witness) == b""
    assert kernel.run("1 + 1").status == "ok"


def test_what_a_listener_has_accepted_ends_with_its_right(kernel, control):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (grant,) = control.grant({"sockets": [{"listen": f"127.0.0.1:{port}"}]})
    kernel.run(
        "import socket\n"
        "listener = socket.socket()\n"
        "listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        f"listener.bind(('127.0.0.1', {port}))\n"
        "listener.listen()"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as witness:
        kernel.run("peer, _ = listener.accept()\npeer.sendall(b'before')")
        assert arrives(witness) == b"before"
        control.revoke({"id": grant})
        kernel.run("peer.sendall(b'after')")
        assert arrives(witness) == b""


def test_a_connection_that_takes_until_its_right_has_ended_is_not_made(kernel, control):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS):
            # The queue is full: the next one waits until the server takes this one.
            (grant,) = control.grant({"sockets": [{"connect": f"127.0.0.1:{port}"}]})
            kernel.run(
                "import socket, threading\n"
                "outcome = []\n"
                "def reach():\n"
                "    try:\n"
                f"        outcome.append(socket.create_connection(('127.0.0.1', {port})))\n"
                "    except OSError as error:\n"
                "        outcome.append(error)\n"
                "thread = threading.Thread(target=reach)\n"
                "thread.start()"
            )
            control.revoke({"id": grant})
            server.settimeout(SECONDS)
            server.accept()[0].close()
            ran = kernel.run("thread.join(20)\nprint(type(outcome[0]).__name__)")
            assert ran.text() == "PermissionError\n"
