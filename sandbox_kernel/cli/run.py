"""Run notebooks unattended, each in a sandboxed kernel of its own.

Executed notebooks go to the folder that --out names, in the folders that the notebooks lie in, and
beside them results.jsonl: one JSON object a notebook with the outcome (passed, failed, timed out,
out of memory, crashed, denied, output flood, invalid, not run), a code for programs and the reason
for people. A batch that was stopped goes on with --resume: a notebook is run again when it, or the
policy, is no longer what it was. The data that it reads is not looked at.

Exit status: 0 all passed; 1 some did not; 2 wrong use, or a policy that is missing or malformed;
3 some could not be run because no kernel could be started; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ..shared.errors import KernelFault

if TYPE_CHECKING:
    from ..jupyter.results_file import Record
    from ..jupyter.run import Job, RunOptions

RESULTS = "results.jsonl"
PASSED, NOT_PASSED, USAGE_ERROR, NO_KERNEL, INTERRUPTED = 0, 1, 2, 3, 130
NEEDED = ("nbclient", "nbformat", "tqdm")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="sandbox-kernel run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("notebooks", nargs="+", type=Path, help="notebook files, or folders of them")
    made.add_argument("--out", type=Path, required=True, help="folder for notebooks and results")
    made.add_argument("--policy", default="default", help="name of the policy to run under")
    made.add_argument("--jobs", type=int, default=_processors(), help="notebooks at a time")
    made.add_argument(
        "--keep-going", action="store_true", help="run the cells behind one that failed"
    )
    made.add_argument("--timeout", type=float, metavar="SECONDS", help="for a whole notebook")
    again = made.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="run what has no result yet")
    again.add_argument("--fresh", action="store_true", help="forget the results that are there")
    made.add_argument("--no-progress", action="store_true", help="no progress bar")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the notebooks; returns the exit status."""
    arguments = parser().parse_args(argv)
    try:
        return _run(arguments)
    except _WrongUse as wrong:
        print(f"sandbox-kernel run: {wrong}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("sandbox-kernel run: stopped; go on with --resume", file=sys.stderr)
        return INTERRUPTED


class _WrongUse(Exception):
    """What was asked for cannot be done; the text says what would be right."""


class _NoResults(Exception):
    """The file of results cannot be written."""


def _run(arguments: argparse.Namespace) -> int:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise _WrongUse(f"{', '.join(missing)} not installed: pip install 'sandbox-kernel[batch]'")
    if arguments.jobs < 1:
        raise _WrongUse("--jobs must be at least 1")
    from ..jupyter.policy_identity import policy_digest
    from ..jupyter.results_file import settled
    from ..jupyter.run import RunOptions, digest_of, plan

    try:
        digest = policy_digest(arguments.policy)
        jobs = plan(arguments.notebooks, arguments.out)
    except (KernelFault, FileNotFoundError, ValueError) as error:
        raise _WrongUse(str(error)) from None
    if not jobs:
        raise _WrongUse("there is no notebook in what was named")
    results = arguments.out / RESULTS
    if results.exists() and not (arguments.resume or arguments.fresh):
        raise _WrongUse(
            f"{results} is there already: --resume goes on with it, --fresh starts anew"
        )
    if arguments.fresh:
        results.unlink(missing_ok=True)
    options = RunOptions(
        arguments.policy,
        digest,
        arguments.out.resolve(),
        arguments.jobs,
        arguments.keep_going,
        arguments.timeout,
    )
    known = settled(results)
    done: list[Record] = []
    left: list[Job] = []
    for job in jobs:
        record = known.get((job.name, digest_of(job.source), digest))
        if record is None:
            left.append(job)
        else:
            done.append(record)
    if done:
        print(f"{len(done)} of {len(jobs)} have a result already", file=sys.stderr)
    try:
        done += _play(left, options, results, quiet=arguments.no_progress)
    except _NoResults as error:
        raise _WrongUse(f"{results}: {error}") from None
    return _report(done)


def _play(jobs: list[Job], options: RunOptions, results: Path, *, quiet: bool) -> list[Record]:
    """Run the jobs, write each result down, show how far it is."""
    from tqdm import tqdm

    from ..jupyter.results_file import ResultsFile
    from ..jupyter.run import Batch

    done = []
    try:
        file = ResultsFile(results)
    except OSError as error:
        raise _NoResults(error.strerror) from None
    hidden = True if quiet else None  # None: hidden where stderr is no terminal.
    with (
        file,
        tqdm(total=len(jobs), unit="notebook", disable=hidden, file=sys.stderr) as bar,
        _interrupted_by_sigterm(),
        Batch(jobs, options) as batch,
    ):
        for record in batch.records():
            file.append(record)
            done.append(record)
            bar.update()
            if record.verdict.outcome != "passed":
                with tqdm.external_write_mode(file=sys.stdout):
                    print(_line(record), flush=True)
    return done


def _report(done: list[Record]) -> int:
    counts = Counter(record.verdict.outcome.value for record in done)
    passed = counts.pop("passed", 0)
    rest = "".join(f", {number} {outcome}" for outcome, number in sorted(counts.items()))
    print(f"{passed} passed{rest}")
    if "not run" in counts:
        return NO_KERNEL
    return NOT_PASSED if counts else PASSED


def _line(record: Record) -> str:
    verdict = record.verdict
    cell = "" if verdict.cell is None else f", cell {verdict.cell + 1}"
    line = f"{record.notebook}: {verdict.outcome.value} ({verdict.code}{cell}): {verdict.detail}"
    # Names and details are a stranger's: they may neither begin a line nor command a terminal.
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in line)


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """A batch system's stop ends like a person's, with no kernel left behind."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _processors() -> int:
    """How many notebooks run at a time when nobody says: one for each processor we may use."""
    return len(os.sched_getaffinity(0))
