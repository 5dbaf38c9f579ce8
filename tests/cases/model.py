"""A case, read from one line of a case file and checked against FORMAT.md.

A key that FORMAT.md does not know is an error and never ignored: a misspelt expectation would
otherwise be one that always holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_NOTEBOOK = "nb/case.ipynb"
FIRST_KERNEL = "a"

# A step has exactly one of these keys; the set holds what may stand beside it.
STEP_KEYS: Mapping[str, frozenset[str]] = {
    "cell": frozenset({"metadata", "tags", "kernel", "wait", "expect"}),
    "control": frozenset({"kernel", "expect"}),
    "request": frozenset({"channel", "kernel", "expect"}),
    "answer": frozenset(),
    "stdin": frozenset(),
    "interrupt_after": frozenset(),
    "restart": frozenset({"kernel"}),
    "comm": frozenset({"kernel"}),
    "host": frozenset(),
    "client": frozenset({"allow_errors", "parameters"}),
}
REPLY_EXPECT = frozenset({"reply", "reply_has", "reply_lacks", "within_s"})
CELL_EXPECT = frozenset(
    {"status", "stdout", "stdout_has", "error", "text_has", "text_lacks"}
    | {"mime_has", "mime_lacks", "messages_has", "within_s"}
)
AFTER_KEYS = frozenset(
    {"unchanged", "absent", "present", "no_contact", "contact", "vars_kept", "alive", "events"}
    | {"stdout_has"}
)
ANSWERS = frozenset({"once", "session", "always", "no", "no_to_all"})
CASE_KEYS = frozenset(
    {"id", "group", "class", "source", "what", "policy", "metadata", "notebook", "world"}
    | {"services", "resolver", "environ", "steps", "after", "needs", "note"}
)
WORLD_KINDS = ("text", "hex", "size", "dir", "symlink", "hardlink")
SERVICE_KEYS: Mapping[str, frozenset[str]] = {
    "tcp": frozenset({"host", "port"}),
    "udp": frozenset({"host", "port"}),
    "dns": frozenset({"host", "port"}),
    "http": frozenset({"host", "port", "routes", "tls"}),
    "unix": frozenset({"path"}),
}


class BadCase(ValueError):
    """A line of a case file that FORMAT.md does not allow; the text says which and why."""


@dataclass(frozen=True)
class Step:
    """One step: ``kind`` is its key of `STEP_KEYS`, ``value`` what stands there."""

    kind: str
    value: Any
    options: Mapping[str, Any]

    @property
    def kernel(self) -> str:
        """Name of the kernel that the step talks to."""
        return str(self.options.get("kernel", FIRST_KERNEL))

    @property
    def expect(self) -> Mapping[str, Any]:
        """What the reply must look like; empty: only that it comes."""
        expect: Mapping[str, Any] = self.options.get("expect", {})
        return expect


@dataclass(frozen=True)
class Case:
    """One acceptance case, with FORMAT.md's defaults filled in."""

    id: str
    group: str
    steps: tuple[Step, ...]
    policy: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] | None = None
    notebook: str = DEFAULT_NOTEBOOK
    world: tuple[Mapping[str, Any], ...] = ()
    services: tuple[Mapping[str, Any], ...] = ()
    resolver: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    @property
    def client(self) -> Step | None:
        """The step that hands all cells to nbclient or papermill, if there is one."""
        return next((step for step in self.steps if step.kind == "client"), None)

    @property
    def allows_stdin(self) -> bool:
        """Whether cells may ask: only where the case holds an answer."""
        return any(step.kind in ("answer", "stdin") for step in self.steps)

    @property
    def has_fixed_ports(self) -> bool:
        """Whether it would collide with another case that uses the same port or socket name."""
        if any(isinstance(service.get("port"), int) for service in self.services):
            return True
        if any(str(service.get("path", "")).startswith("@") for service in self.services):
            return True
        tiers = [tier for tier in self.policy.values() if isinstance(tier, Mapping)]
        sockets = [entry for tier in tiers for entry in tier.get("sockets", ())]
        return any(isinstance(entry, Mapping) and "listen" in entry for entry in sockets)


