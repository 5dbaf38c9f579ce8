"""JupyterHub: which policy a user's kernels run under, by the user's groups, and no other kernel.

In `jupyterhub_config.py`:

    from sandbox_kernel.jupyter.hub import policy_by_group
    c.Spawner.pre_spawn_hook = policy_by_group(
        {"teacher": "data-science", "student": "classroom"}, otherwise="locked-down"
    )

The name goes to the user's server in its environment, and the provisioner there passes it on to
each kernel. Whoever can change the environment of a server of their own chooses another policy;
no choice goes beyond the root-owned system policy, which bounds them all: docs/hub.md.

In the servers' own configuration:

    c.ServerApp.kernel_spec_manager_class = "sandbox_kernel.jupyter.hub.SandboxedOnly"
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

KERNEL_NAME = "sandbox-python"
#: In the environment of a user's server: the name of the policy that its kernels run under.
POLICY_VARIABLE = "SANDBOX_KERNEL_POLICY"


def policy_for(groups: Iterable[str], policies: Mapping[str, str], otherwise: str) -> str:
    """The policy of a user in `groups`: of the first group of `policies` that they are in."""
    own = set(groups)
    return next((policy for group, policy in policies.items() if group in own), otherwise)


def policy_by_group(
    policies: Mapping[str, str], otherwise: str = "locked-down"
) -> Callable[[Any], None]:
    """A hook that sets the policy of each server that starts.

    `policies` maps names of groups to names of policies; where a user is in several groups, the
    first in the mapping decides, and `otherwise` holds where they are in none.
    """

    def hook(spawner: Any) -> None:
        """Called by JupyterHub as `Spawner.pre_spawn_hook`, before each start of a server."""
        groups = [group.name for group in spawner.user.groups]
        name = policy_for(groups, policies, otherwise)
        # A new dictionary: the one that is there may be shared by all spawners.
        spawner.environment = {**spawner.environment, POLICY_VARIABLE: name}

    return hook


def short_turns_for_the_hub() -> None:
    """Give this process and all that it will start short turns of the processor.

    For the first lines of `jupyterhub_config.py`: hub and proxy stand between every person and
    every kernel, and should not wait for a cell that computes. Needs no right. Raises OSError.
    """
    from sandbox_kernel.trusted.limits._sys_turns import short_turns

    short_turns()


class SandboxedOnly(KernelSpecManager):
    """Knows the sandboxed kernel of the server's own environment, and no file says otherwise.

    Jupyter's `allowed_kernelspecs` only shortens the list that is shown: a request that names
    another kernel starts it all the same.
    """

    def find_kernel_specs(self) -> dict[str, str]:
        """Names and folders of the kernels; the folder has the icons. Called for the list."""
        folder = Path(sys.prefix, "share", "jupyter", "kernels", KERNEL_NAME)
        return {KERNEL_NAME: str(folder)}

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The spec. Called by the kernel manager for every start.

        Raises NoSuchKernel for every other name.
        """
        if kernel_name != KERNEL_NAME:
            raise NoSuchKernel(kernel_name)
        return KernelSpec(
            argv=[sys.executable, "-P", "-m", "sandbox_kernel", "-f", "{connection_file}"],
            name=KERNEL_NAME,
            display_name="Sandboxed Python",
            language="python",
            interrupt_mode="message",
            resource_dir=self.find_kernel_specs()[KERNEL_NAME],
            metadata={
                "debugger": False,
                "kernel_provisioner": {"provisioner_name": "sandbox-provisioner"},
            },
        )
