"""Run acceptance cases: ``python -m tests.cases FILE [--group G]… [--only ID]…``.

Prints a line a case, in the order in which they end, and the counts last. The exit status is 1
when a case failed and 2 when there was nothing to run or the file is not as FORMAT.md says.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.cases.model import BadCase, Case, read_cases
from tests.cases.needs import unmet
from tests.cases.placeholders import fill
from tests.cases.play import CHECKOUT, PLAIN, SANDBOX

WHOLE_CASE = 180.0  # seconds for a case, beside the time of its steps
EACH_STEP = 30.0  # seconds added for every step
LONGEST = 900.0  # seconds that no case may take
# Settings of the person who runs the cases; a case has its own home and nothing of theirs.
FOREIGN_SETTINGS = ("JUPYTER", "JPY_", "IPYTHON", "XDG_", "MPL", "PYTHONSTARTUP")


@dataclass(frozen=True)
class Result:
    """What became of one case; `outcome` is ``pass``, ``fail`` or ``needs-NAME``."""

    id: str
    group: str
    outcome: str
    reasons: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        """The line that is printed."""
        told = " | ".join(" ".join(reason.split("\n")) for reason in self.reasons)
        return f"{self.id} {self.outcome}" + (f": {told}" if told else "")


def play_apart(case: Case, record: Mapping[str, Any], options: argparse.Namespace) -> Result:
    """Play a case in a process of its own, in a fresh world, and see to its end."""
    for need in case.needs:
        why = unmet(need, throwaway=options.throwaway)
        if why is not None:
            return Result(case.id, case.group, f"needs-{need}", [why])
    root = Path(os.path.realpath(tempfile.mkdtemp(prefix=f"case-{case.id}-")))
    began = time.monotonic()
    try:
        reasons = _in_child(case, record, options, root)
    finally:
        if options.keep:
            print(f"{case.id} was played in {root}", flush=True)
        else:
            shutil.rmtree(root, ignore_errors=True)
    outcome = "fail" if reasons else "pass"
    return Result(case.id, case.group, outcome, reasons, round(time.monotonic() - began, 2))


def _in_child(
    case: Case, record: Mapping[str, Any], options: argparse.Namespace, root: Path
) -> list[str]:
    world = root / "world"
    (world / "home").mkdir(parents=True)
    job, result = root / "job.json", root / "result.json"
    content = {
        "record": record,
        "root": str(root),
        "result": str(result),
        "kernel": options.kernel,
        "level": options.level,
        "policies": str(options.policies),
    }
    job.write_text(json.dumps(content), encoding="utf-8")
    environment = child_environment(os.environ, world, case.environ)
    allowed = min(LONGEST, WHOLE_CASE + EACH_STEP * len(case.steps))
    with open(root / "output.log", "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cases.one", str(job)],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(allowed)
        except subprocess.TimeoutExpired:
            return [f"the case did not end in {allowed:.0f} s"]
        finally:
            end_with_descendants(process)
    if not result.exists():
        said = (root / "output.log").read_text("utf-8", "replace")[-1500:]
        return [f"the case's process ended with {process.returncode} and no result: {said}"]
    reasons: list[str] = json.loads(result.read_text(encoding="utf-8"))
    return reasons


def child_environment(
    own: Mapping[str, str], world: Path, case: Mapping[str, str]
) -> dict[str, str]:
    """The environment of the server and the trusted side of a case."""
    kept = {name: value for name, value in own.items() if not name.startswith(FOREIGN_SETTINGS)}
    return kept | {"HOME": str(world / "home")} | fill(dict(case), {"WORLD": str(world)})


def end_with_descendants(process: subprocess.Popen[bytes]) -> None:
    """Kill what a case that hangs has started; nothing is left to do after one that ended."""
    if process.poll() is not None:
        return
    try:
        running = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        running = []
    process.kill()
    process.wait()
    for descendant in running:
        try:
            descendant.kill()
        except psutil.NoSuchProcess:
            continue


def selected(options: argparse.Namespace) -> list[tuple[Case, Mapping[str, Any]]]:
    """The cases that the options ask for. Raises `BadCase`, `OSError`."""
    cases = list(read_cases(options.file))
    known = {case.id for case, _ in cases}
    for name in options.only or ():
        if name not in known:
            raise BadCase(f"{options.file} has no case {name}")
    return [
        (case, record)
        for case, record in cases
        if (not options.group or case.group in options.group)
        and (not options.only or case.id in options.only)
    ]


def results(
    cases: Sequence[tuple[Case, Mapping[str, Any]]], options: argparse.Namespace
) -> Iterator[Result]:
    """Play the cases, `options.jobs` at a time; those with fixed ports one after another."""
    fixed = threading.Lock()

    def run(case: Case, record: Mapping[str, Any]) -> Result:
        with fixed if case.has_fixed_ports else nullcontext():
            return play_apart(case, record, options)

    with ThreadPoolExecutor(options.jobs) as pool:
        futures: list[Future[Result]] = [pool.submit(run, *each) for each in cases]
        with _cancelled_on_error(futures):
            for future in as_completed(futures):
                yield future.result()


@contextmanager
def _cancelled_on_error(futures: Sequence[Future[Result]]) -> Iterator[None]:
    try:
        yield
    finally:
        for future in futures:
            future.cancel()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m tests.cases", description=__doc__)
    made.add_argument("file", type=Path, help="a case file, a JSON object a line")
    made.add_argument("--group", action="append", metavar="G", help="only this group; repeatable")
    made.add_argument("--only", action="append", metavar="ID", help="only this case; repeatable")
    made.add_argument("--level", help="force a level of confinement, e.g. no-namespaces")
    made.add_argument("--json", type=Path, metavar="OUT", help="also write the results as JSON")
    made.add_argument("--jobs", type=int, default=1, metavar="N", help="cases at a time")
    made.add_argument(
        "--kernel",
        choices=(SANDBOX, PLAIN),
        default=SANDBOX,
        help="plain: ipykernel without any wall, a control in which deny cases must fail",
    )
    made.add_argument("--policies", type=Path, default=CHECKOUT / "policies")
    made.add_argument("--throwaway", action="store_true", help="this machine may be lost")
    made.add_argument("--keep", action="store_true", help="leave the worlds for a look")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        cases = selected(options)
    except (BadCase, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if not cases:
        print("no case is selected", file=sys.stderr)
        return 2
    done = []
    for result in results(cases, options):
        print(result.line(), flush=True)
        done.append(result)
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in done], indent=1), "utf-8")
    passed = sum(each.outcome == "pass" for each in done)
    failed = sum(each.outcome == "fail" for each in done)
    print(f"{passed} passed, {failed} failed, {len(done) - passed - failed} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
