"""The `sandbox-kernel` command: find the subcommand, import it alone, run it.

A subcommand is a module of this package whose name does not start with an underscore. Its
docstring's first line is what the list shows, and its `main(argv) -> int` gets the words after the
subcommand's name and returns the exit status. A new subcommand is a new file and nothing else.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import os
import pkgutil
import select
import sys
from collections.abc import Sequence
from pathlib import Path

import sandbox_kernel
import sandbox_kernel.cli

USAGE_ERROR = 2
NOT_READ = 1


def commands() -> dict[str, Path]:
    """The subcommands that are here, by the name that is typed (`_` in a file name is `-`)."""
    folder = Path(sandbox_kernel.cli.__file__).parent
    return {
        module.name.replace("_", "-"): folder / f"{module.name}.py"
        for module in pkgutil.iter_modules([str(folder)])
        if not module.name.startswith("_") and not module.ispkg
    }


def summary(path: Path) -> str:
    """The first line of a module's docstring, read without importing the module."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].rstrip(".")


def usage() -> str:
    """What `sandbox-kernel --help` prints."""
    found = commands()
    width = max(map(len, found))
    rows = [f"  {name.ljust(width)}  {summary(path)}" for name, path in sorted(found.items())]
    return "\n".join(
        [
            "usage: sandbox-kernel COMMAND [ARGUMENT…]",
            "",
            *rows,
            "",
            "`sandbox-kernel COMMAND --help` tells more about each.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status; 2 for a command that does not exist."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0 if words else USAGE_ERROR
    if words[0] in {"-V", "--version"}:
        print(f"sandbox-kernel {sandbox_kernel.__version__}")
        return 0
    name, *rest = words
    found = commands()
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        print(f"sandbox-kernel: there is no command {name!r}.{hint}", file=sys.stderr)
        print(usage(), file=sys.stderr)
        return USAGE_ERROR
    module = importlib.import_module(f"sandbox_kernel.cli.{found[name].stem}")
    try:
        status: int = module.main(rest)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        return NOT_READ
    return status


def _nobody_reads() -> bool:
    """Whether the reader of our output has gone (`| head`); what is left of it is thrown away.

    https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    end = select.poll()
    end.register(sys.stdout.fileno(), 0)
    if not end.poll(0):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return True


if __name__ == "__main__":
    sys.exit(main())
