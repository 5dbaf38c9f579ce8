"""Live sealed workers that run attacks, and the judgement of what came of them."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox_kernel.trusted.confine.environment import scrub
from sandbox_kernel.trusted.confine.launch import Generation, Warden
from sandbox_kernel.trusted.confine.plan import Level
from sandbox_kernel.trusted.confine.spec import DEFAULT_RLIMITS, WorkerSpec
from sandbox_kernel.trusted.doors import Doors
from sandbox_kernel.trusted.options import LaunchOptions
from sandbox_kernel.trusted.session_start import session_rights

from .outside import Outside

INSIDE = str(Path(__file__).parent / "inside")
TOKENS = {
    "JUPYTERHUB_API_TOKEN": "t",
    "JPY_API_TOKEN": "t",
    "AWS_SECRET_ACCESS_KEY": "t",
    "HTTPS_PROXY": "http://user:password@proxy:3128",
}
#: Seconds for one attack; the longest is a race of 1.5 seconds.
PATIENCE = 30.0


@dataclass(frozen=True)
class Result:
    """`through`: the attack got what it wanted; `how` what was seen; `absent`: cannot be tried."""

    through: bool
    how: str
    absent: bool = False


def spec_for(level: Level, outside: Outside, *, apart: bool = False) -> WorkerSpec:
    """A worker of the attacks."""
    environment = {**os.environ, **TOKENS}
    if level is not Level.LANGUAGE_ONLY:
        environment = dict(scrub(environment, TOKENS).environment)
    arguments = ("apart",) if apart else ()
    return WorkerSpec(
        working_directory=str(outside.base / "notebook"),
        environment=environment,
        read_roots=(INSIDE, str(outside.root)),
        forced_level=level,
        rlimits={} if level is Level.LANGUAGE_ONLY else DEFAULT_RLIMITS,
        entry=(f"{INSIDE}/run.py", *arguments),
    )


def script(path: str, *arguments: str) -> str:
    """A program that runs a script of `inside`; `-P` keeps its folder off the module path."""
    return (
        f"import sys, runpy; sys.path.insert(0, {INSIDE!r});"
        f" sys.argv[1:1] = {list(arguments)!r};"
        f" runpy.run_path({path!r}, run_name='__main__')"
    )


async def drain(fd: int) -> str:
    """Read a pipe to its end, so that the worker never waits for us."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(fd), "rb")
    )
    try:
        return (await reader.read()).decode(errors="replace")
    finally:
        transport.close()


class Attacker:
    """Starts workers at one level and lets them attack, one attack after the other."""

    def __init__(self, level: Level, outside: Outside, *, doors: bool = False) -> None:
        """`doors`: behind a kernel's own doors, with a policy that grants nothing."""
        self.outside = outside
        self._with_doors = doors
        self._doors: Doors | None = None
        self.spec = spec_for(level, outside, apart=level is Level.LANGUAGE_ONLY)
        program = script(self.spec.entry[0], *self.spec.entry[1:])
        self.spec = replace(self.spec, entry=("-c", program))
        self.warden = Warden.start(self.spec)
        self.worker: Generation | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def _fresh(self) -> None:
        if self._with_doors:
            self._doors = Doors(self.warden)
            self.worker = self.warden.launch(self._doors.door_factory)
            await self.worker.sealed()
            options = LaunchOptions(
                policy="locked-down", notebook=str(self.outside.base / "notebook" / "n.ipynb")
            )
            self._doors.open_for(self.worker, session_rights(options).rights)
        else:
            self.worker = self.warden.launch()
            await self.worker.sealed()
        self._reader, self._writer = await asyncio.open_connection(sock=self.worker.channel)
        self._writer.write(json.dumps(self.outside.target()).encode() + b"\n")

    async def attack(self, name: str, witness: str, *, fresh: bool = False) -> Result:
        """Run one attack and look at its witness."""
        if fresh:
            await self._drop()
        if self.worker is None:
            await self._fresh()
        assert self._reader is not None
        assert self._writer is not None
        async with asyncio.timeout(PATIENCE):
            self._writer.write(name.encode() + b"\n")
            line = await self._reader.readline()
        if not line:
            answer = {"stopped": "the worker was killed"}
            await self._drop()
        else:
            answer = json.loads(line)
        if "broken" in answer:
            # Neither a success nor an honest failure: the test of either kind fails.
            return Result(level_of(self.spec) is not Level.LANGUAGE_ONLY, answer["broken"])
        if "absent" in answer:
            return Result(False, answer["absent"], absent=True)
        how = answer.get("stopped") or f"got {answer['got']!r}"
        through = "got" in answer
        if witness:
            through = self.outside.saw(witness, answer.get("got", ""))
        return Result(through, how)

    async def _drop(self) -> None:
        if self.worker is not None:
            assert self._writer is not None
            self._writer.close()
            self.worker.close()
            self.worker = None
        if self._doors is not None:
            self._doors.close()
            self._doors = None

    async def close(self) -> None:
        """End the worker and its warden."""
        await self._drop()
        self.warden.close()


def level_of(spec: WorkerSpec) -> Level:
    """The level that a spec of these tests forces."""
    assert spec.forced_level is not None
    return spec.forced_level


async def second_kernel(outside: Outside, level: Level) -> tuple[Warden, Generation]:
    """Another person's kernel of the same user, with a note in its scratch."""
    note = (
        "import os; from sandbox_kernel.sandboxed.seal import seal; seal(4);"
        "open(os.environ['HOME'] + '/note', 'w').write('private'); os.read(3, 1)"
    )
    notebook = tempfile.mkdtemp(dir=outside.base)
    warden = Warden.start(
        WorkerSpec(working_directory=notebook, forced_level=level, entry=("-c", note))
    )
    worker = warden.launch()
    await worker.sealed()
    outside.other_scratch = worker.scratch
    return warden, worker


async def run_all(
    level: Level,
    attacks: Iterable[tuple[str, str, bool]],
    outside: Outside,
    *,
    doors: bool = False,
) -> dict[str, Result]:
    """All attacks (name, witness, fresh) at one level, beside a second kernel of that level."""
    warden, neighbour = await second_kernel(outside, level)
    attacker = Attacker(level, outside, doors=doors)
    try:
        return {
            name: await attacker.attack(name, witness, fresh=fresh)
            for name, witness, fresh in attacks
        }
    finally:
        await attacker.close()
        neighbour.close()
        warden.close()
