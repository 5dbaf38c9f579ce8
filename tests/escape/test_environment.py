"""What of the server's environment reaches a cell, and what of it steers the worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox_kernel.trusted.capabilities.environment.decide import select
from sandbox_kernel.trusted.session_start import variables
from tests.features.kernel.conftest import started
from tests.unit.policy.samples import rights

GIVEN = """
version = 1
extends = "default"
language = "full"
[[given.environment]]
names = ["MY_*", "LD_PRELOAD", "PYTHONSTARTUP", "BASH_ENV", "API_TOKEN", "PROXY_URL"]
reason = "of the test"
"""
REFUSED = """
[[refuse.environment]]
names = ["MY_PLAN"]
reason = "of the test"
"""
#: What whoever starts the server may have set, or a notebook's author talked them into.
SET = {
    "MY_PLAN": "refused by name",
    "MY_OTHER": "given",
    "MY_PASSWORD": "secret",
    "MY_URL": "https://ann:secret@example.org/",
    "API_TOKEN": "secret",
    "PROXY_URL": "http://ann:secret@proxy:3128",
    "PYTHONSTARTUP": "/nowhere/startup.py",
    "BASH_ENV": "/nowhere/env",
    "NOT_NAMED": "secret",
}


def seen(folder: Path, policy: str, environment: dict[str, str]) -> dict[str, str]:
    kernel = started(folder, policy=policy, environment=environment)
    try:
        ran = kernel.run("import json, os\nprint(json.dumps(dict(os.environ)))")
        found: dict[str, str] = json.loads(ran.text())
        return found
    finally:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("refuse", [False, True])
def test_only_named_variables_without_secrets_reach_a_cell(tmp_path: Path, refuse: bool) -> None:
    found = seen(tmp_path, GIVEN + (REFUSED if refuse else ""), SET)
    # The control: what the policy gives is there, and without [refuse] this one too.
    assert found["MY_OTHER"] == "given"
    assert ("MY_PLAN" in found) is not refuse
    assert "secret" not in json.dumps(found)
    assert not {"PYTHONSTARTUP", "BASH_ENV", "NOT_NAMED"} & set(found)


def test_a_name_with_a_line_end_is_one_name(tmp_path: Path) -> None:
    found = seen(
        tmp_path, GIVEN, {"MY_A\nLD_PRELOAD": "/nowhere.so", "MY_B": "x\nLD_PRELOAD=/n.so"}
    )
    assert "LD_PRELOAD" not in found
    assert found["MY_B"] == "x\nLD_PRELOAD=/n.so"


def test_the_start_and_the_decision_agree_on_what_is_seen() -> None:
    text = GIVEN.partition("[[")
    found = rights("[[" + text[2] + REFUSED)
    assert variables(found, SET) == set(select(SET, found))
    assert "MY_PLAN" not in variables(found, SET)
    assert "MY_PLAN" in variables(rights("[[" + text[2]), SET)
