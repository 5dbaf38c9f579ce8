"""The hook that chooses a policy, on its own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from jupyter_client.kernelspec import NoSuchKernel

from sandbox_kernel.jupyter.hub import POLICY_VARIABLE, SandboxedOnly, policy_by_group

POLICIES = {"teacher": "data-science", "student": "classroom"}


@pytest.mark.parametrize(
    ("groups", "policy"),
    [
        (["teacher"], "data-science"),
        (["student", "chess"], "classroom"),
        (["student", "teacher"], "data-science"),
        (["chess"], "locked-down"),
        ([], "locked-down"),
    ],
)
def test_the_first_group_of_the_mapping_decides(groups: list[str], policy: str) -> None:
    shared = {"LANG": "C.UTF-8"}
    user = SimpleNamespace(groups=[SimpleNamespace(name=name) for name in groups])
    spawner = SimpleNamespace(user=user, environment=shared)
    policy_by_group(POLICIES)(spawner)
    assert spawner.environment == {"LANG": "C.UTF-8", POLICY_VARIABLE: policy}
    assert shared == {"LANG": "C.UTF-8"}


def test_no_other_kernel_is_known() -> None:
    specs = SandboxedOnly()
    assert set(specs.get_all_specs()) == {"sandbox-python"}
    assert specs.get_kernel_spec("sandbox-python").argv[1:4] == ["-P", "-m", "sandbox_kernel"]
    for name in ("python3", "python"):
        with pytest.raises(NoSuchKernel):
            specs.get_kernel_spec(name)
