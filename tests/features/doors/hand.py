"""The worker program of the door tests: a sealed Python that does what it is told.

Started by the launcher in place of the product's worker. It reads lines of JSON `{"do": source}`
from the channel, runs the source in one namespace and answers `{"ok": repr}` or
`{"error": [type, text, errno]}`. The value of `it` after the run is what is answered.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

from sandbox_kernel.sandboxed.seal import seal


def main() -> None:
    """Entry point: CHANNEL_FD SEAL_FD, as the product's worker gets them."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    seal(int(sys.argv[2]))
    namespace: dict[str, Any] = {"os": os, "socket": socket}
    stream = channel.makefile("rb")
    channel.sendall(b'{"ok": "ready"}\n')
    for line in stream:
        namespace["it"] = None
        try:
            exec(json.loads(line)["do"], namespace)
        except BaseException as error:
            number = getattr(error, "errno", None)
            answer: dict[str, Any] = {"error": [type(error).__name__, str(error), number]}
        else:
            answer = {"ok": namespace["it"]}
        channel.sendall(json.dumps(answer, default=repr).encode() + b"\n")


if __name__ == "__main__":
    main()
