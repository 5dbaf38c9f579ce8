"""The sandboxed kernel under the default policy but for snapshots, to see what these cost.

Run as `python -P -m benchmarks.without_snapshots -f CONNECTION_FILE`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from sandbox_kernel.__main__ import main
from sandbox_kernel.trusted.options import LaunchOptions

POLICY = 'version = 1\nextends = "default"\n[snapshots]\nmode = "off"\n'

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "without-snapshots.toml")
        path.write_text(POLICY, encoding="utf-8")
        status = main(sys.argv[1:], LaunchOptions(policy_paths=[("admin", str(path))]))
    sys.exit(status)
