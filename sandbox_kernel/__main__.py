"""What the kernelspec runs: `python -P -m sandbox_kernel -f CONNECTION_FILE [--notebook PATH]`.

The order matters. The worker's side is started before the connection file is read, so that the key
is in no process that the worker descends from, and its imports run while this process makes its
own: what is not needed for ordering it is imported afterwards.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .trusted.confine.head_start import HeadStart
    from .trusted.options import LaunchOptions


def main(argv: Sequence[str] | None = None, options: LaunchOptions | None = None) -> int:
    """Run one kernel until it is shut down; returns the exit code.

    `argv` is the command line without the program. `options` come from a launcher in Python (see
    `LaunchOptions`).
    """
    from .trusted.confine.head_start import HeadStart

    # What is imported stays; looking for garbage in it, again and again, is part of a start's time.
    # `run_kernel` goes back to normal.
    gc.disable()
    ahead = HeadStart.start(None if options is None else options.level)
    try:
        return _run(sys.argv[1:] if argv is None else argv, options, ahead)
    finally:
        ahead.close()


def _run(argv: Sequence[str], options: LaunchOptions | None, ahead: HeadStart) -> int:
    import argparse
    import dataclasses

    from .shared.errors import KernelFault
    from .trusted.options import LaunchOptions

    parser = argparse.ArgumentParser(prog="sandbox_kernel", description="The sandboxed kernel.")
    parser.add_argument("-f", "--connection-file", required=True, help="Jupyter connection file")
    parser.add_argument("--notebook", help="the notebook that this kernel runs for")
    parser.add_argument(
        "--launch-inputs",
        type=int,
        metavar="FD",
        help="descriptor on which the provisioner hands over what it knows of the notebook",
    )
    arguments = parser.parse_args(argv)
    options = options or LaunchOptions()
    if arguments.launch_inputs is not None:
        from .trusted.launch_inputs import take, with_inputs

        try:
            options = with_inputs(options, take(arguments.launch_inputs))
        except KernelFault as fault:
            print(f"sandbox-kernel cannot start: {fault}", file=sys.stderr)
            return 1
    if arguments.notebook and options.notebook is None:
        options = dataclasses.replace(options, notebook=arguments.notebook)
    from .trusted.start import run_kernel

    return run_kernel(arguments.connection_file, options, ahead)


if __name__ == "__main__":
    sys.exit(main())
