"""The process in which one case is played: ``python -m tests.cases.one JOB``.

It is the server and the trusted side of the case: its environment, home and process id are what
the case's ``environ``, ``home/`` and ``${RUNNER.pid}`` speak of. JOB is a JSON file; the result
goes to the file that it names, since a case's own code may write to stdout.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import traceback
from pathlib import Path

from tests.cases.play import PLAIN, Options, play

PLAIN_MEMORY = 3 << 30  # bytes; cells that ask for all memory run without a wall in the control


def main(job_file: str) -> None:
    """Play the case of the job and write the reasons why it fails."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    if job["kernel"] == PLAIN:
        resource.setrlimit(resource.RLIMIT_DATA, (PLAIN_MEMORY, PLAIN_MEMORY))
    options = Options(job["kernel"], job["level"], Path(job["policies"]))
    try:
        reasons = asyncio.run(play(job["record"], options, Path(job["root"])))
    except Exception:
        reasons = [f"the runner failed: {traceback.format_exc(limit=-4)}"]
    result = Path(job["result"])
    part = result.with_suffix(".part")
    part.write_text(json.dumps(reasons), encoding="utf-8")
    part.rename(result)


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    # A host step that hangs in its thread must not keep the process.
    os._exit(0)
