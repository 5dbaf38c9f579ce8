"""What may stand in a policy file.

One struct a table; the fields are the keys; a key that is not here is an error.  The documents
(docs/policy.md) and the JSON Schema (policies/policy.schema.json) are made from these structs, so
that the docstring of a field's `Meta` is what people read.

A policy sorts rights in tiers.  What is in none is refused.

| tier         | who gets the right                                         |
|--------------|------------------------------------------------------------|
| `given`      | every notebook                                             |
| `on_request` | a notebook whose metadata asks for it                      |
| `ask`        | a notebook for which a person, a client or a ticket says yes |
| `refuse`     | nobody: taken away from every tier and every policy below  |
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .units import Count, Duration, Size

VERSION = 1

Mode = Literal["read", "create", "append", "write"]
Language = Literal["restricted", "full"]
Isolation = Literal["full", "no-namespaces", "landlock-only"]
Html = Literal["sanitise", "frame", "raw"]
JavaScript = Literal["drop", "frame", "raw"]
Widgets = Literal["off", "core", "any"]
SnapshotMode = Literal["off", "adaptive", "always"]
RefusedMode = Literal["read", "write"]
Background = Literal["kept", "ended"]

TIERS: tuple[str, ...] = ("given", "on_request", "ask")
"""The tiers that allow, from the loosest to the strictest."""

KINDS: tuple[str, ...] = ("files", "sockets", "modules", "environment", "display", "processes")

Natural = Annotated[int, Meta(ge=0)]
Reason = Annotated[str, Meta(min_length=1, description="Why this line is here, for people.")]
Expires = Annotated[
    str,
    Meta(
        description="When the right ends: a duration from the start of the right (`2 h`) or an "
        "instant (`2026-12-24T18:00:00Z`)."
    ),
]


class Table(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """Base of every table of the format: unknown keys are errors."""


class FilesLine(Table, frozen=True, kw_only=True):
    """Files or directories that may be opened."""

    path: Annotated[
        str,
        Meta(
            min_length=1,
            description="Relative to the notebook's folder, or absolute, or below `~/`. A "
            "directory means all below it. `*`, `?`, `[…]` and `**` are expanded when granted.",
        ),
    ]
    mode: Annotated[
        Mode,
        Meta(
            description="`read`; `create`: new files too; `append`: adding to files too; `write`: "
            "any change. Each includes those before it."
        ),
    ]
    reason: Reason
    deny: Annotated[
        tuple[str, ...],
        Meta(description="Paths inside this grant that stay closed; globs allowed."),
    ] = ()
    max_bytes: Annotated[
        Size | None, Meta(description="Most bytes that may be written through this grant.")
    ] = None
    max_count: Annotated[
        Natural | None, Meta(description="Most new files that may be made through this grant.")
    ] = None
    expires: Expires | None = None


class SocketsLine(Table, frozen=True, kw_only=True):
    """A connection, a listener or datagrams. Exactly one of `connect`, `listen`, `udp`."""

    reason: Reason
    connect: Annotated[
        str | None,
        Meta(
            description="`host:port` of a TCP connection. Host: a name, `*.name`, `*`, an "
            "address, a network such as `10.1.0.0/16`, `[::1]`. Port: a number, `8000-8010`, `*`."
        ),
    ] = None
    listen: Annotated[
        str | None, Meta(description="`address:port` on which a cell may listen.")
    ] = None
    udp: Annotated[
        str | None, Meta(description="`host:port` to which a cell may send datagrams.")
    ] = None
    private: Annotated[
        bool,
        Meta(
            description="A name may lead to a loopback, link-local or private address. Cloud "
            "metadata addresses need a line of their own even so."
        ),
    ] = False
    max_bytes: Annotated[Size | None, Meta(description="Most bytes, both directions together.")] = (
        None
    )
    expires: Expires | None = None


class ModulesLine(Table, frozen=True, kw_only=True):
    """Modules that a cell may import; a name covers its submodules, `*` covers all."""

    names: Annotated[tuple[str, ...], Meta(description="Dotted names of modules.")]
    reason: Reason


class EnvironmentLine(Table, frozen=True, kw_only=True):
    """Variables of the server's environment that a cell may see."""

    names: Annotated[
        tuple[str, ...], Meta(description="Names of variables; `LC_*` covers a prefix.")
    ]
    reason: Reason


class DisplayLine(Table, frozen=True, kw_only=True):
    """How active output may be shown, at most."""

    reason: Reason
    html: Html | None = None
    javascript: JavaScript | None = None
    widgets: Widgets | None = None


class ProcessesLine(Table, frozen=True, kw_only=True):
    """Child processes."""

    reason: Reason
    spawn: Annotated[bool, Meta(description="Fork and exec inside the same walls, counted.")] = (
        False
    )


class Tier(Table, frozen=True, kw_only=True):
    """Rights of one tier, by kind. A kind that is absent or empty allows nothing."""

    files: tuple[FilesLine, ...] = ()
    sockets: tuple[SocketsLine, ...] = ()
    modules: tuple[ModulesLine, ...] = ()
    environment: tuple[EnvironmentLine, ...] = ()
    display: tuple[DisplayLine, ...] = ()
    processes: tuple[ProcessesLine, ...] = ()


