"""What a worker's process runs: `python -P -m sandbox_kernel.sandboxed CHANNEL_FD SEAL_FD`."""

from __future__ import annotations

import gc
import sys

if __name__ == "__main__":
    # What is imported stays; looking for garbage in it, again and again, is part of a start's time.
    # `Worker.run` goes back to normal.
    gc.disable()
    from .main import main

    main(sys.argv[1:])
