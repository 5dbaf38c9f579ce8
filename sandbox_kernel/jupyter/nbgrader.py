"""Contained grading: nbgrader's autograde with every submission behind the walls.

The last line of a course's `nbgrader_config.py`:

    from sandbox_kernel.jupyter.nbgrader import contain; contain(c)

Courses, assignments and nbgrader's commands stay as they are. What changes is who runs a
submission, and who says what came of it; docs/teaching.md is for teachers. The parts:

- `ContainedExporter` reads submissions (`submission.py`), and puts a stand-in that earns nothing in
  place of what cannot be read, so that it is told in its own feedback and stops no other;
- `ContainedExecute` runs one in a kernel under the policy `grading` that a submission cannot
  choose or change, in a private copy, and settles each test cell (`grade_verdicts.py`);
- `inert_markdown` is how the texts of submissions are shown in feedback and in the formgrader.

It raises only for what is no submission's doing (no kernel could be started, the policy is
malformed): nbgrader then records no score, and goes on with the next one.
"""

from __future__ import annotations

import atexit
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.manager import KernelManager
from jupyter_client.utils import ensure_async
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade, is_locked
from traitlets import Unicode
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from sandbox_kernel.trusted.launch_inputs import LaunchInputs

from .feedback_text import inert_markdown
from .grade_verdicts import Settled, authored_error, settle
from .kernel_template import KernelTemplate, fork_from
from .notebook_client import KERNEL_NAME
from .notebook_files import BadNotebook
from .notebook_of import attach
from .outcomes import CellRun, Outcome, Verdict, denials, judge
from .submission import files_below, linked_files, private_copy, read_submission
from .unattended import STARTUP, OwnKernelSpecs

__all__ = ["ContainedExecute", "ContainedExporter", "contain", "inert_markdown"]

#: Key of the notebook's metadata under which the typed outcome stands.
OUTCOME_KEY = "sandbox_grading"
#: Seconds beyond a cell's time limit after which the kernel itself is taken to hang.
_BEYOND = 60
#: Seconds for an answer on the control channel.
_ANSWER = 60
#: Most files of a submission's own making that it may change again later.
_MOST_OWN_FILES = 200
_SENTENCES = {
    Outcome.TIMED_OUT: "a cell took more time than it may take",
    Outcome.OUT_OF_MEMORY: "a cell took more memory than it may take",
    Outcome.OUTPUT_FLOOD: "a cell put out more than it may put out",
    Outcome.CRASHED: "the interpreter died in a cell; those after it ran with the variables "
    "from before, where these could be kept",
    Outcome.DENIED: "something that a cell wanted was refused; its own output says what",
}
#: What the path of a grant takes for more than a name.
_WILDCARDS = frozenset("*?[]{}~\\")
_HERE = "sandbox_kernel.jupyter.nbgrader"


def contain(config: Config) -> None:
    """Make autograding in a course contained. To be called last in `nbgrader_config.py`.

    Raises ValueError when the course's own list of preprocessors executes notebooks twice or in
    a way that is not known here.
    """
    course = config.Autograde
    listed = course.get("autograde_preprocessors")
    default = list(Autograde.autograde_preprocessors.default())
    if isinstance(listed, LazyConfigValue):
        listed = listed.get_value(default)
    steps = [_contained(step) for step in (default if listed is None else listed)]
    if steps.count(ContainedExecute) != 1:
        raise ValueError(
            "c.Autograde.autograde_preprocessors must have nbgrader's Execute in it just once, "
            f"for contain() to put the contained one in its place; it has {listed!r}"
        )
    course.autograde_preprocessors = steps
    course.exporter_class = f"{_HERE}.ContainedExporter"
    filters = dict(config.HTMLExporter.get("filters", {}))
    config.HTMLExporter.filters = {**filters, "markdown2html": inert_markdown}


def _contained(step: Any) -> Any:
    name = step if isinstance(step, str) else getattr(step, "__name__", "")
    if name.rpartition(".")[2] in ("Execute", "ExecutePreprocessor", "ContainedExecute"):
        return ContainedExecute
    return step


_template: KernelTemplate | None = None