class RefusedFilesLine(Table, frozen=True, kw_only=True):
    """Paths that no tier and no policy below can open."""

    path: Annotated[str, Meta(min_length=1, description="As in a grant; globs allowed.")]
    reason: Reason
    mode: Annotated[
        RefusedMode,
        Meta(description="`read`: nothing at all is possible; `write`: no change is possible."),
    ] = "read"


class Refuse(Table, frozen=True, kw_only=True):
    """What nobody gets, whatever another line or another policy says."""

    files: tuple[RefusedFilesLine, ...] = ()
    sockets: tuple[SocketsLine, ...] = ()
    modules: tuple[ModulesLine, ...] = ()
    environment: tuple[EnvironmentLine, ...] = ()
    display: tuple[DisplayLine, ...] = ()
    processes: tuple[ProcessesLine, ...] = ()


class Display(Table, frozen=True, kw_only=True):
    """How output is shown without anybody asking."""

    html: Annotated[
        Html,
        Meta(
            description="`sanitise`: harmless HTML only; `frame`: in a frame of null origin; "
            "`raw`: as the cell made it, with the person's login."
        ),
    ] = "sanitise"
    javascript: Annotated[
        JavaScript, Meta(description="`drop`, `frame` (null origin) or `raw`.")
    ] = "drop"
    widgets: Annotated[
        Widgets, Meta(description="`off`; `core`: ipywidgets' own; `any`: those with code too.")
    ] = "core"


class Processes(Table, frozen=True, kw_only=True):
    """Child processes without anybody asking."""

    spawn: Annotated[
        bool, Meta(description="true: fork and exec inside the same walls, counted.")
    ] = False


class LimitSet(Table, frozen=True, kw_only=True):
    """Limits by name; each takes `unlimited`. Absent: that of the policy below."""

    wall_time: Annotated[Duration | None, Meta(description="Time that a cell may take.")] = None
    cpu_time: Annotated[
        Duration | None, Meta(description="Processor time, all threads and children together.")
    ] = None
    memory: Annotated[
        Size | None, Meta(description="Memory of the worker and its dormant copy together.")
    ] = None
    output: Annotated[Size | None, Meta(description="Bytes that a cell may put out.")] = None
    messages: Annotated[Count | None, Meta(description="Output messages that a cell may send.")] = (
        None
    )
    displays: Annotated[Count | None, Meta(description="Display ids that may be open.")] = None
    scratch: Annotated[Size | None, Meta(description="Size of the private scratch folder.")] = None
    created_files: Annotated[
        Count | None, Meta(description="New files, in the scratch and in grants together.")
    ] = None
    written: Annotated[Size | None, Meta(description="Bytes written to grants.")] = None
    read: Annotated[
        Size | None, Meta(description="Bytes read from grants; sampled, so not exact.")
    ] = None
    connections: Annotated[Count | None, Meta(description="Connections open at once.")] = None
    threads: Annotated[Count | None, Meta(description="Threads at once.")] = None
    processes: Annotated[
        Count | None, Meta(description="Child processes at once, where `spawn` allows any.")
    ] = None
    open_files: Annotated[Count | None, Meta(description="Open descriptors at once.")] = None
    cpus: Annotated[
        Count | None, Meta(description="Processors: affinity and BLAS and OpenMP threads.")
    ] = None
    grace: Annotated[
        Duration | None,
        Meta(description="Time from the interrupt to the kill, for a cell that ignores it."),
    ] = None


class PersonLimits(Table, frozen=True, kw_only=True):
    """What all kernels of one person on a machine may use together; nothing raises these."""

    kernels: Annotated[Count | None, Meta(description="Kernels that run at once.")] = None
    memory: Annotated[
        Size | None, Meta(description="Memory of all workers and their dormant copies.")
    ] = None
    threads: Annotated[Count | None, Meta(description="Threads at once.")] = None
    processes: Annotated[
        Count | None, Meta(description="Child processes at once, where `spawn` allows any.")
    ] = None
    cpus: Annotated[
        Count | None, Meta(description="Processors on which all of their workers run.")
    ] = None


class Limits(LimitSet, frozen=True, kw_only=True):
    """Limits of a cell; `max` is what a request may raise them to, `session` are totals.

    `person` holds for all kernels of a person together.
    """

    yields_after: Annotated[
        Duration | None,
        Meta(
            description="Processor time after which a cell lets everybody else on the machine go "
            "first until it ends."
        ),
    ] = None
    max: LimitSet = LimitSet()
    session: LimitSet = LimitSet()
    person: PersonLimits = PersonLimits()


class Questions(Table, frozen=True, kw_only=True):
    """Questions put to a person."""

    timeout: Annotated[Duration | None, Meta(description="No answer for so long counts as no.")] = (
        None
    )
    remember: Annotated[
        Duration | None,
        Meta(
            description="How long `always for this notebook` is kept; `0 s`: that answer is not "
            "offered."
        ),
    ] = None


