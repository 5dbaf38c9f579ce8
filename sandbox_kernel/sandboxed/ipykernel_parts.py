"""ipykernel without its debugger.

ipykernel imports debugpy wherever it is installed. This kernel offers no debugger, the import is a
large part of a worker's start and memory, and debugpy warns about its circumstances on the first
cell's stderr. A cell that imports debugpy by itself still gets it.
"""

from __future__ import annotations

import sys

sys.modules["debugpy"] = None  # type: ignore[assignment]  # Makes the import fail at once.
try:
    # The kernel imports it later, and then finds it as it is now.
    import ipykernel.debugger  # noqa: F401
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.zmqshell import ZMQInteractiveShell
finally:
    del sys.modules["debugpy"]

__all__ = ["IPythonKernel", "ZMQInteractiveShell"]
