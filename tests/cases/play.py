"""One case from its first fixture to its last check."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cases.clients import observed_in, run_nbclient, run_papermill, same_sandbox_metadata
from tests.cases.expectations import check_cell, check_reply
from tests.cases.kernels import Exchange, Kernel, KernelFault
from tests.cases.model import FIRST_KERNEL, Case, Step, parse_case
from tests.cases.overlay import dump_toml, overlay
from tests.cases.placeholders import fill, kernel_names
from tests.cases.questions import Questions
from tests.cases.witnesses import Witnesses
from tests.cases.world import (
    KERNEL_NAME,
    Snapshot,
    cell_id,
    cell_metadata,
    check_paths,
    inside,
    lay_down,
    notebook_document,
    notebook_path,
    write_notebook,
)

CHECKOUT = Path(__file__).resolve().parents[2]
HOST_STEP = 60.0  # seconds for the Python of a ``host`` step
PLAIN = "plain"
SANDBOX = "sandbox"
EVENT_KEYS = frozenset({"kind", "event", "decision", "outcome", "type"})


@dataclass(frozen=True)
class Options:
    """How the runner was called: the kind of kernel, the forced level, the shipped policies."""

    kernel: str = SANDBOX
    level: str | None = None
    policies: Path = CHECKOUT / "policies"


@dataclass
class Play:
    """The state of one case while it is played in `root`, a fresh folder."""

    case: Case
    options: Options
    root: Path
    witnesses: Witnesses
    names: Mapping[str, str]
    reasons: list[str] = field(default_factory=list)
    kernels: dict[str, Kernel] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    pending: list[tuple[str, Step, Exchange]] = field(default_factory=list)
    interrupts: list[float] = field(default_factory=list)
    questions: Questions = field(default_factory=Questions)
    snapshot: Snapshot | None = None
    client_stdout: str = ""

    @property
    def world(self) -> Path:
        """Root of the world."""
        return self.root / "world"

    @property
    def desk(self) -> Path:
        """The runner's own folder: policy, kernelspecs, logs; no part of the world."""
        return self.root / "runner"

    # -- getting ready ---------------------------------------------------------------------

    def notebook_of(self, kernel: str) -> Path:
        """The kernel's own notebook file."""
        return inside(self.world, notebook_path(self.case.notebook, kernel))

    def prepare(self, kernel: str) -> Kernel:
        """Write the notebook and the kernelspec of one kernel, not started yet."""
        notebook = self.notebook_of(kernel)
        document = notebook_document(self.case.steps, self.case.metadata)
        write_notebook(notebook, document)
        folder = self.desk / f"jupyter-{kernel}" / "kernels"
        write_kernelspec(folder, self._argv(kernel, notebook))
        log = self.desk / f"kernel-{kernel}.log"
        tcp = "${KERNEL.ports}" in repr(self.case)
        return Kernel(folder, KERNEL_NAME, notebook.parent, log, tcp=tcp)

    def _argv(self, kernel: str, notebook: Path) -> list[str]:
        start = [sys.executable, "-P", "-m"]
        if self.options.kernel == PLAIN:
            return [*start, "ipykernel_launcher", "-f", "{connection_file}"]
        config = self.desk / f"launch-{kernel}.json"
        config.write_text(
            json.dumps(
                {
                    "level": self.options.level,
                    "policies": [["admin", str(self._policy_file())]],
                    "notebook": str(notebook),
                    "resolver": self.case.resolver,
                    "dns": self.witnesses.dns,
                    "data": str(self.desk / "data"),
                }
            ),
            encoding="utf-8",
        )
        return [*start, "tests.cases.launch", str(config), "-f", "{connection_file}"]

    def _policy_file(self) -> Path:
        path = self.desk / f"{self.case.id}.toml"
        if not path.exists():
            policy = overlay(self.case.policy, self.options.policies)
            path.write_text(dump_toml(policy), encoding="utf-8")
        return path

    def _before_first_cell(self) -> None:
        if self.snapshot is None:
            self.snapshot = Snapshot.take(self.world, self.case.after.get("unchanged", ()))

    async def kernel(self, name: str) -> Kernel:
        """The kernel of that name, started when it does not run yet."""
        if name not in self.kernels:
            kernel = self.prepare(name)
            kernel.asked = self.questions.answer
            self._before_first_cell()
            self.kernels[name] = kernel
            await kernel.start()
        return self.kernels[name]

    # -- the steps -------------------------------------------------------------------------

    async def steps(self) -> None:
        """Play all steps, then collect the replies that nobody waited for."""
        if self.case.client is not None:
            await self._client_steps(self.case.client)
            return
        for number, step in enumerate(self.case.steps, 1):
            where = f"step {number}"
            try:
                await getattr(self, f"_{step.kind}")(where, step)
            except KernelFault as fault:
                raise KernelFault(f"{where}: {fault}") from fault
        for where, step, exchange in self.pending:
            try:
                await self._finish_cell(where, step, exchange)
            except KernelFault as fault:
                raise KernelFault(f"{where}: {fault}") from fault

    async def _cell(self, where: str, step: Step) -> None:
        kernel = await self.kernel(step.kernel)
        source = self._late(kernel, step.value)
        earlier = self.sources.setdefault(step.kernel, [])
        exchange = kernel.execute(
            source,
            metadata=cell_metadata(step),
            allow_stdin=self.case.allows_stdin,
            sources=tuple(earlier),
        )
        earlier.append(source)
        while self.interrupts:
            kernel.interrupt_after(exchange, self.interrupts.pop())
        if step.options.get("wait", True):
            await self._finish_cell(where, step, exchange)
        else:
            self.pending.append((where, step, exchange))

    async def _finish_cell(self, where: str, step: Step, exchange: Exchange) -> None:
        kernel = self.kernels[step.kernel]
        within = step.expect.get("within_s")
        await kernel.reply(exchange, within)
        await kernel.idle(exchange)
        expect = self._late(kernel, step.expect)
        self._add(where, check_cell(expect, exchange.seen) + self.questions.take_unexpected())

    async def _control(self, where: str, step: Step) -> None:
        kernel = await self.kernel(step.kernel)
        content = self._late(kernel, step.value)
        exchange = kernel.send("sandbox_request", content, channel="control")
        await self._finish_request(where, step, kernel, exchange)

    async def _request(self, where: str, step: Step) -> None:
        kernel = await self.kernel(step.kernel)
        request = self._late(kernel, step.value)
        content = dict(request["content"])
        if content.get("cursor_pos") == -1:
            content["cursor_pos"] = len(content.get("code", ""))
        channel = step.options.get("channel", "shell")
        exchange = kernel.send(request["type"], content, channel=channel)
        await self._finish_request(where, step, kernel, exchange)

    async def _finish_request(
        self, where: str, step: Step, kernel: Kernel, exchange: Exchange
    ) -> None:
        await kernel.reply(exchange, step.expect.get("within_s"))
        self._add(where, check_reply(self._late(kernel, step.expect), exchange.seen))

    async def _answer(self, where: str, step: Step) -> None:
        self.questions.answers.append(step.value)

    async def _stdin(self, where: str, step: Step) -> None:
        self.questions.inputs.append(step.value)

    async def _interrupt_after(self, where: str, step: Step) -> None:
        self.interrupts.append(float(step.value))

    async def _restart(self, where: str, step: Step) -> None:
        kernel = await self.kernel(step.kernel)
        await kernel.restart()
        self.sources.pop(step.kernel, None)

    async def _comm(self, where: str, step: Step) -> None:
        kernel = await self.kernel(step.kernel)
        comm = kernel.comm_models.get(step.value["model"])
        if comm is None:
            opened = sorted(kernel.comm_models)
            self._add(where, [f"no comm of a {step.value['model']} was opened, only {opened}"])
            return
        content = {"comm_id": comm, "data": self._late(kernel, step.value["data"])}
        await kernel.idle(kernel.send("comm_msg", content))

    async def _host(self, where: str, step: Step) -> None:
        first = self.kernels.get(FIRST_KERNEL)
        source = self._late(first, step.value) if first else step.value
        try:
            async with asyncio.timeout(HOST_STEP):
                await asyncio.to_thread(run_on_host, source)
        except TimeoutError:
            self._add(where, [f"the host step did not end in {HOST_STEP:.0f} s"])
        except Exception as error:
            said = "".join(traceback.format_exception_only(error)).strip()
            self._add(where, [f"on the host: {said}"])

    def _late(self, kernel: Kernel, value: Any) -> Any:
        """Replace what is known only once a kernel runs."""
        if "${KERNEL." not in json.dumps(value):
            return value
        return fill(value, kernel_names(kernel.ports, kernel.connection_file))

    # -- cells run by nbclient or papermill ------------------------------------------------

    async def _client_steps(self, client: Step) -> None:
        steps = list(enumerate(self.case.steps, 1))
        position = self.case.steps.index(client)
        for number, step in steps[:position]:
            await self._host(f"step {number}", step)
        document = notebook_document(self.case.steps, self.case.metadata)
        if client.value == "nbclient":
            kernel = await self.kernel(FIRST_KERNEL)
            filled = self._late(kernel, document)
            path = self.notebook_of(FIRST_KERNEL)
            allow_errors = bool(client.options.get("allow_errors"))
            notebook = await run_nbclient(kernel, path, filled, allow_errors)
        else:
            self.prepare(FIRST_KERNEL)
            self._before_first_cell()
            os.environ["JUPYTER_PATH"] = str(self.desk / f"jupyter-{FIRST_KERNEL}")
            output = self.desk / "papermill.ipynb"
            parameters = client.options.get("parameters", {})
            notebook = await run_papermill(self.notebook_of(FIRST_KERNEL), output, parameters)
            self._add("papermill", same_sandbox_metadata(document, notebook))
        sources: list[str] = []
        for number, step in steps[position + 1 :]:
            if step.kind == "host":
                await self._host(f"step {number}", step)
                continue
            sources.append(step.value)
            seen = observed_in(notebook, cell_id(number), tuple(sources))
            self.client_stdout += seen.stdout
            self._add(f"step {number}", check_cell(step.expect, seen))

    # -- what must hold in the end ---------------------------------------------------------

    async def after_in_kernel(self) -> None:
        """Check what needs the kernels alive."""
        after = self.case.after
        first = self.kernels.get(FIRST_KERNEL)
        for name, value in after.get("vars_kept", {}).items():
            shown = await self._further_cell(first, f"print(repr({name}))")
            if shown != f"{value}\n":
                self._add("vars_kept", [f"{name} is {shown!r}, not {value!r}"])
        if after.get("events"):
            await self._check_events(first, after["events"])
        if after.get("alive"):
            shown = await self._further_cell(first, "print('still ' + 'here')")
            if shown != "still here\n":
                self._add("alive", [f"a further cell gave {shown!r}"])
        stdout = "".join(kernel.stdout for kernel in self.kernels.values()) + self.client_stdout
        for part in after.get("stdout_has", ()):
            if part not in stdout:
                self._add("stdout_has", [f"no {part!r} in the stdout of the case"])

    async def _further_cell(self, kernel: Kernel | None, source: str) -> str:
        """Run one more cell; its stdout, or its error in words."""
        if kernel is None:
            return "no kernel"
        exchange = kernel.execute(source)
        await kernel.reply(exchange)
        seen = await kernel.idle(exchange)
        return seen.stdout if seen.status == "ok" else f"{seen.status}: {seen.errors}"

    async def _check_events(self, kernel: Kernel | None, expected: list[str]) -> None:
        shown = event_kinds([each.events for each in self.kernels.values()])
        shown |= event_kinds(self._audit_files())
        if kernel is not None and not shown.issuperset(expected):
            for command in ("status", "audit"):
                content = {"command": command, "arguments": {}}
                seen = kernel.send("sandbox_request", content, channel="control")
                shown |= event_kinds((await kernel.reply(seen)).reply)
        for kind in expected:
            if kind not in shown:
                self._add("events", [f"no {kind} among {sorted(shown)}"])

    def _audit_files(self) -> list[Any]:
        files = sorted((self.desk / "data").rglob("*.jsonl"))
        lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
        return [json.loads(line) for line in lines if line.strip()]

    def after_outside(self) -> None:
        """Check what shows from outside, once the kernels are gone."""
        self._add("after", check_paths(self.world, self.case.after, self.snapshot))
        self._add("after", self.witnesses.check(self.case.after))
        for kernel in self.kernels.values():
            self._add("protocol", kernel.faults)

    def _add(self, where: str, reasons: list[str]) -> None:
        self.reasons += [f"{where}: {reason}" for reason in reasons]