class Snapshots(Table, frozen=True, kw_only=True):
    """Dormant copies of the worker that bring variables back after a crash."""

    mode: Annotated[
        SnapshotMode | None,
        Meta(description="`off`; `adaptive`: where they cost little; `always`: whenever possible."),
    ] = None
    budget: Annotated[
        Duration | None,
        Meta(description="Most extra time a cell may take because of them, when `adaptive`."),
    ] = None


class Issuer(Table, frozen=True, kw_only=True):
    """Somebody whose signed tickets count as a person's yes."""

    key: Annotated[
        str, Meta(min_length=1, description="Public key, `ed25519/…` as `ticket new` prints it.")
    ]
    reason: Reason
    name: Annotated[str, Meta(description="Who it is, for messages.")] = ""


class Tickets(Table, frozen=True, kw_only=True):
    """Signed tickets that a notebook may carry."""

    issuers: tuple[Issuer, ...] = ()


class PolicyFile(Table, frozen=True, kw_only=True):
    """A whole policy file."""

    version: Annotated[Literal[1], Meta(description="Version of this format.")]
    extends: Annotated[
        str | None, Meta(description="Name of the policy below: its lines hold here too.")
    ] = None
    description: Annotated[str, Meta(description="One sentence for people who choose.")] = ""
    language: Annotated[
        Language | None,
        Meta(
            description="`restricted`: the dialect and the walls; `full`: the walls alone, and "
            "the module list is not enforced."
        ),
    ] = None
    isolation: Annotated[
        Isolation | None, Meta(description="The least level of the walls that is accepted.")
    ] = None
    background: Annotated[
        Background | None,
        Meta(
            description="What a cell leaves running (threads, tasks, timers): `kept`: it goes on; "
            "`ended`: it ends with the cell, and the variables stay."
        ),
    ] = None
    own_policies: Annotated[
        bool | None,
        Meta(
            description="In a system policy, `false`: policies count only where root alone could "
            "have put them, so nobody has one of their own."
        ),
    ] = None
    notebook_policies: Annotated[
        tuple[str, ...],
        Meta(description="Policies that a notebook's metadata may name in place of this one."),
    ] = ()
    preload: Annotated[
        tuple[str, ...], Meta(description="Modules that the zygote imports ahead of time.")
    ] = ()
    given: Tier = Tier()
    on_request: Tier = Tier()
    ask: Tier = Tier()
    refuse: Refuse = Refuse()
    display: Display = Display()
    processes: Processes = Processes()
    limits: Limits = Limits()
    questions: Questions = Questions()
    snapshots: Snapshots = Snapshots()
    tickets: Tickets = Tickets()


class RequestedFile(Table, frozen=True, kw_only=True):
    """A file or directory in a notebook's metadata, a cell's, or a control argument."""

    path: Annotated[str, Meta(min_length=1)]
    mode: Mode = "read"
    deny: tuple[str, ...] = ()
    max_bytes: Size | None = None
    max_count: Natural | None = None
    expires: str | None = None
    reason: Annotated[str, Meta(description="Why, for the person who is asked.")] = ""


class RequestedSocket(Table, frozen=True, kw_only=True):
    """A socket in metadata or a control argument: one of `connect`, `listen`, `udp`."""

    connect: str | None = None
    listen: str | None = None
    udp: str | None = None
    private: bool = False
    max_bytes: Size | None = None
    expires: str | None = None
    reason: Annotated[str, Meta(description="Why, for the person who is asked.")] = ""


class RequestedDisplay(Table, frozen=True, kw_only=True):
    """Looser display in metadata or a control argument."""

    html: Html | None = None
    javascript: JavaScript | None = None
    widgets: Widgets | None = None
    reason: Annotated[str, Meta(description="Why, for the person who is asked.")] = ""


class RequestedProcesses(Table, frozen=True, kw_only=True):
    """Child processes in metadata or a control argument."""

    spawn: bool = False
    reason: Annotated[str, Meta(description="Why, for the person who is asked.")] = ""


class RequestTable(Table, frozen=True, kw_only=True):
    """`metadata.sandbox` of a notebook or a cell, and the arguments of `grant` and `revoke`.

    None means that the key is absent; an empty list means nothing.
    """

    policy: Annotated[
        str | None, Meta(description="Name of the policy to use, where the policy lets it.")
    ] = None
    files: tuple[RequestedFile, ...] | None = None
    sockets: tuple[RequestedSocket, ...] | None = None
    modules: Annotated[tuple[str, ...] | None, Meta(description="Dotted names of modules.")] = None
    environment: Annotated[tuple[str, ...] | None, Meta(description="Names of variables.")] = None
    display: tuple[RequestedDisplay, ...] | None = None
    processes: tuple[RequestedProcesses, ...] | None = None
    limits: LimitSet | None = None
    tickets: Annotated[tuple[str, ...], Meta(description="Signed tickets, as text.")] = ()
