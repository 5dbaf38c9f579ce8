"""The kernel provisioner: starts the supervisor and tells it which notebook it is for.

Entry point `sandbox-provisioner` of `jupyter_client.kernel_provisioners`, named by the kernelspec.
It runs in the Jupyter server, or in whatever else starts kernels, with the person's authority.

It starts nothing but the sandboxed kernel, also when it is made the default provisioner
(`JUPYTER_DEFAULT_PROVISIONER_NAME`) and a notebook names another kernel: an unconfined kernel under
a provisioner of this name would be the worst of surprises.

What it knows goes to the supervisor through an inherited, sealed memory file whose number stands
on the command line. A kernelspec's `env`, a notebook and a cell can write none of that.

Base classes and the order of the hooks:
https://jupyter-client.readthedocs.io/en/stable/provisioning.html
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import Any

import msgspec
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from sandbox_kernel.jupyter.hub import POLICY_VARIABLE
from sandbox_kernel.jupyter.kernel_template import KernelTemplate, template_of
from sandbox_kernel.jupyter.notebook_of import find
from sandbox_kernel.trusted.launch_inputs import LaunchInputs, NoRequest, hand_over
from sandbox_kernel.trusted.notebook_file import NotebookFile

MODULE = ["-P", "-m", "sandbox_kernel"]


class NotASandboxedKernel(RuntimeError):
    """The kernel that was asked for cannot be run inside the walls."""


#: The provisioners of this process whose kernels start or run.
_live: weakref.WeakSet[SandboxProvisioner] = weakref.WeakSet()


def _refuse_one_too_many(policy: str | None, kernels: int) -> None:
    """Raise HTTPError, which a Jupyter server shows, where the policy allows fewer kernels.

    The supervisors count too, those of other servers as well (`trusted/limits/person.py`); what is
    refused here takes no process to say so. What is wrong with a policy they tell.
    """
    if kernels < 2:
        return
    # Not before: the first kernel should not wait for these imports.
    from tornado.web import HTTPError

    from sandbox_kernel.policy.bounds import person_limits
    from sandbox_kernel.trusted.options import LaunchOptions
    from sandbox_kernel.trusted.policy_files import BadPolicy, load_policies

    try:
        files = load_policies(LaunchOptions(policy=policy))
    except BadPolicy:
        return
    most = person_limits(files.chosen, files.system).get("kernels")
    if most is not None and kernels > most.value:
        raise HTTPError(
            429,
            f"{kernels - 1} of your kernels are running, and {most.amount} may "
            f"(policy {most.origin.place}, limits.person). Shut one of them down first.",
            reason="Too many kernels",
        )


class SandboxProvisioner(LocalProvisioner):
    """Starts "Sandboxed Python" with what is known about the notebook it is for."""

    inputs = LaunchInputs()
    _starting = False
    notebook: NotebookFile | None = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Find the notebook before the environment is mixed with the kernelspec's.

        Called by `KernelManager.pre_start_kernel`, at the first start and at every restart. At a
        restart a client is no longer on the stack, and what was found before still holds.
        """
        directory = kwargs.get("cwd")
        found = find(self.parent, kwargs.get("env"), str(directory) if directory else None)
        if self.notebook is not None and found.found_by in ("session", "nobody"):
            # A restart. The server still names the path that the notebook had at the first start.
            self.notebook.look()
            self.inputs = msgspec.structs.replace(self.inputs, notebook=self.notebook.path)
        elif found.found_by != "nobody" or self.inputs.found_by == "nobody":
            self.inputs = found
        if self.notebook is None and self.inputs.found_by == "session":
            self.notebook = NotebookFile(str(self.inputs.notebook))
        policy = os.environ.get(POLICY_VARIABLE)
        if policy and self.inputs.policy is None:
            self.inputs = msgspec.structs.replace(self.inputs, policy=policy)
        _live.add(self)
        self._starting = True
        try:
            _refuse_one_too_many(self.inputs.policy, sum(each.counts for each in _live))
            return await super().pre_launch(**kwargs)
        except BaseException:
            self._starting = False
            raise

    @property
    def counts(self) -> bool:
        """Whether the kernel is starting or runs."""
        return self._starting or (self.process is not None and self.process.poll() is None)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the supervisor. Called by `KernelManager._async_launch_kernel`.

        Raises NotASandboxedKernel for a kernelspec that is not Python's.
        """
        try:
            return await self._launch(cmd, **kwargs)
        finally:
            self._starting = False

    async def _launch(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        cmd = self.sandboxed_command(cmd)
        try:
            descriptor = hand_over(self.inputs)
        except NoRequest as error:
            self.log.warning("sandbox: what the notebook asks for is left out: %s", error)
            descriptor = hand_over(msgspec.structs.replace(self.inputs, requests={}))
        kwargs["pass_fds"] = (descriptor, *kwargs.get("pass_fds", ()))
        try:
            template = template_of(self.parent)
            if template is not None and cmd[1:4] == MODULE:
                return self._fork(template, cmd[4:], descriptor, kwargs)
            return await super().launch_kernel([*cmd, "--launch-inputs", str(descriptor)], **kwargs)
        finally:
            os.close(descriptor)

    def _fork(
        self, template: KernelTemplate, arguments: list[str], inputs: int, kwargs: dict[str, Any]
    ) -> KernelConnectionInfo:
        """Start the supervisor from a batch's template. Raises TemplateGone."""
        self.cwd = kwargs.get("cwd") or os.getcwd()
        environment = kwargs.get("env") or dict(os.environ)
        self.process = template.start(arguments, environment, str(self.cwd), inputs)
        self.pid = self.pgid = self.process.pid  # It leads a session, and so a group, of its own.
        return self.connection_info

    async def cleanup(self, restart: bool = False) -> None:
        """Let go of the notebook's file. Called by `KernelManager.cleanup_resources`."""
        if self.notebook is not None and not restart:
            self.notebook.close()
            self.notebook = None
        await super().cleanup(restart)

    def sandboxed_command(self, cmd: list[str]) -> list[str]:
        """`cmd` when it runs the sandboxed kernel, else the command that does.

        Raises NotASandboxedKernel for a kernelspec of another language.
        """
        if cmd[1:4] == MODULE:
            return cmd
        language = self.kernel_spec.language
        if language != "python":
            raise NotASandboxedKernel(
                f"{self.kernel_spec.display_name}: a kernel for {language} cannot be started by "
                "the sandbox provisioner, which confines Python alone. Pick Sandboxed Python."
            )
        self.log.info("sandbox: %s is started as Sandboxed Python", self.kernel_spec.display_name)
        manager: Any = self.parent
        return [sys.executable, *MODULE, "-f", os.path.realpath(manager.connection_file)]