def _kernel_template() -> KernelTemplate:
    """The process that this one's kernels are forked from; it ends with this one."""
    global _template
    if _template is None or not _template.alive:
        _template = KernelTemplate()
        atexit.register(_template.close)
    return _template


class NotGraded(RuntimeError):
    """No kernel could run the submission, for a reason that is not the submission's."""


class ContainedExporter(NotebookExporter):
    """Reads a submission with suspicion. nbgrader makes one for all submissions of a command."""

    #: Why the submission that is being graded could not be read; None when it could.
    refused: BadNotebook | None = None

    def from_filename(
        self, filename: str, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Called by nbgrader twice: for the submitted file, and for what it made of that."""
        if not getattr(self.parent, "_sanitizing", True):
            return super().from_filename(filename, resources, **kw)
        resources = resources if resources is not None else {}
        path = Path(filename)
        resources["metadata"] = {"name": path.stem, "path": str(path.parent)}
        self.refused = None
        try:
            notebook = read_submission(path)
        except BadNotebook as bad:
            self.log.warning("%s: %s: %s", filename, bad.code, bad)
            self.refused = bad
            notebook = _stand_in(resources["nbgrader"])
        return self.from_notebook_node(notebook, resources, **kw)


def _stand_in(names: dict[str, Any]) -> NotebookNode:
    """The assignment's test cells alone, from the gradebook, for a file that cannot be read."""
    notebook = new_notebook()
    with Gradebook(names["db_url"]) as gradebook:
        try:
            known = gradebook.find_notebook(names["notebook"], names["assignment"])
        except MissingEntry:
            return notebook
        sources = {cell.name: cell for cell in known.source_cells}
        for graded in known.grade_cells:
            source = sources.get(graded.name)
            if source is None:
                continue
            mark = {
                "grade": True,
                "grade_id": graded.name,
                "locked": bool(source.locked),
                "points": graded.max_score,
                "solution": not source.locked,
                "task": False,
                "schema_version": 3,
            }
            make = new_code_cell if source.cell_type == "code" else new_markdown_cell
            notebook.cells.append(make(source.source, metadata={"nbgrader": mark}))
    return notebook


class ContainedExecute(Execute):
    """nbgrader's `Execute`, in a sandboxed kernel, with verdicts of the supervisor's."""

    sandbox_policy = Unicode(
        "grading", help="Name of the policy: `grading`, or one that extends it"
    ).tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: Any = None, km: KernelManager | None = None
    ) -> tuple[NotebookNode, Any]:
        """Run a submission and settle its test cells. Called by the exporter."""
        refused = getattr(self.parent, "refused", None)
        self.runs: list[CellRun] = []
        self.tampered: set[int] = set()
        if refused is not None:
            verdict = Verdict(Outcome.INVALID, refused.code, str(refused))
        else:
            stopped = self._run(nb, resources)
            verdict = judge(self.runs, stopped)
        if verdict.outcome is Outcome.NOT_RUN:
            raise NotGraded(f"not graded: {verdict.code}: {verdict.detail}")
        self._settle(nb, verdict, resources)
        return nb, resources

    # -- running

    def _run(self, nb: NotebookNode, resources: Any) -> Verdict | None:
        """Run the cells; why that did not come to its end, or None."""
        # Names of sockets may have about 100 bytes, so TMPDIR, which may be deep, is not asked.
        self.folder = Path(tempfile.mkdtemp(prefix="grade-", dir="/tmp"))
        metadata = resources["metadata"]
        before = metadata["path"]
        try:
            prepared = Path(before or ".").absolute()
            self._remove_linked(prepared, resources["nbgrader"])
            self.work = private_copy(prepared, self.folder / "submission")
            self.known_files = files_below(self.work)
            metadata["path"] = str(self.work)
            super().preprocess(nb, resources)
        except (DeadKernelError, CellTimeoutError, RuntimeError) as error:
            if not self.runs:
                return Verdict(Outcome.NOT_RUN, "kernel.start", str(error))
            return Verdict(Outcome.CRASHED, "kernel.died", f"the kernel itself ended: {error}")
        finally:
            metadata["path"] = before
            shutil.rmtree(self.folder, ignore_errors=True)
        return None

    def _remove_linked(self, prepared: Path, names: dict[str, Any]) -> None:
        course = getattr(getattr(self.parent, "parent", None), "coursedir", None)
        if course is None:
            return
        student, assignment = names["student"], names["assignment"]
        submitted = course.format_path(course.submitted_directory, student, assignment)
        source = course.format_path(course.source_directory, ".", assignment)
        for file in linked_files(Path(submitted), Path(source), prepared):
            self.log.warning("%s is a link in the submission: what it leads to is removed", file)
            file.unlink()

    def create_kernel_manager(self) -> KernelManager:
        """The manager for this installation's kernel, whatever the notebook names. By nbclient."""
        self.kernel_name = KERNEL_NAME
        manager = super().create_kernel_manager()
        manager.kernel_spec_manager = OwnKernelSpecs()
        manager.transport = "ipc"
        manager.connection_file = str(self.folder / "k.json")
        manager.ip = str(self.folder / "k")
        fork_from(manager, _kernel_template())
        # Requests that are empty: what stands in the notebook is not looked at.
        attach(manager, LaunchInputs("hook", None, {}, self.sandbox_policy))
        self.startup_timeout = STARTUP
        self.iopub_timeout = _ANSWER
        self.skip_cells_with_tag = ""
        self.cell_time = self.timeout if self.timeout and self.timeout > 0 else None
        if self.cell_time is not None:
            self.timeout = self.cell_time + _BEYOND
        return manager

    async def on_notebook_start(self, notebook: NotebookNode) -> None:
        """Called by nbclient when the kernel is up; its own clean-up begins after this."""
        try:
            await self._open_copy()
        except BaseException:
            await self._async_cleanup_kernel()
            raise

    async def _open_copy(self) -> None:
        """Say yes, as the person who grades, to the private copy, and set the course's timeout."""
        reply = await self._command("grant", {"files": [{"path": ".", "mode": "create"}]})
        if reply.get("status") != "ok":
            raise NotGraded(
                f"policy {self.sandbox_policy}: no access to the submission's own copy: "
                f"{reply.get('evalue')}"
            )
        if self.cell_time is not None:
            wanted = {"wall_time": f"{self.cell_time} s"}
            reply = await self._command("limits", wanted)
            if reply.get("status") != "ok":
                # With less time than the teacher gives, honest answers would count as timed out.
                raise NotGraded(
                    f"the course's timeout of {self.cell_time} s is more than policy "
                    f"{self.sandbox_policy} allows: {reply.get('evalue')}. Give a policy of the "
                    "course's own that much in [limits.max], and name it in "
                    "c.ContainedExecute.sandbox_policy"
                )

    def preprocess_cell(
        self, cell: NotebookNode, resources: Any, index: int
    ) -> tuple[NotebookNode, Any]:
        """Called by nbconvert for each cell. A test's source is not in the session's history."""
        self._check_assign_resources(resources)
        return self.execute_cell(cell, index, store_history=not is_locked(cell)), resources

    async def on_cell_execute(self, cell: NotebookNode, cell_index: int) -> None:
        """Called by nbclient before each cell that it runs."""
        if is_grade(cell) and not await self._assertions_fail():
            self.tampered.add(cell_index)
        self.runs.append(CellRun(cell_index))

    async def on_cell_executed(self, **kwargs: Any) -> None:
        """Called by nbclient after each cell, with its reply."""
        super().on_cell_executed(**kwargs)
        content = (kwargs["execute_reply"] or {}).get("content", {})
        if content.get("status") != "ok":
            self.runs[-1].error = content
        await self._own_files()

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Called by nbclient for each broadcast of the running cell."""
        if msg["msg_type"] == "sandbox_event":
            self.runs[-1].events.append(msg["content"])
            return None
        return super().process_message(msg, cell, cell_index)

    async def _own_files(self) -> None:
        """Let the submission change the files that it has made, and no file of the teacher's."""
        new = sorted(files_below(self.work) - self.known_files)
        if not new or len(self.known_files) > _MOST_OWN_FILES:
            return
        self.known_files.update(new)
        for name in new:
            # A submission picks these names: a wildcard in one would mean files of the teacher's.
            if not _WILDCARDS.isdisjoint(name):
                continue
            wanted = {"path": str(self.work / name), "mode": "write"}
            await self._command("grant", {"files": [wanted]})

    async def _assertions_fail(self) -> bool:
        """Whether an assertion that must fail does, with the text that only we know."""
        word = secrets.token_hex(8)
        sent = self.kc.execute(f"assert 1 == 2, {word!r}", silent=True, store_history=False)
        identity = await ensure_async(sent)
        reply = await self._answer(self.kc.shell_channel, identity)
        return reply.get("ename") == "AssertionError" and word in str(reply.get("evalue"))

    async def _command(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        content = {"command": command, "arguments": arguments}
        message = self.kc.session.msg("sandbox_request", content)
        self.kc.control_channel.send(message)
        return await self._answer(self.kc.control_channel, message["header"]["msg_id"])

    async def _answer(self, channel: Any, identity: str) -> dict[str, Any]:
        end = time.monotonic() + _ANSWER
        while (left := end - time.monotonic()) > 0:
            try:
                reply = await ensure_async(channel.get_msg(timeout=left))
            except Empty:
                break
            if reply["parent_header"].get("msg_id") == identity:
                content: dict[str, Any] = reply["content"]
                return content
        raise DeadKernelError("the kernel does not answer")

    # -- settling

    def _settle(self, nb: NotebookNode, verdict: Verdict, resources: Any) -> None:
        seen = {run.index: run for run in self.runs}
        lines = []
        for index, cell in enumerate(nb.cells):
            if cell.cell_type != "code" or not is_grade(cell):
                continue
            mark = cell.metadata.nbgrader
            if mark.get("solution"):
                continue  # Graded by hand.
            if verdict.outcome is Outcome.INVALID:
                settled = Settled(verdict, [authored_error(verdict)])
            else:
                points = float(mark.get("points", 0))
                settled = settle(cell, seen.get(index), points, tampered=index in self.tampered)
            cell.outputs = settled.outputs
            cell.metadata[OUTCOME_KEY] = str(settled.verdict.outcome)
            if settled.verdict.outcome not in (Outcome.PASSED, Outcome.FAILED):
                lines.append(f"- test `{mark.get('grade_id')}`: {_told(settled.verdict)}")
            if verdict.outcome is Outcome.PASSED:
                verdict = settled.verdict
        missing = _missing(nb, resources)
        lines += [f"- test `{name}`: missing; it earns no points" for name in missing]
        if missing and verdict.outcome is Outcome.PASSED:
            verdict = Verdict(Outcome.FAILED, "grading.missing-tests", "tests are missing")
        nb.metadata[OUTCOME_KEY] = {
            "outcome": str(verdict.outcome),
            "code": verdict.code,
            "cell": verdict.cell,
            "denials": denials(self.runs),
            "policy": self.sandbox_policy,
        }
        self.log.info("sandboxed grading: %s (%s)", verdict.outcome, verdict.code or "all passed")
        if verdict.outcome not in (Outcome.PASSED, Outcome.FAILED) or lines:
            nb.cells.insert(0, _note(nb, verdict, lines))


def _missing(nb: NotebookNode, resources: Any) -> list[str]:
    names = resources["nbgrader"]
    there = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in nb.cells}
    with Gradebook(names["db_url"]) as gradebook:
        try:
            known = gradebook.find_notebook(names["notebook"], names["assignment"])
        except MissingEntry:
            return []
        return [cell.name for cell in known.grade_cells if cell.name not in there]


def _told(verdict: Verdict) -> str:
    """An outcome for the student, in words of ours: an error's text can hold what a test said."""
    text = _SENTENCES.get(verdict.outcome, "")
    if verdict.outcome is Outcome.INVALID or verdict.code.startswith("grading."):
        text = "".join(letter for letter in verdict.detail if letter not in "`<>*[]$\\")
    return f"{verdict.outcome} – {text}" if text else str(verdict.outcome)


def _note(nb: NotebookNode, verdict: Verdict, lines: list[str]) -> NotebookNode:
    """The outcome as the first cell of the graded notebook, and so of the feedback."""
    where = "" if verdict.cell is None else f" (cell {verdict.cell + 1} of the submission)"
    text = f"**Sandboxed grading: {_told(verdict)}**{where}\n"
    cell = new_markdown_cell("\n".join([text, *lines]))
    if nb.nbformat_minor < 5:
        cell.pop("id")
    return cell
