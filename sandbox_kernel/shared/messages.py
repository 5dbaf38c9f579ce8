"""What the supervisor and the worker say to each other: one frozen class per message.

Rules
- Unknown message, unknown field, wrong type: `PeerViolation`, and the worker is ended.
- The worker's messages are *content*. They carry no header, no parent, no status of the kernel and
  no execution count: the supervisor writes all of these (it knows which cell runs).
- Large binary parts travel beside the JSON as raw buffers, never inside it.

| message            | from       | meaning                                                    |
|--------------------|------------|------------------------------------------------------------|
| `Ready`            | worker     | sealed, shell built, requests may come                     |
| `Output`           | worker     | an IOPub message that the cell wants published             |
| `Reply`            | worker     | content of the reply to a shell request                    |
| `InputWanted`      | worker     | the cell calls `input()` or `getpass()`                    |
| `InputDropped`     | worker     | the cell no longer waits for that line                     |
| `Finished`         | worker     | the request is over; nothing more will come for it         |
| `Question`         | worker     | the cell asks what it may do, or asks for a right          |
| `CopyTaken`        | worker     | whether a dormant copy was made, and why not               |
| `Request`          | supervisor | a shell request to work on                                 |
| `Interrupted`      | supervisor | a request is not to begin, if it has not yet               |
| `InputGiven`       | supervisor | the person's answer to `InputWanted`                       |
| `Answer`           | supervisor | answer to a `Question`                                     |
| `Breach`           | supervisor | a limit was reached: raise `LimitExceeded` in the cell     |
| `Settings`         | supervisor | what this worker is to know about its own rights           |
| `TakeCopy`         | supervisor | fork a dormant copy now; its socket comes along            |
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

#: IOPub types that a worker may ask to have published. `status`, `execute_input`,
#: `iopub_welcome`, `shutdown_reply` and `sandbox_event` are the supervisor's own.
OutputType = Literal[
    "stream",
    "display_data",
    "update_display_data",
    "execute_result",
    "error",
    "clear_output",
    "comm_open",
    "comm_msg",
    "comm_close",
]

#: Shell requests that a worker works on; the rest the supervisor answers itself or refuses.
RequestType = Literal[
    "execute_request",
    "complete_request",
    "inspect_request",
    "history_request",
    "is_complete_request",
    "comm_info_request",
    "comm_open",
    "comm_msg",
    "comm_close",
]
#: The same, to look a type up in.
REQUEST_TYPES: frozenset[str] = frozenset(get_args(RequestType))


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="say"):
    """Base of all messages; the field `say` names the class on the wire."""


class Ready(_Message, frozen=True, tag="ready"):
    """The worker is sealed and waits for requests.

    `lost`, from a copy that took over: what it had to give up when it was made, in words.
    """

    lost: tuple[str, ...] = ()


class CopyTaken(_Message, frozen=True, tag="copy-taken"):
    """Answer to the `TakeCopy` of that `number`.

    `obstacle` says why there is no copy; it is empty when there is one. `seconds` is how long the
    worker stood still for it. `runs_on`, where the order was `alone`: what cells have left running
    here, and is not in the copy; in words, empty for nothing.
    """

    number: int
    obstacle: str = ""
    seconds: float = 0.0
    runs_on: str = ""


class Output(_Message, frozen=True, tag="output"):
    """Something to publish.

    `pipes` holds the bytes that stood unread in the pipes of descriptors 1 and 2 when this was
    sent: they were written before it and are published before it.
    """

    type: OutputType
    content: dict[str, Any]
    metadata: dict[str, Any] = {}
    pipes: tuple[int, int] = (0, 0)


class Reply(_Message, frozen=True, tag="reply"):
    """Content of the reply to request `to` (a Jupyter msg_id)."""

    to: str
    content: dict[str, Any]
    metadata: dict[str, Any] = {}


class InputWanted(_Message, frozen=True, tag="input-wanted"):
    """The cell of request `to` waits for a line. `number` pairs it with its `InputGiven`."""

    to: str
    prompt: str
    password: bool
    number: int = 0


class InputDropped(_Message, frozen=True, tag="input-dropped"):
    """The cell of request `to` was interrupted while it waited for line `number`."""

    to: str
    number: int


class Finished(_Message, frozen=True, tag="finished"):
    """Request `to` is over. `pipes`: as in `Output`."""

    to: str
    pipes: tuple[int, int] = (0, 0)


class Question(_Message, frozen=True, tag="question"):
    """A cell's question about its rights. `number` pairs it with its `Answer`."""

    number: int
    command: str
    arguments: dict[str, Any] = {}


class Request(_Message, frozen=True, tag="request"):
    """A Jupyter request, with the client's header for the worker's bookkeeping only."""

    type: RequestType
    header: dict[str, Any]
    content: dict[str, Any]
    metadata: dict[str, Any] = {}
    execution_count: int = 0


class Interrupted(_Message, frozen=True, tag="interrupted"):
    """The person interrupts request `to`.

    SIGINT follows, which is what ends a cell that runs. This is for the one that has not begun.
    """

    to: str


class InputGiven(_Message, frozen=True, tag="input-given"):
    """The line that the person typed for request `to`, where it is waited for as `number`."""

    to: str
    value: str
    number: int = 0


class Answer(_Message, frozen=True, tag="answer"):
    """Answer to the question of that `number`."""

    number: int
    body: dict[str, Any] = {}


class Breach(_Message, frozen=True, tag="breach"):
    """A limit was reached; `text` names limit, used and allowed.

    `idle`: by threads that went on between two cells, so it is raised in these.
    """

    limit: str
    text: str
    used: float = 0
    allowed: float = 0
    idle: bool = False


class TakeCopy(_Message, frozen=True, tag="take-copy"):
    """Fork a dormant copy now. The copy's socket travels with this message (SCM_RIGHTS).

    `harmless_threads`: how many threads of libraries the worker has that a fork does not hurt.
    `alone`: nothing that cells left running is an obstacle, because the copy takes over at once
    and has none of it. `needed` is false where there is to be no copy but for that.
    """

    number: int
    harmless_threads: int = 0
    alone: bool = False
    needed: bool = True


class Settings(_Message, frozen=True, tag="settings"):
    """What the worker must know before its first cell, and whenever it changes."""

    body: dict[str, Any] = {}


FromWorker = Ready | Output | Reply | InputWanted | InputDropped | Finished | Question | CopyTaken
FromSupervisor = Request | Interrupted | InputGiven | Answer | Breach | Settings | TakeCopy
