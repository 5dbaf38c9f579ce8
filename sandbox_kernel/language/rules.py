"""What the dialect is told by the policy: which modules, and whether programs may be started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["DialectRules", "module_refusal"]


@dataclass
class DialectRules:
    """Rules of one session.

    ``modules`` maps an allowed dotted name (it covers its submodules) to the text of its origin
    (``default.toml line 12: the standard library's harmless part``); it may change while the
    session lives. ``refused`` maps names that a policy takes away to the text of that rule.
    ``policy`` names the policy in messages. ``processes`` tells whether programs may be started.
    """

    language: Literal["restricted", "full"] = "restricted"
    modules: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    policy: str = "policy"
    processes: bool = False

    def origin(self, module: str) -> str | None:
        """The line that gives ``module``, or None where no line does."""
        best = None
        parts = module.split(".")
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            if name in self.refused:
                return None
            if best is None and name in self.modules:
                best = self.modules[name]
        return best


def module_refusal(rules: DialectRules, module: str) -> str:
    """The text of a refused import: the module, the rule, and how to ask for it."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        taken = rules.refused.get(".".join(parts[:length]))
        if taken is not None:
            return (
                f"{module}: module refused (policy {rules.policy}, modules: {taken}). "
                "Only an administrator's policy can change that"
            )
    top = parts[0]
    return (
        f"{module}: module not granted (policy {rules.policy}: no line of its `modules` names "
        f"{top!r}). "
        f'Ask for it in the notebook\'s metadata: {{"sandbox": {{"modules": ["{module}"]}}}}'
    )
