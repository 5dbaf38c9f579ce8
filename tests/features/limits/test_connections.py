"""Connections through the socket door are counted."""

import socket

from tests.features.kernel.conftest import started

POLICY = """
version = 1
extends = "default"
[[given.sockets]]
connect = "127.0.0.1:*"
reason = "a listener of this test"
[limits]
connections = 4
"""


def test_connections_beyond_the_limit_interrupt_the_cell(tmp_path):
    kernel = started(tmp_path, policy=POLICY)
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            connect = f"socket.create_connection(('127.0.0.1', {port}))"
            few = kernel.run(f"import socket, time\nheld = [{connect} for _ in range(3)]")
            assert few.status == "ok"
            many = kernel.run(f"held += [{connect} for _ in range(50)]\ntime.sleep(600)")
            assert "LimitExceeded" in many.error
            assert "connections" in many.error
            assert kernel.run("print(len(held))").status == "ok"
    finally:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel()
