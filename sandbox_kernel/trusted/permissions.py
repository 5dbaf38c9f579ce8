"""What the notebook of this kernel may do, while it runs: the meeting point of rights and doors.

Whatever changes rights passes here, so that each change is followed by the doors, the limits, the
output gate and the worker's own view of its rights, is written to the audit log, and is told to
the clients.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..policy import Request, Right, Rights
from ..policy.kinds.names import ModuleEntry
from ..policy.rights import written
from ..shared.messages import Settings
from .approvals import ApprovalStore, StoreError
from .asking import Asker
from .audit import AuditError, AuditLog, Event
from .capabilities.wording import visible
from .cell_questions import CellQuestions
from .notebook_file import NotebookFile
from .notebook_wishes import notebook_metadata
from .once_writable import OnceWritable
from .output_gate import DisplayRules
from .real_path import one_moment
from .rights_changes import RightsChanges, as_text
from .session_rights import SessionRights

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger(__name__)

#: Seconds after the end of a right until it is looked whether it has ended.
_LATE = 0.02
#: Characters of one problem.
_MOST_CHARACTERS = 2000
#: Problems that are kept for `status`; the oldest go.
_MOST_PROBLEMS = 200


class Permissions:
    """The rights of one supervisor's notebook."""

    def __init__(
        self,
        supervisor: Supervisor,
        session: SessionRights,
        data_directory: str,
        *,
        metadata_given: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`data_directory` holds the audit log and the approval store.

        `metadata_given`: the notebook's wishes came from whoever started the kernel, and its file
        is not looked at.
        """
        self._supervisor = supervisor
        self.session = session
        self.clock = clock
        folder = Path(data_directory)
        notebook = session.places.notebook or ""
        self._file = NotebookFile(notebook) if notebook and not metadata_given else None
        self.store = ApprovalStore(folder / "approvals.json")
        self.audit = AuditLog(folder / "audit.jsonl", notebook=notebook)
        self.problems: list[str] = [str(p) for p in session.rights.problems]
        self._untold = list(self.problems)
        self.asker = Asker(supervisor.stdin.ask, supervisor.event)
        self.cell_rights: Rights | None = None
        self._cell_began = clock()
        self._followed: Rights | None = None
        self._modules: tuple[tuple[Right, ...], dict[str, str]] = ((), {})
        self._told: tuple[object, dict[str, Any]] | None = None
        self._shown: tuple[tuple[Right, ...], str] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self.changes = RightsChanges(supervisor, self)
        self.questions = CellQuestions(supervisor, self)
        self._once_writable = self._read_once_writable(folder)
        self._take_remembered()
        self._take_tickets()
        self.record("started")

    @property
    def rights(self) -> Rights:
        """What holds now, for the cell that runs if one does."""
        return self.cell_rights or self.session.rights

    def _read_once_writable(self, folder: Path) -> OnceWritable | None:
        try:
            known = OnceWritable(folder / "once-writable")
        except OSError as error:
            self.problem(f"folders that cells could once write to are not known: {error}")
            return None
        places = self.session.places
        self.session.move(replace(places, once_writable=tuple(sorted(known.folders))))
        return known

    def _take_remembered(self) -> None:
        notebook = self.session.places.notebook
        if notebook is None:
            return
        try:
            for grant in self.store.grants(notebook, now=self.clock()):
                self.session.add(grant)
                for path in grant.strayed(self.session.places):
                    self.problem(f"{path}: leads elsewhere than when it was allowed; asked anew")
        except StoreError as error:
            self.problem(f"remembered answers are left out: {error}")

    def _take_tickets(self) -> None:
        table = self.session.request.table
        issuers = self.session.rights.issuers
        if table is None or not table.tickets:
            return
        from ..policy.tickets import TicketRefused, verify  # Few notebooks carry any.

        for token in table.tickets:
            now, notebook = self.clock(), self.session.places.notebook
            ticket = verify(token, issuers, notebook=notebook, now=now)
            if isinstance(ticket, TicketRefused):
                self.problem(f"a ticket is left out: {ticket.why}")
            else:
                self.session.add(ticket.grant(now))

    def problem(self, text: str) -> None:
        """Something was left out or went wrong; shown in `status` and at the next reply."""
        text = visible(text)[:_MOST_CHARACTERS]
        self.problems.append(text)
        self._untold.append(text)
        del self.problems[:-_MOST_PROBLEMS], self._untold[:-_MOST_PROBLEMS]
        _log.warning("%s", text)

    def take_untold(self) -> list[str]:
        """The problems that no cell's output has shown yet."""
        untold, self._untold = self._untold, []
        return untold

    def record(self, event: Event, **fields: Any) -> None:
        """Write to the audit log; one that cannot be written is a problem of its own."""
        try:
            self.audit.record(event, now=self.clock(), **fields)
        except AuditError as error:
            self.problem(f"the audit log cannot be written: {error}")

    # -- cells

    def begin_cell(self, metadata: object) -> Rights:
        """Called before a cell goes to the worker; `metadata` is the cell's own `sandbox`."""
        self.questions.begin_cell()
        with one_moment():
            self._read_again()
            self.session.look_again()
            self._cell_began = self.clock()
            self.cell_rights = self.session.for_cell(metadata, self._cell_began)
            if self.cell_rights is not self._followed:
                self._follow()
            if self._supervisor.doors is not None:
                self._supervisor.doors.begin_cell(self.cell_rights)
        return self.cell_rights

    def _read_again(self) -> None:
        """Follow the notebook's own wishes when its file was saved with others."""
        if self._file is None:
            return
        saved = self._file.look()
        if self._file.path != self.session.places.notebook:
            self._moved(self._file.path)
        if not saved:
            return
        metadata, problems = notebook_metadata(self._file.path)
        for problem in problems:
            self.problem(str(problem))
        before = _policy_named(self.session.request)
        if not problems and self.session.set_request(metadata):
            self.record("asked", kind="metadata", who="the notebook")
            if _policy_named(self.session.request) != before:
                self.problem(
                    "the notebook names another policy: it is chosen at the kernel's start"
                )
            for found in self.session.rights.problems:
                self.problem(str(found))

    def _moved(self, path: str) -> None:
        """Follow a notebook that was renamed. Its rights stay where they began until a restart."""
        places = self.session.places
        self.session.move(replace(places, notebook=path))
        self.audit.notebook = path
        if os.path.dirname(path) != places.folder:
            self.problem(
                f"the notebook was moved to {path}; paths stay relative to {places.folder} until"
                " the kernel is restarted"
            )

    def end_cell(self) -> None:
        """Called when a cell is over: one-cell grants end, questions too."""
        self.asker.cancel()
        narrowed = self.cell_rights is not self.session.rights
        self.cell_rights = None
        for grant in self.session.end_cell():
            narrowed = True
            self.record("revoked", grant=grant.id, who="the cell's end")
        if narrowed:
            self._follow()

    def _follow(self) -> dict[str, Any]:
        """Have everything follow the rights that hold now; what it took to take access away."""
        self._followed = None  # Until all of it is done: else the next cell has it done again.
        with self._or_no_worker():
            return self._have_followed()

    @contextmanager
    def _or_no_worker(self) -> Iterator[None]:
        """A change of rights that fails half-way leaves nobody who may still use the old ones."""
        try:
            yield
        except Exception:
            self._supervisor.give_up_worker("a change of rights failed")
            raise

    def _have_followed(self) -> dict[str, Any]:
        self._remember_writable()
        rights = self.rights
        self._watch_expiry(rights)
        if self._shown != (shown := (rights.of("display"), rights.policy_file)):
            display: Any = rights.display
            self._supervisor.gate.set_rules(DisplayRules(**display, origin=rights.policy_file))
            self._shown = shown
        self._supervisor.watch.follow(self.session.rights, rights.limits)
        taken = self._supervisor.opened.follow(rights)
        if self._told != (self._supervisor.worker, self.worker_settings()):
            self.tell_worker()  # A grant of files changes nothing of it.
        self._followed = rights
        return taken

    def _watch_expiry(self, rights: Rights) -> None:
        """Have everything follow again when the first of these rights ends."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if rights.next_expiry is not None:
            wait = max(rights.next_expiry - self.clock(), 0.0) + _LATE
            self._expiry = asyncio.get_running_loop().call_later(wait, self._expired)

    def _expired(self) -> None:
        before = self._followed or self.rights
        taken: dict[str, Any] = {}
        try:
            taken = self.renew()
        finally:
            gone = set(before.rights) - set(self.rights.rights)
            for right in gone:
                told = as_text(written(right.entry, before.places))
                self.record("revoked", kind=right.kind, who="its end", text=told)
            if gone:
                self._supervisor.event("revoked", {"ids": [], **taken})

    def renew(self) -> dict[str, Any]:
        """Have all follow what holds in the session now, for a running cell too; what it took to
        take access away.
        """
        run = self._supervisor.current
        self._followed = None
        if run is not None and self.cell_rights is not None:
            with self._or_no_worker():
                metadata = run.sandbox_metadata
                self.cell_rights = self.session.for_cell(metadata, self._cell_began)
        return self._follow()

    def close(self) -> None:
        """The kernel ends."""
        if self._expiry is not None:
            self._expiry.cancel()

    def _remember_writable(self) -> None:
        """Note the folders that cells may write to, for the time after."""
        rights = self.rights
        try:
            if self._once_writable is not None and self._once_writable.add(rights):
                folders = tuple(sorted(self._once_writable.folders))
                self.session.move(replace(self.session.places, once_writable=folders))
        except OSError as error:
            self.problem(f"folders that cells could write to are not remembered: {error}")

    def tell_worker(self) -> None:
        """Give the worker its view of its rights: module names, for messages and for `%sandbox`."""
        worker, settings = self._supervisor.worker, self.worker_settings()
        if worker is not None:
            worker.send(Settings(settings))
            self._told = (worker, settings)

    def worker_settings(self) -> dict[str, Any]:
        """What a worker is told: never a path that is closed to it, nor a reason of the policy."""
        rights = self.rights
        return {
            "language": rights.language,
            "modules": self._module_lines(rights.of("modules")),
            "refused": {
                refusal.entry.name: refusal.origin.place
                for refusal in rights.refusals
                if isinstance(refusal.entry, ModuleEntry)
            },
            "processes": rights.spawn,
            "policy": rights.policy_file,
        }

    def _module_lines(self, rights: tuple[Right, ...]) -> dict[str, str]:
        """The lines that give the modules: hundreds, and few changes of rights change them."""
        known, lines = self._modules
        if rights != known:
            entries = ((right.entry, right.origin.place) for right in rights)
            lines = {e.name: place for e, place in entries if isinstance(e, ModuleEntry)}
            self._modules = rights, lines
        return lines


def _policy_named(request: Request) -> str | None:
    return None if request.table is None else request.table.policy
