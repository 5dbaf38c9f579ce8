"""A batch: many notebooks, each in a sandboxed kernel of its own, a few at a time.

The batch's event loop lives in a thread, so that the caller's thread is free for a progress bar and
for the person's Ctrl-C, and so that nbclient, which installs signal handlers in the main thread,
leaves them alone. Nothing that one notebook does ends the batch: each gives a `Record`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .kernel_template import KernelTemplate
from .notebook_files import BadNotebook, parse, read, write
from .outcomes import Outcome, Verdict, denials, judge
from .results_file import Record
from .unattended import UnattendedClient, execute

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """How the notebooks of a batch are run.

    `policy` is the name of a policy and `policy_digest` what tells its content from another; `out`
    is the resolved folder for what comes of them, closed to every cell; the cells of `jobs`
    notebooks run at a time; `keep_going` runs the cells behind one that failed; `timeout` is for a
    whole notebook, in seconds, beside the policy's limits for each cell.
    """

    policy: str
    policy_digest: str
    out: Path
    jobs: int = 1
    keep_going: bool = False
    timeout: float | None = None


@dataclass(frozen=True)
class Job:
    """A notebook to run, the name that it has in the results, and where its outputs go."""

    name: str
    source: Path
    target: Path


class Batch:
    """Runs jobs; a context manager that leaves no kernel behind, whatever ends it."""

    def __init__(self, jobs: Sequence[Job], options: RunOptions) -> None:
        self._jobs = iter(jobs)
        self._options = options
        self._results: queue.SimpleQueue[Record | BaseException | None] = queue.SimpleQueue()
        # Names of sockets may have about 100 bytes, so TMPDIR, which may be deep, is not asked.
        self._folder = Path(tempfile.mkdtemp(prefix="sandbox-run-", dir="/tmp"))
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox-batch")

    def __enter__(self) -> Batch:
        self._template = KernelTemplate()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join()
        self._template.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def records(self) -> Iterator[Record]:
        """Yield a record for each job, in the order in which they end."""
        while (found := self._results.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._work())
        except asyncio.CancelledError:
            self._results.put(None)
        except BaseException as error:
            self._results.put(error)
        else:
            self._results.put(None)

    async def _work(self) -> None:
        self._task = asyncio.current_task()
        self._turns = asyncio.Semaphore(self._options.jobs)
        async with asyncio.TaskGroup() as group:
            # One more than run cells: while they do, its kernel starts, or the last one's ends.
            for worker in range(self._options.jobs + 1):
                group.create_task(self._worker(worker))

    async def _worker(self, worker: int) -> None:
        for number, job in enumerate(self._jobs):
            place = Place(self._folder / f"k{worker}-{number}.json", self._turns, self._template)
            self._results.put(await run_notebook(job, self._options, place))


@dataclass(frozen=True)
class Place:
    """Where a notebook runs: its kernel's connection file, the turns that its cells run in, and
    the template that the kernel comes from.
    """

    connection_file: Path
    turns: asyncio.Semaphore
    template: KernelTemplate


async def run_notebook(job: Job, options: RunOptions, place: Place) -> Record:
    """Run one notebook and write what came of it; never raises for what the notebook is or does."""
    began = time.monotonic()
    digest, refused, seen = "", 0, None
    try:
        _refuse_unwritten_name(job.source)
        content = await asyncio.to_thread(read, job.source)
        digest = content_digest(content)
        notebook = await asyncio.to_thread(parse, content)
    except BadNotebook as bad:
        verdict = Verdict(Outcome.INVALID, bad.code, str(bad))
    except OSError as error:
        verdict = Verdict(Outcome.INVALID, "notebook.unreadable", str(error))
    else:
        client = UnattendedClient(
            notebook,
            place.connection_file,
            notebook_path=str(job.source),
            sandbox_policy=options.policy,
            closed=(str(options.out),),
            turns=place.turns,
            template=place.template,
            allow_errors=options.keep_going,
        )
        try:
            verdict = judge(client.runs, await execute(client, options.timeout))
        except Exception as error:
            # nbclient meets what a hostile kernel says with whatever Python raises.
            _log.warning("%s: nbclient failed", job.name, exc_info=True)
            verdict = Verdict(Outcome.CRASHED, "notebook.client", f"nbclient failed: {error!r}")
        refused = denials(client.runs)
        seen = client.nb
    if seen is not None and verdict.outcome is not Outcome.NOT_RUN:
        try:
            await asyncio.to_thread(write, job.target, seen, options.out)
        except (OSError, ValueError) as error:
            verdict = Verdict(Outcome.NOT_RUN, "output.unwritable", f"{job.target}: {error}")
    return Record(
        notebook=job.name,
        digest=digest,
        policy=options.policy,
        policy_digest=options.policy_digest,
        verdict=verdict,
        denials=refused,
        seconds=round(time.monotonic() - began, 3),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        output=str(job.target) if seen is not None and job.target.exists() else None,
    )


def content_digest(content: bytes) -> str:
    """The digest that tells one content of a notebook file from another."""
    return hashlib.sha256(content).hexdigest()


def _refuse_unwritten_name(path: Path) -> None:
    """Raise BadNotebook for a path that is no text: no kernel can be told of it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise BadNotebook("notebook.name", "its path is no UTF-8; rename it") from None


def digest_of(notebook: Path) -> str:
    """The digest of a notebook file; empty for one that cannot be read, which none has."""
    try:
        return content_digest(read(notebook))
    except (BadNotebook, OSError):
        return ""


def plan(notebooks: Sequence[Path], out: Path) -> list[Job]:
    """The jobs for notebook files and folders; a folder means all notebooks below it.

    A file that is named twice is run once; links below a folder are left out. Targets lie in `out`
    in the folders that the notebooks lie in, relative to the working directory, or under
    `absolute/` when they lie elsewhere.
    Raises FileNotFoundError for a path that is not there, ValueError where an output would take
    the place of a notebook or of another output.
    """
    found: dict[Path, Job] = {}
    own = out.resolve()
    for given in notebooks:
        if not given.exists():
            raise FileNotFoundError(f"{given}: there is no such notebook")
        for path in _expand(given, own):
            source = path.resolve()
            if source not in found:
                name, target = _place(Path(os.path.abspath(path)))
                found[source] = Job(name, source, own / target)
    taken: dict[Path, Job] = {}
    for job in found.values():
        if job.target in found:
            raise ValueError(f"{job.name}: its output would take the place of a notebook")
        if taken.setdefault(job.target, job) is not job:
            raise ValueError(
                f"{job.name} and {taken[job.target].name}: both outputs would be {job.target}"
            )
    return list(found.values())


def _expand(given: Path, out: Path) -> list[Path]:
    if not given.is_dir():
        return [given]
    # A link in a folder of strangers leads to somebody else's notebook.
    below = sorted(
        path for path in given.rglob("*.ipynb") if path.is_file() and not path.is_symlink()
    )
    return [
        path
        for path in below
        if ".ipynb_checkpoints" not in path.parts and not path.resolve().is_relative_to(out)
    ]


def _place(path: Path) -> tuple[str, Path]:
    here = Path.cwd()
    if path.is_relative_to(here):
        relative = path.relative_to(here)
        return str(relative), relative
    return str(path), Path("absolute", *path.parts[1:])
