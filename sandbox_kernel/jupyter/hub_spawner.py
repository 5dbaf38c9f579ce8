"""A spawner for a hub on one machine: servers as processes of their users, each person bounded.

    c.JupyterHub.spawner_class = "sandbox_kernel.jupyter.hub_spawner.BoundedProcessSpawner"

JupyterHub's own `LocalProcessSpawner` with two things more, done by root before the server becomes
its user's:

- the server starts in a control group with the numbers of `[limits.person]` of the person's policy
  (`person_group.py`), so that they hold for everything that the person starts;
- it and its kernels have short turns of the processor, which a cell that computes for long loses
  (`yields_after` in the policy), so that it slows nobody's short cells. Where the hub may, such a
  cell even goes behind everybody else's: to come back, Linux wants RLIMIT_NICE (sched(7)).

With systemd its own spawner bounds a person: docs/hub.md.
"""

from __future__ import annotations

import os
import pwd
import resource
from collections.abc import Callable
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.traitlets import ByteSpecification
from traitlets import Integer

from ..policy.bounds import person_limits
from ..trusted.limits._sys_turns import short_turns
from ..trusted.options import LaunchOptions
from ..trusted.policy_files import load_policies
from .hub import POLICY_VARIABLE
from .person_group import Overhead, PersonGroup, values

#: 20 - n allows the priority n: 0, the ordinary one (getrlimit(2)).
_ORDINARY = 20
_CAP_SYS_RESOURCE = 24


def may_set_nice() -> bool:
    """Whether this process may let a child return to the ordinary priority (capabilities(7))."""
    if resource.getrlimit(resource.RLIMIT_NICE)[1] >= _ORDINARY:
        return True
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        line = next(line for line in file if line.startswith("CapEff:"))
    return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)


class BoundedProcessSpawner(LocalProcessSpawner):
    """Starts a user's server as that user, in a control group of that user's."""

    server_memory = ByteSpecification(
        "1G", config=True, help="Memory of a server itself, beside its kernels."
    )
    server_tasks = Integer(
        200, config=True, help="Processes and threads of a server itself, beside its kernels."
    )

    async def start(self) -> tuple[str, int]:
        """Called by JupyterHub, after the hook that has chosen the policy.

        Raises BadPolicy: without a policy that can be read there are no numbers to hold.
        """
        user = pwd.getpwnam(self.user.name).pw_uid
        files = load_policies(LaunchOptions(policy=self.environment.get(POLICY_VARIABLE)))
        limits = person_limits(files.chosen, files.system)
        overhead = Overhead(int(self.server_memory), int(self.server_tasks))
        self._group = PersonGroup(f"sandbox-person-{user}")
        self._group.build(values(limits, overhead, user, os.sched_getaffinity(0)))
        self.log.info("%s: %s", self.user.name, self._group.words)
        self._may_come_back = may_set_nice()
        if not self._may_come_back:
            self.log.warning(
                "the hub may not raise RLIMIT_NICE (it lacks CAP_SYS_RESOURCE): cells that compute "
                "for long lose their short turns, and do not go behind everybody else's"
            )
        started: tuple[str, int] = await super().start()
        return started

    async def stop(self, now: bool = False) -> None:
        """Called by JupyterHub."""
        await super().stop(now=now)
        group = getattr(self, "_group", None)  # None for a server of an earlier life of the hub.
        if group is not None:
            group.remove()

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """What the server's process does before it runs the server, first as root."""
        become: Callable[[], Any] = super().make_preexec_fn(name)
        group, nice = self._group, self._may_come_back

        def bound() -> None:
            group.enter(os.getpid())
            short_turns()
            if nice:
                resource.setrlimit(resource.RLIMIT_NICE, (_ORDINARY, _ORDINARY))
            become()

        return bound
