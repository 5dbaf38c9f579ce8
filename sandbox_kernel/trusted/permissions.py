"""What the notebook of this kernel may do, while it runs: the meeting point of rights and doors.

Whatever changes rights passes here, so that each change is followed by the doors, the limits, the
output gate and the worker's own view of its rights, is written to the audit log, and is told to
the clients.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..policy import Grant, Origin, Request, Rights, parse_grant, parse_request
from ..policy.explain import explain, grants
from ..policy.kinds.names import ModuleEntry
from ..policy.request import plain_request
from ..shared.errors import Denied as Refused
from ..shared.errors import PeerViolation
from ..shared.messages import Answer, Question, Settings
from .access import Access, Verdict, access, accesses, decide
from .approvals import ApprovalStore, StoreError
from .asking import Asker, question_for
from .audit import AuditError, AuditLog, Event
from .capabilities.out_of_bounds import out_of_bounds
from .capabilities.verdict import Denied
from .capabilities.wording import visible
from .notebook_wishes import notebook_metadata, saved_at
from .once_writable import OnceWritable
from .output_gate import DisplayRules
from .questions import SCOPE_OF
from .session_rights import SessionRights

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger(__name__)

#: Refusals of one cell that are told and written down; that there were more is one more.
_MOST_REFUSALS = 1000
#: Questions of a cell that may wait for their answers.
_MOST_QUESTIONS = 1000
#: Characters of what one question may ask for: it is decided in one go.
_MOST_REQUESTED = 16_384
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
        self._clock = clock
        folder = Path(data_directory)
        notebook = session.places.notebook or ""
        self._metadata_given = metadata_given
        self._saved = saved_at(notebook) if notebook else None
        self.store = ApprovalStore(folder / "approvals.json")
        self.audit = AuditLog(folder / "audit.jsonl", notebook=notebook)
        self.problems: list[str] = [str(p) for p in session.rights.problems]
        self._untold = list(self.problems)
        self.asker = Asker(self._send_prompt, supervisor.event)
        self.cell_rights: Rights | None = None
        self._followed: Rights | None = None
        self._refused_in_cell: set[tuple[str, str, str]] = set()
        self._open_questions = 0
        self._turn = asyncio.Lock()
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
            for grant in self.store.grants(notebook, now=self._clock()):
                self.session.add(grant)
        except StoreError as error:
            self.problem(f"remembered answers are left out: {error}")

    def _take_tickets(self) -> None:
        table = self.session.request.table
        issuers = self.session.rights.issuers
        if table is None or not table.tickets:
            return
        from ..policy.tickets import TicketRefused, verify  # Few notebooks carry any.

        for token in table.tickets:
            now, notebook = self._clock(), self.session.places.notebook
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
            self.audit.record(event, now=self._clock(), **fields)
        except AuditError as error:
            self.problem(f"the audit log cannot be written: {error}")

    # -- cells

    def begin_cell(self, metadata: object) -> Rights:
        """Called before a cell goes to the worker; `metadata` is the cell's own `sandbox`."""
        self._refused_in_cell.clear()
        self._read_again()
        self.cell_rights = self.session.for_cell(metadata)
        if self.cell_rights is not self._followed:
            self._follow()
        if self._supervisor.doors is not None:
            self._supervisor.doors.begin_cell(self.cell_rights)
        return self.cell_rights

    def _read_again(self) -> None:
        """Follow the notebook's own wishes when its file was saved with others."""
        path = self.session.places.notebook
        if path is None or self._metadata_given:
            return
        saved = saved_at(path)
        if saved is None or saved == self._saved:
            return
        self._saved = saved
        metadata, problems = notebook_metadata(path)
        for problem in problems:
            self.problem(str(problem))
        if not problems and self.session.set_request(metadata):
            self.record("asked", kind="metadata", who="the notebook")
            for found in self.session.rights.problems:
                self.problem(str(found))

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
        self._remember_writable()
        rights = self._followed = self.rights
        display: Any = rights.display
        self._supervisor.gate.set_rules(DisplayRules(**display, origin=rights.policy_file))
        self._supervisor.watch.follow(self.session.rights)
        taken = self._supervisor.follow_doors(rights)
        self.tell_worker()
        return taken

    def _remember_writable(self) -> None:
        """Note the folders that cells may write to, for the time after."""
        try:
            if self._once_writable is not None and self._once_writable.add(self.rights):
                folders = tuple(sorted(self._once_writable.folders))
                self.session.move(replace(self.session.places, once_writable=folders))
        except OSError as error:
            self.problem(f"folders that cells could write to are not remembered: {error}")

    def tell_worker(self) -> None:
        """Give the worker its view of its rights: module names, for messages and for `%sandbox`."""
        worker = self._supervisor.worker
        if worker is not None:
            worker.send(Settings(self.worker_settings()))

    def worker_settings(self) -> dict[str, Any]:
        """What a worker is told: never a path that is closed to it, nor a reason of the policy."""
        rights = self.rights
        modules = {
            right.entry.name: right.origin.place
            for right in rights.rights
            if isinstance(right.entry, ModuleEntry)
        }
        return {
            "language": rights.language,
            "modules": modules,
            "refused": {
                refusal.entry.name: refusal.origin.place
                for refusal in rights.refusals
                if isinstance(refusal.entry, ModuleEntry)
            },
            "processes": rights.spawn,
            "policy": rights.policy_file,
        }

    # -- grants, by a client or a person

    def grant(self, arguments: dict[str, Any], source: Any = "client") -> dict[str, Any]:
        """Put a client's grant in force; gives its id. Raises `shared.errors.Denied`."""
        request, scope = parse_grant(arguments, Origin("the grant"))
        table = _well_formed(request)
        if not any(getattr(table, kind) for kind in _KINDS):
            raise Refused('the grant names nothing; write e.g. {"files": [{"path": "data"}]}')
        left_out = [denied.text for denied in out_of_bounds(table, self.rights)]
        grant = self.session.new_grant(request, source, scope)
        if left_out and not self.session.would(grant):
            raise Refused("nothing of that can be granted: " + "; ".join(left_out))
        self._put_in_force(grant)
        return {"ids": [grant.id], "left_out": left_out}

    def _put_in_force(self, grant: Grant) -> None:
        self.session.add(grant)
        if self._supervisor.current is not None and self.cell_rights is not None:
            self.cell_rights = self.session.for_cell(self._supervisor.current.sandbox_metadata)
        self._follow()
        wanted = plain_request(grant.table)
        lasts = grant.scope
        self.record("granted", grant=grant.id, who=grant.source, lasts=lasts, text=_text(wanted))
        self._supervisor.event(
            "granted", {"id": grant.id, "by": grant.source, "for": lasts, **wanted}
        )

    def revoke(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Take a grant back, by its id or by what `grant` took. Raises `shared.errors.Denied`."""
        ids = arguments.get("id", arguments.get("ids"))
        if ids is not None:
            named = [ids] if isinstance(ids, str) else ids
            if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
                raise Refused("an id is a text; `ids` is a list of them")
            removed = [grant.id for grant in self.session.remove(named)]
        else:
            request, _ = parse_grant(arguments, Origin("the revocation"))
            _well_formed(request)
            removed = self.session.remove_by_words(request)
        self._forget_approvals(removed)
        if self._supervisor.current is not None:
            self.cell_rights = self.session.for_cell(self._supervisor.current.sandbox_metadata)
        taken = self._follow()
        for identity in removed:
            self.record("revoked", grant=identity, who="client")
        self._supervisor.event("revoked", {"ids": removed, **taken})
        return {"revoked": removed, **taken}

    def _forget_approvals(self, removed: list[str]) -> None:
        stored = [i.removeprefix("approval:") for i in removed if i.startswith("approval:")]
        if stored:
            try:
                self.store.revoke(now=self._clock(), ids=stored)
            except StoreError as error:
                self.problem(f"the remembered answer could not be forgotten: {error}")

    def narrow(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Leave less of a grant. Raises `shared.errors.Denied`."""
        rest = {key: value for key, value in arguments.items() if key != "id"}
        request = parse_request(rest, Origin("the narrowing"))
        _well_formed(request)
        grant = self.session.narrow(str(arguments.get("id")), request)
        taken = self._follow()
        self.record("narrowed", grant=grant.id, who="client", text=_text(rest))
        self._supervisor.event("narrowed", {"id": grant.id, **taken})
        return {"id": grant.id, **plain_request(grant.table), **taken}

    def change_limits(self, wanted: dict[str, Any]) -> None:
        """Other limits hold, for the running cell too. Raises `shared.errors.Denied`."""
        self._supervisor.watch.check_change(wanted)
        self.session.change_limits(wanted)
        if self._supervisor.current is not None:
            self.cell_rights = self.session.for_cell(self._supervisor.current.sandbox_metadata)
        self._follow()
        self.record("granted", kind="limits", who="client", text=_text(wanted))
        self._supervisor.event("limits", {"limits": wanted})

    def explain(self, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """Whether each thing that a request names would be allowed, by which rule, and if not
        what would help. Raises `shared.errors.Denied` for a request that is malformed.
        """
        request = parse_request(arguments, Origin("the question"))
        _well_formed(request)
        answers = []
        for wanted in accesses(request, self._clock()):
            verdict = decide(wanted, self.rights)
            told: dict[str, Any] = {
                "kind": wanted.kind,
                "action": wanted.action,
                "resource": wanted.resource,
                "allowed": not isinstance(verdict, Denied),
            }
            if isinstance(verdict, Denied):
                told |= {"rule": verdict.rule, "remedy": verdict.remedy, "code": verdict.code}
                told["askable"] = verdict.askable
            elif verdict.right is not None:
                told |= {"rule": verdict.right.origin.place, "through": verdict.right.through}
            answers.append(told)
        return answers

    # -- what a cell tried

    def refused(self, denied: Denied) -> None:
        """Write down a refusal and tell the clients; once a cell for the same access.

        Called for what a door refused, and for what a cell is told in words: often the same.
        """
        access_of = (denied.kind, denied.action, denied.resource)
        if access_of in self._refused_in_cell or len(self._refused_in_cell) > _MOST_REFUSALS:
            return
        self._refused_in_cell.add(access_of)
        if len(self._refused_in_cell) > _MOST_REFUSALS:
            self.problem(f"more than {_MOST_REFUSALS} refusals in this cell: no more are told")
            return
        try:
            self.audit.denied(denied, now=self._clock())
        except AuditError as error:
            self.problem(f"the audit log cannot be written: {error}")
        self._supervisor.event(
            "denied",
            {
                "capability": denied.kind,
                "action": denied.action,
                "resource": denied.resource,
                "code": denied.code,
                "rule": denied.rule,
                "remedy": denied.remedy,
            },
        )

    def _verdict(self, wanted: Access) -> Verdict:
        """The decision on what a cell met a wall with.

        A connection to a synthetic address is one to the name that it stands for, and what the
        door found out about that name's real address comes first.
        """
        doors = self._supervisor.doors
        if doors is None or wanted.kind != "sockets":
            return decide(wanted, self.rights)
        host, _, port = wanted.resource.rpartition(":")
        name = doors.name_of(host.strip("[]"))
        if name is not None:
            wanted = Access(wanted.kind, wanted.action, f"{name}:{port}")
        verdict = decide(wanted, self.rights)
        if not isinstance(verdict, Denied):
            return doors.last_refusal(wanted.resource) or verdict
        return verdict

    async def on_tried(self, wanted: Access) -> dict[str, Any]:
        """A cell met a wall: was it refused, would a person allow it, and what shall it be told?"""
        verdict = self._verdict(wanted)
        if isinstance(verdict, Denied) and await self._allowed_by_person(verdict):
            verdict = decide(wanted, self.rights)
        if not isinstance(verdict, Denied):
            return {"retry": True}
        if verdict.exception != "FileNotFoundError":
            self.refused(verdict)
        return {
            "retry": False,
            "exception": verdict.exception,
            "text": verdict.text,
            "code": verdict.code,
        }

    async def _allowed_by_person(self, denied: Denied) -> bool:
        run = self._supervisor.current
        source = "" if run is None else str(run.request.content.get("code", ""))
        question = question_for(denied, self.rights, source)
        if question is None:
            return False
        self.record("asked", kind=denied.kind, action=denied.action, resource=denied.resource)
        self._supervisor.watch.asks_person(True)
        try:
            choice = await self.asker.ask(question, self.rights.question_timeout)
        finally:
            self._supervisor.watch.asks_person(False)
        scope = SCOPE_OF.get(choice)
        if scope is None:
            return False
        if any(d.real and os.path.realpath(d.real) != d.real for d in question.denied):
            self.problem("nothing was granted: what was asked for leads elsewhere by now")
            return False
        request = Request(question.request, Origin("the person's answer"))
        grant = self.session.new_grant(request, "person", scope)
        notebook = self.session.places.notebook
        if choice == "always" and notebook is not None:
            try:
                approval = self.store.add(
                    notebook,
                    question.request,
                    now=self._clock(),
                    lifetime=self.rights.remember,
                    policy=self.rights.policy,
                )
                grant = replace(grant, id=f"approval:{approval.id}")
            except StoreError as error:
                self.problem(f"the answer could not be remembered: {error}")
        self._put_in_force(grant)
        return True

    def _send_prompt(self, text: str) -> bool:
        return self._supervisor.stdin.ask(text)

    async def on_question(self, question: Question) -> None:
        """Called for each question of a cell; answers it."""
        worker = self._supervisor.worker
        self._open_questions += 1
        try:
            if self._open_questions > _MOST_QUESTIONS:
                raise PeerViolation(f"more than {_MOST_QUESTIONS} questions at once")
            async with self._turn:
                await asyncio.sleep(0)  # One a turn of the loop: clients are heard in between.
            body = await self._answer(question.command, question.arguments)
        except PeerViolation as violation:
            body = {"error": str(violation)}
        except Exception:
            # The cell waits for an answer; the fault is ours, or of a path that cannot be followed.
            _log.exception("a question could not be decided")
            body = {"error": "the question could not be decided"}
        finally:
            self._open_questions -= 1
        if worker is not None and worker is self._supervisor.worker:
            worker.send(Answer(question.number, body))

    async def _answer(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        match command:
            case "tried":
                wanted = access(arguments.get("action"), arguments.get("resource"))
                return await self.on_tried(wanted)
            case "can":
                wanted = access(arguments.get("action"), arguments.get("resource"))
                return {"allowed": not isinstance(decide(wanted, self.rights), Denied)}
            case "grants":
                return {"grants": grants(self.rights)}
            case "limits":
                return {"limits": grants(self.rights)["limits"]}
            case "describe":
                return {"text": explain(self.rights)}
            case "request":
                return await self._on_request(arguments.get("wanted"))
        raise PeerViolation(f"no such question: {command:.80}")

    async def _on_request(self, wanted: object) -> dict[str, Any]:
        """`sandbox.request(…)`: a cell asks for rights in the words of the metadata."""
        if len(_text(wanted)) > _MOST_REQUESTED:
            return {"error": f"a request is at most {_MOST_REQUESTED} characters of JSON"}
        request = parse_request(wanted, Origin("sandbox.request"))
        if request.table is None:
            return {"error": "; ".join(map(str, request.problems))}
        for tried in accesses(request, self._clock()):
            answer = await self.on_tried(tried)
            if not answer["retry"]:
                return {"granted": False, "text": answer["text"]}
        return {"granted": True}


_KINDS = ("files", "sockets", "modules", "environment", "display", "processes")


def _well_formed(request: Request) -> Any:
    if request.table is None:
        raise Refused("; ".join(map(str, request.problems)))
    return request.table


def _text(wanted: object) -> str:
    return json.dumps(wanted, default=str)  # A path may have bytes that are no text.
