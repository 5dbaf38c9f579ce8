"""`python -m tests.soak [--cells N] [--seed N] [--level LEVEL]`: the long run, in one kernel."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import soak


def main() -> int:
    """Run it; 0 when every cell did what it had to and nothing was left behind."""
    words = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    words.add_argument("--cells", type=int, default=2000)
    words.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    words.add_argument("--level", default=None, help="a level of confinement, e.g. no-namespaces")
    options = words.parse_args()
    print(f"{options.cells} cells, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = soak(Path(folder), options.cells, options.seed, options.level, show=print)
    print(report.text())
    return 0 if not report.faults else 1


if __name__ == "__main__":
    sys.exit(main())