async def play(record: Mapping[str, Any], options: Options, root: Path) -> list[str]:
    """Play one case in the fresh folder `root`; the reasons why it fails, none: it passes."""
    world, desk = root / "world", root / "runner"
    desk.mkdir(parents=True)
    world.mkdir(exist_ok=True)
    # The world must be readable whatever user the worker runs as.
    for folder in (root, world):
        folder.chmod(0o755)
    names = {"WORLD": str(world), "RUNNER.pid": str(os.getpid())}
    with Witnesses() as witnesses:
        for service in fill(record.get("services", []), names):
            witnesses.start(service, world, desk)
        names |= witnesses.placeholder_names()
        case = parse_case(fill(record, names))
        lay_down(world, case.world)
        witnesses.write_certificates(world)
        os.environ.update(case.environ)
        state = Play(case, options, root, witnesses, names)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_stop_all, state)
            try:
                await state.steps()
                await state.after_in_kernel()
            except KernelFault as fault:
                state.reasons.append(str(fault))
        state.after_outside()
        return state.reasons


async def _stop_all(state: Play) -> None:
    for name, kernel in state.kernels.items():
        try:
            await kernel.stop()
        except Exception as error:
            state.reasons.append(f"kernel {name} could not be stopped: {error!r}")


def write_kernelspec(folder: Path, argv: list[str]) -> None:
    """Write the product's kernelspec with another argv.

    The provisioner is left out: it finds the notebook by what a server tells it, and here the
    launcher is told.
    """
    shipped = next(iter(sorted((CHECKOUT / "kernelspec").rglob("kernel.json"))), None)
    spec: dict[str, Any] = json.loads(shipped.read_text("utf-8")) if shipped else {}
    spec.setdefault("metadata", {}).pop("kernel_provisioner", None)
    spec |= {"argv": argv, "display_name": "Sandboxed Python", "language": "python"}
    target = folder / KERNEL_NAME
    target.mkdir(parents=True, exist_ok=True)
    (target / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def run_on_host(source: str) -> None:
    """Run the Python of a ``host`` step in a namespace of its own."""
    exec(compile(source, "<host step>", "exec"), {"__name__": "host"})


def event_kinds(shown: Any) -> set[str]:
    """The kinds named anywhere below, under a key that names a kind."""
    if isinstance(shown, Mapping):
        own = {
            value for key, value in shown.items() if key in EVENT_KEYS and isinstance(value, str)
        }
        return own.union(*(event_kinds(value) for value in shown.values()))
    if isinstance(shown, list | tuple):
        return set().union(*(event_kinds(value) for value in shown))
    return set()
