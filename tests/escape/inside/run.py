"""The worker of these tests: seal, then attack on request.

Descriptor 3 is the channel: a name a line comes in, a JSON object a line goes out. With `apart` as
the first argument each attack runs in a process of its own (for the control, where it succeeds and
may leave the process in any state); behind walls that cannot be, and it runs here.
"""

from __future__ import annotations

import json
import socket
import sys

from attack import Target
from outcomes import apart, outcome

from sandbox_kernel.sandboxed.seal import seal


def main() -> None:
    """Until the channel is closed."""
    seal(int(sys.argv[-1]))
    channel = socket.socket(fileno=int(sys.argv[-2]))
    run = apart if "apart" in sys.argv else outcome
    with channel.makefile("rw") as lines:
        target = Target(**json.loads(lines.readline()))
        for line in lines:
            lines.write(json.dumps(run(line.strip(), target)) + "\n")
            lines.flush()


if __name__ == "__main__":
    main()
