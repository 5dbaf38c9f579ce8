"""Which policy a name means here, and a digest of all that it says.

The supervisor of each kernel finds the policy again by itself; this is for whoever starts many and
must know beforehand that the name means something, and later whether it still means the same.
"""

from __future__ import annotations

import hashlib

from ..trusted.options import LaunchOptions
from ..trusted.policy_files import load_policies


def policy_digest(name: str) -> str:
    """The digest of the policy `name` with all that it extends and with the system's policy.

    Raises BadPolicy when one of them is missing or malformed.
    """
    policies = load_policies(LaunchOptions(policy=name))
    parts = [policies.chosen.digest, policies.system.digest if policies.system else ""]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
