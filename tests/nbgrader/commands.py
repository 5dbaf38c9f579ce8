"""Several of nbgrader's commands in one process, which spares their imports.

    python -m tests.nbgrader.commands '[["generate_assignment", "ps1"], …]'

Stops at the first that fails, with its exit status.
"""

from __future__ import annotations

import contextlib
import json
import sys

from jupyter_core.application import NoStart
from nbgrader.apps.nbgraderapp import NbGraderApp


def run(words: list[str]) -> None:
    """Run one command as `nbgrader` itself does. Raises SystemExit as it does."""
    app = NbGraderApp.instance()
    try:
        app.initialize(words)
        with contextlib.suppress(NoStart):  # It says that the subcommand has run.
            app.start()
    finally:
        for made in (app.subapp, app):
            if made is not None:
                type(made).clear_instance()


def main(commands: list[list[str]]) -> int:
    """Run the commands in order; returns the exit status."""
    for words in commands:
        try:
            run(words)
        except SystemExit as ended:
            if ended.code:
                return int(ended.code) if isinstance(ended.code, int) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
