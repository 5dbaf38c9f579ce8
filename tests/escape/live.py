"""The attacks as cells of a live kernel, started and asked as Jupyter does it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from tests.features.kernel.conftest import Kernel, started

from .outside import Outside
from .workers import INSIDE, TOKENS, Result

#: In the order in which they import each other.
MODULES = (
    *("_sys_raw", "attack", "attack_files", "attack_kernel", "attack_network"),
    *("attack_processes", "outcomes"),
)
#: Nothing is granted but one folder for reading: what is inside must stay as it is.
POLICY = """
version = 1
extends = "default"
language = "full"
[[given.files]]
path = "{root}"
mode = "read"
reason = "what a course hands out"
[limits]
memory = "1 GB"
"""
LOAD = """
import json, sys, types
for name, source in json.loads({sources!r}).items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
from attack import ATTACKS, Target
import outcomes
"""
#: What a server has in its environment; the attacks on a process look for `OUTSIDE`.
ENVIRONMENT = {**TOKENS, "OUTSIDE": "secret"}
ATTACK = "print(json.dumps(outcomes.{run}({name!r}, Target(**{target!r}))))"
DEADLINE = 60.0


class LiveKernel:
    """A kernel whose cells attack; in ipykernel each attack runs in a child process."""

    def __init__(self, kernel: Kernel, outside: Outside, level: str) -> None:
        """`level`: of the walls, or `plain` for ipykernel."""
        self.kernel = kernel
        self.outside = outside
        self.level = level
        self._run = "apart" if level == "plain" else "outcome"
        self._loaded = False
        self.target: dict[str, Any] = {
            **outside.target(),
            "connection_file": kernel.manager.connection_file,
        }

    def attack(self, name: str, witness: str = "", **changes: Any) -> Result:
        """Run one attack and look at its witness; `changes` are other fields of the target."""
        if not self._loaded:
            self._load()
        target = {**self.target, **changes}
        ran = self.kernel.run(ATTACK.format(run=self._run, name=name, target=target))
        if ran.status != "ok":
            # A killed worker may come back without what was loaded into it.
            self._loaded = False
            answer = {"stopped": ran.error}
        else:
            answer = json.loads(ran.text())
        if "broken" in answer:
            # Neither a success nor an honest failure: the test of either kind fails.
            return Result(self._run == "outcome", answer["broken"])
        if "absent" in answer:
            return Result(False, answer["absent"], absent=True)
        through = "got" in answer
        if witness:
            through = self.outside.saw(witness, answer.get("got", ""))
        return Result(through, answer.get("stopped") or f"got {answer['got']!r}")

    def _load(self) -> None:
        sources = {name: Path(INSIDE, f"{name}.py").read_text() for name in MODULES}
        loaded = self.kernel.run(LOAD.format(sources=json.dumps(sources)))
        assert loaded.status == "ok", loaded.error
        self._loaded = True

    def close(self) -> None:
        """End the kernel."""
        self.kernel.client.stop_channels()
        self.kernel.manager.shutdown_kernel(now=True)


def sandboxed(folder: Path, outside: Outside, level: str) -> LiveKernel:
    """This kernel at a level, started by a server that has tokens in its environment."""
    policy = POLICY.format(root=outside.root)
    kernel = started(folder, level=level, policy=policy, environment=ENVIRONMENT)
    return LiveKernel(kernel, outside, level)


def plain(folder: Path, outside: Outside) -> LiveKernel:
    """ipykernel, started by the same server."""
    manager = KernelManager(kernel_name="python3")
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, **ENVIRONMENT, "TMPDIR": str(folder / "tmp")}
    manager.start_kernel(cwd=str(folder), env=environment)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=DEADLINE)
    return LiveKernel(Kernel(manager, client, folder), outside, "plain")


def note_in_scratch(kernel: Kernel) -> str:
    """Leave a note in a kernel's scratch; the scratch's path as the kernel sees it."""
    ran = kernel.run(
        "import os\nhome = os.environ['HOME']\n"
        "open(home + '/note', 'w').write('private')\nprint(os.path.dirname(home))"
    )
    assert ran.status == "ok", ran.error
    return ran.text().strip()
