"""What a cell tried, and what it asks about its rights: decided, told, written down, asked.

Nothing that a cell says is kept longer than its answer takes, and each cell has a bounded part in
the audit log: who may write there at will could push out what others wrote.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..policy import Origin, Request, parse_request
from ..policy.explain import explain, grants
from ..shared.errors import PeerViolation
from ..shared.messages import Answer
from ..shared.messages import Question as FromCell
from .access import Access, Verdict, access, accesses, decide
from .approvals import StoreError
from .asking import question_for
from .audit import AuditError
from .capabilities.verdict import Denied
from .questions import SCOPE_OF, Choice, Question
from .real_path import real_path

if TYPE_CHECKING:
    from .permissions import Permissions
    from .supervisor import Supervisor

_log = logging.getLogger(__name__)

#: Refusals and questions of one cell that are told and written down; that there were more is one
#: more. The same in characters.
_MOST_RECORDS = 1000
_MOST_CHARACTERS = 200_000
#: Questions of a cell that may wait for their answers.
_MOST_QUESTIONS = 1000
#: Characters of what one question may ask for: it is decided in one go.
_MOST_REQUESTED = 16_384


class CellQuestions:
    """Answers the cells of one kernel."""

    def __init__(self, supervisor: Supervisor, permissions: Permissions) -> None:
        self._supervisor = supervisor
        self._permissions = permissions
        self._recorded: set[tuple[str, str, str, str]] = set()
        self._room = _MOST_CHARACTERS
        self._open = 0
        self._turn = asyncio.Lock()

    def begin_cell(self) -> None:
        """Another cell begins."""
        self._recorded.clear()
        self._room = _MOST_CHARACTERS

    # -- refusals

    def refused(self, denied: Denied) -> None:
        """Write down a refusal and tell the clients; once a cell for the same access.

        Called for what a door refused, and for what a cell is told in words: often the same.
        """
        if not self._may_record("denied", denied):
            return
        permissions = self._permissions
        try:
            permissions.audit.denied(denied, now=permissions.clock())
        except AuditError as error:
            permissions.problem(f"the audit log cannot be written: {error}")
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

    def _may_record(self, event: str, denied: Denied) -> bool:
        """Whether this is told: it is new in this cell, and the cell has room left."""
        record = (event, denied.kind, denied.action, denied.resource)
        if record in self._recorded or self._room < 0:
            return False
        self._recorded.add(record)
        self._room -= sum(map(len, record))
        if len(self._recorded) > _MOST_RECORDS:
            self._room = -1
        if self._room < 0:
            self._permissions.problem("too many refusals in this cell: no more are told")
            return False
        return True

    def _verdict(self, wanted: Access) -> Verdict:
        """The decision on what a cell met a wall with.

        A connection to a synthetic address is one to the name that it stands for, and what the
        door found out about that name's real address comes first.
        """
        doors, rights = self._supervisor.doors, self._permissions.rights
        if doors is None or wanted.kind != "sockets":
            return decide(wanted, rights)
        host, _, port = wanted.resource.rpartition(":")
        name = doors.name_of(host.strip("[]"))
        if name is not None:
            wanted = Access(wanted.kind, wanted.action, f"{name}:{port}")
        verdict = decide(wanted, rights)
        if not isinstance(verdict, Denied):
            return doors.last_refusal(wanted.resource) or verdict
        return verdict

    async def _tried(self, wanted: Access) -> dict[str, Any]:
        """A cell met a wall: was it refused, would a person allow it, and what shall it be told?"""
        verdict = self._verdict(wanted)
        if isinstance(verdict, Denied) and await self._allowed_by_person(verdict):
            verdict = decide(wanted, self._permissions.rights)
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

    # -- the person's answer

    async def _allowed_by_person(self, denied: Denied) -> bool:
        permissions = self._permissions
        run, asker = self._supervisor.current, permissions.asker
        heard = asker.client_answers or (run is not None and run.allows_input)
        if asker.silenced or not heard:
            return False  # To word a question takes a look around in the file's folder.
        source = "" if run is None else str(run.request.content.get("code", ""))
        question = question_for(denied, permissions.rights, source)
        if question is None:
            return False
        if self._may_record("asked", denied):
            permissions.record(
                "asked", kind=denied.kind, action=denied.action, resource=denied.resource
            )
        self._supervisor.watch.asks_person(True)
        try:
            choice = await asker.ask(question, permissions.rights.question_timeout)
        finally:
            self._supervisor.watch.asks_person(False)
        return self._carry_out(choice, question)

    def _carry_out(self, choice: Choice, question: Question) -> bool:
        """Put in force what a person said yes to; False for a no, or a yes that is void."""
        permissions = self._permissions
        scope = SCOPE_OF.get(choice)
        if scope is None:
            return False
        leads = tuple(denied.real for denied in question.denied if denied.kind == "files")
        if any(real and real_path(real) != real for real in leads):
            permissions.problem("nothing was granted: what was asked for leads elsewhere by now")
            return False
        request = Request(question.request, Origin("the person's answer"))
        grant = replace(permissions.session.new_grant(request, "person", scope), leads=leads)
        notebook = permissions.session.places.notebook
        if choice == "always" and notebook is not None:
            try:
                approval = permissions.store.add(
                    notebook,
                    question.request,
                    now=permissions.clock(),
                    lifetime=permissions.rights.remember,
                    policy=permissions.rights.policy,
                    leads=leads,
                )
                grant = replace(grant, id=f"approval:{approval.id}")
            except StoreError as error:
                permissions.problem(f"the answer could not be remembered: {error}")
        permissions.changes.put_in_force(grant)
        return True

    # -- questions

    async def on_question(self, question: FromCell) -> None:
        """Called for each question of a cell; answers it."""
        worker, number = self._supervisor.worker, question.number
        self._open += 1
        try:
            if self._open > _MOST_QUESTIONS:
                raise PeerViolation(f"more than {_MOST_QUESTIONS} questions at once")
            # What else a cell puts into a question is not kept while it waits for a person.
            command, asked = question.command, _checked(question)
            del question
            async with self._turn:
                await asyncio.sleep(0)  # One a turn of the loop: clients are heard in between.
            body = await self._answer(command, asked)
        except PeerViolation as violation:
            body = {"error": str(violation)}
        except Exception:
            # The cell waits for an answer; the fault is ours, or of a path that cannot be followed.
            _log.exception("a question could not be decided")
            body = {"error": "the question could not be decided"}
        finally:
            self._open -= 1
        if worker is not None and worker is self._supervisor.worker:
            worker.send(Answer(number, body))

    async def _answer(self, command: str, asked: Access | Request | None) -> dict[str, Any]:
        rights = self._permissions.rights
        match command, asked:
            case "tried", Access():
                return await self._tried(asked)
            case "can", Access():
                return {"allowed": not isinstance(decide(asked, rights), Denied)}
            case "grants", None:
                return {"grants": grants(rights)}
            case "limits", None:
                return {"limits": grants(rights)["limits"]}
            case "describe", None:
                return {"text": explain(rights)}
            case "request", Request():
                return await self._on_request(asked)
        raise PeerViolation(f"no such question: {command:.80}")

    async def _on_request(self, request: Request) -> dict[str, Any]:
        """`sandbox.request(…)`: a cell asks for rights in the words of the metadata."""
        if request.table is None:
            return {"error": "; ".join(map(str, request.problems))}
        for tried in accesses(request, self._permissions.clock()):
            answer = await self._tried(tried)
            if not answer["retry"]:
                return {"granted": False, "text": answer["text"]}
        return {"granted": True}


def _checked(question: FromCell) -> Access | Request | None:
    """What a question is about, without the rest. Raises `PeerViolation`."""
    arguments = question.arguments
    if question.command in ("tried", "can"):
        return access(arguments.get("action"), arguments.get("resource"))
    if question.command != "request":
        return None
    wanted = arguments.get("wanted")
    # A path may have bytes that are no text.
    if len(json.dumps(wanted, default=str)) > _MOST_REQUESTED:
        raise PeerViolation(f"a request is at most {_MOST_REQUESTED} characters of JSON")
    return parse_request(wanted, Origin("sandbox.request"))
