"""The two families of failure between the trusted and the sandboxed side, and their stable codes.

- `PeerViolation`: the worker broke the protocol. Its word is worth nothing any more, so the
  supervisor ends that worker. Never shown to the cell.
- `Denied`: a request that was understood and refused. A normal answer, worded for a person.

A third family, `KernelFault`, is the kernel's own trouble (a broken connection file, walls that
cannot be built). It always says what is wrong and what would be right.
"""

from __future__ import annotations


class SandboxKernelError(Exception):
    """Base of every error that this package raises on purpose.

    `code` is stable across releases and safe to match on; the text is for people.
    """

    code = "sandbox-kernel"


class PeerViolation(SandboxKernelError):
    """The other side of the worker channel sent something that no honest peer sends."""

    code = "peer-violation"


class Denied(SandboxKernelError):
    """A request was refused by a rule.

    `text` names what was refused, the rule and its file, and the remedy.
    """

    code = "denied"


class KernelFault(SandboxKernelError):
    """The kernel cannot do its work; the message says what to change."""

    code = "kernel-fault"


class BadConnection(KernelFault):
    """The connection file or an address in it is unusable."""

    code = "bad-connection"


class ConfinementFailed(KernelFault):
    """The walls that the policy demands could not be built or did not hold."""

    code = "confinement-failed"


class WorkerUnavailable(KernelFault):
    """No worker could be started; every cell is refused with this reason."""

    code = "worker-unavailable"