def parse_case(record: Mapping[str, Any]) -> Case:
    """Check one JSON object and return the case. Raises `BadCase`."""
    name = record.get("id")
    if not isinstance(name, str):
        raise BadCase(f"a case without an id: {json.dumps(record)[:80]}")
    _refuse_unknown(name, "case", record, CASE_KEYS)
    for required in ("group", "steps"):
        if required not in record:
            raise BadCase(f"{name}: {required} is missing")
    after = record.get("after", {})
    _refuse_unknown(name, "after", after, AFTER_KEYS)
    steps = tuple(_parse_step(name, number, step) for number, step in enumerate(record["steps"], 1))
    _check_client_position(name, steps)
    for entry in record.get("world", ()):
        _check_world_entry(name, entry)
    for service in record.get("services", ()):
        _check_service(name, service)
    return Case(
        id=name,
        group=record["group"],
        steps=steps,
        policy=record.get("policy", {}),
        metadata=record.get("metadata"),
        notebook=record.get("notebook", DEFAULT_NOTEBOOK),
        world=tuple(record.get("world", ())),
        services=tuple(record.get("services", ())),
        resolver={host: tuple(found) for host, found in record.get("resolver", {}).items()},
        environ=record.get("environ", {}),
        after=after,
        needs=tuple(record.get("needs", ())),
    )


def read_cases(path: Path) -> Iterator[tuple[Case, Mapping[str, Any]]]:
    """Yield every case of a file with the record that it came from. Raises `BadCase`, `OSError`."""
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadCase(f"{path}:{number}: not JSON: {error}") from error
        case = parse_case(record)
        if case.id in seen:
            raise BadCase(f"{path}:{number}: {case.id} is there twice")
        seen.add(case.id)
        yield case, record


def _refuse_unknown(case: str, where: str, found: Any, known: frozenset[str]) -> None:
    if not isinstance(found, Mapping):
        raise BadCase(f"{case}: {where} is not an object")
    unknown = sorted(set(found) - known)
    if unknown:
        raise BadCase(f"{case}: {where} has unknown keys {', '.join(unknown)}")


def _parse_step(case: str, number: int, step: Mapping[str, Any]) -> Step:
    where = f"step {number}"
    kinds = [key for key in step if key in STEP_KEYS]
    if len(kinds) != 1:
        raise BadCase(f"{case}: {where} needs exactly one of {', '.join(STEP_KEYS)}")
    kind = kinds[0]
    _refuse_unknown(case, where, step, STEP_KEYS[kind] | {kind})
    expect = step.get("expect", {})
    known = CELL_EXPECT if kind == "cell" else REPLY_EXPECT
    _refuse_unknown(case, f"expect of {where}", expect, known)
    if kind == "answer" and step[kind] not in ANSWERS:
        raise BadCase(f"{case}: {where}: no such answer as {step[kind]!r}")
    if kind == "client" and step[kind] not in ("nbclient", "papermill"):
        raise BadCase(f"{case}: {where}: no such client as {step[kind]!r}")
    options = {key: value for key, value in step.items() if key != kind}
    return Step(kind, step[kind], options)


def _check_client_position(case: str, steps: tuple[Step, ...]) -> None:
    kinds = [step.kind for step in steps]
    if "client" not in kinds:
        return
    position = kinds.index("client")
    if kinds.count("client") > 1 or any(kind != "host" for kind in kinds[:position]):
        raise BadCase(f"{case}: client must be the first step but for host")
    if any(kind not in ("cell", "host") for kind in kinds[position + 1 :]):
        raise BadCase(f"{case}: under a client only cells and host steps have a meaning")


def _check_world_entry(case: str, entry: Mapping[str, Any]) -> None:
    kinds = [key for key in WORLD_KINDS if key in entry]
    if "path" not in entry or len(kinds) != 1 or len(entry) != 2:
        raise BadCase(f"{case}: world entry needs a path and one of {', '.join(WORLD_KINDS)}")


def _check_service(case: str, service: Mapping[str, Any]) -> None:
    keys = SERVICE_KEYS.get(str(service.get("kind")))
    if keys is None or "name" not in service:
        raise BadCase(f"{case}: a service needs a name and a kind of {', '.join(SERVICE_KEYS)}")
    _refuse_unknown(case, f"service {service['name']}", service, keys | {"name", "kind"})
