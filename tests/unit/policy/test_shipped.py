"""The policies that are shipped, and the policies of the acceptance cases."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.policy import Places, Rights, load, parse_request, resolve
from sandbox_kernel.policy.load import Source
from sandbox_kernel.policy.problems import Origin
from sandbox_kernel.policy.schema import schema_text
from sandbox_kernel.trusted.capabilities.files.decide import decide as decide_file
from sandbox_kernel.trusted.capabilities.files.schema import FileRequest
from sandbox_kernel.trusted.capabilities.modules.decide import decide as decide_module
from sandbox_kernel.trusted.capabilities.modules.schema import ModuleRequest
from sandbox_kernel.trusted.capabilities.verdict import Approved
from tests.cases.overlay import dump_toml, overlay
from tests.unit.policy.samples import NOTEBOOK, NOW, POLICIES, SHIPPED, asking, shipped, yes

CASES = Path(__file__).parents[2] / "cases" / "cases.jsonl"

# What the acceptance cases take for granted of `default`.
NEEDED = """re json base64 zlib datetime math statistics itertools collections textwrap email time
    functools dataclasses enum typing string random hashlib abc bisect calendar contextlib copy
    decimal fractions heapq numbers operator pprint types uuid csv io sandbox""".split()
NEVER = ("ctypes", "_ctypes", "gc", "importlib", "subprocess", "multiprocessing", "marshal", "code",
         "runpy", "pdb", "builtins")  # fmt: skip


def given(name: str, metadata: object = None) -> Rights:
    return resolve(shipped(name), NOTEBOOK, now=NOW, request=asking(metadata))


def can_import(rights: Rights, name: str) -> bool:
    return isinstance(decide_module(ModuleRequest(name), rights), Approved)


every_policy = pytest.mark.parametrize("name", SHIPPED)


@every_policy
def test_every_line_has_a_reason_of_its_own_and_nothing_is_doubtful(name: str) -> None:
    policy = shipped(name)

    assert not policy.warnings
    for tier in ("given", "on_request", "ask", "refuse"):
        for kind in ("files", "sockets", "modules", "environment", "display", "processes"):
            for line in getattr(getattr(policy.table, tier), kind):
                assert len(line.reason) > 3
                assert line.reason != "(none given)"
    assert policy.table.description


@every_policy
def test_every_setting_says_why_in_a_comment(name: str) -> None:
    lines = (POLICIES / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    setting = False
    for above, line in pairwise(lines):
        if line.startswith("["):
            setting = not line.startswith("[[")
        elif setting and re.match(r"\w+ = ", line):
            assert "#" in line or above.startswith("#"), line


@every_policy
def test_the_language_is_restricted_and_active_output_is_inert(name: str) -> None:
    rights = given(name)

    assert rights.language == "restricted"
    assert rights.isolation == "no-namespaces"
    assert not rights.spawn
    assert "raw" not in rights.display.values()
    assert rights.display["widgets"] != "any"
    assert not rights.of("sockets")


@every_policy
def test_what_goes_round_the_dialect_is_never_given_nor_to_be_had_by_asking(name: str) -> None:
    wanted = {"modules": list(NEVER), "display": {"html": "raw", "javascript": "raw"}}
    rights = resolve(
        shipped(name), NOTEBOOK, now=NOW, request=asking(wanted), grants=(yes(wanted),)
    )

    assert [module for module in NEVER if can_import(rights, module)] == []
    assert "raw" not in rights.display.values()


@every_policy
def test_no_token_reaches_a_cell(name: str) -> None:
    rights = given(name)

    for token in ("JUPYTERHUB_API_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "SSH_AUTH_SOCK"):
        assert not any(
            token == name or (name.endswith("*") and token.startswith(name[:-1]))
            for name in rights.environment
        )


@every_policy
def test_limits_hold_that_a_person_can_work_with(name: str) -> None:
    limits = given(name).limits

    for limit in ("wall_time", "memory", "output", "scratch", "threads", "open_files", "grace"):
        assert limit in limits
    assert limits["grace"].value <= 60
    assert limits["output"].value <= 1e7


def test_default_gives_what_the_cases_take_for_granted() -> None:
    rights = given("default")

    assert [module for module in NEEDED if not can_import(rights, module)] == []
    assert can_import(rights, "os.path")
    assert can_import(rights, "numpy.linalg")
    assert rights.limits["output"].value == 10_000_000
    assert rights.limits["wall_time"].value >= 3600


def test_a_large_library_is_had_by_asking_and_pickle_only_by_a_yes() -> None:
    assert can_import(given("default", {"modules": ["torch"]}), "torch.nn")
    assert not can_import(given("default", {"modules": ["pickle"]}), "pickle")


def test_locked_down_has_nothing_to_ask_for() -> None:
    rights = given("locked-down")

    assert {rule.tier for rule in rights.rules} == {"given"}
    assert not rights.of("files")
    assert rights.question_timeout == 0
    assert not can_import(rights, "os")


def test_grading_hides_notebooks_whatever_is_granted() -> None:
    everything = {"files": [{"path": "/", "mode": "write"}]}
    policy = load(
        [
            *shipped("grading").sources,
            Source("grader.toml", 'version = 1\n[given]\nfiles = [{path = ".", mode = "write", '
                   'reason = "copy of the submission"}]\n'),
        ]
    )  # fmt: skip
    rights = resolve(policy, NOTEBOOK, now=NOW, grants=(yes(everything),))

    def may(path: str) -> bool:
        request = FileRequest(path, f"/home/ann/nb/{path}", "read", True)
        return isinstance(decide_file(request, rights), Approved)

    assert may("results.csv")
    assert not may("old.ipynb")
    assert not may("sub/.ipynb_checkpoints/old.ipynb")
    assert not may("gradebook.db")
    assert rights.question_timeout == 0


def test_classroom_data_are_read_and_never_changed() -> None:
    rights = given("classroom", {"files": [{"path": ".", "mode": "write"}]})

    def may(path: str, mode: Any) -> bool:
        request = FileRequest(path, f"/home/ann/nb/{path}", mode, True)
        return isinstance(decide_file(request, rights), Approved)

    assert may("data/points.csv", "read")
    assert not may("data/points.csv", "append")
    assert may("results.csv", "write")


def test_the_shipped_schema_is_current() -> None:
    assert (POLICIES / "policy.schema.json").read_text(encoding="utf-8") == schema_text()


@every_policy
def test_the_schema_accepts_the_shipped_policies(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(schema_text())
    data = tomllib.loads((POLICIES / f"{name}.toml").read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(data)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**data, "languge": "full"})


def _cases() -> list[dict[str, Any]]:
    text = CASES.read_text(encoding="utf-8").replace("${WORLD}", "/w")
    text = re.sub(r"\$\{[\w.]+port\}", "8080", text)
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("case", _cases(), ids=lambda case: str(case["id"]))
def test_every_case_has_a_policy_and_metadata_that_load(case: dict[str, Any]) -> None:
    tables = overlay(case.get("policy", {}), POLICIES)
    policy = load([Source(f"{case['id']}.toml", dump_toml(tables))]
                  if "extends" not in tables
                  else [*shipped(tables["extends"]).sources,
                        Source(f"{case['id']}.toml", dump_toml(tables))])  # fmt: skip
    request = parse_request(case.get("metadata"), Origin("m"))
    notebook = "/w/" + case.get("notebook", "nb/case.ipynb")

    rights = resolve(
        policy,
        Places(folder=notebook.rpartition("/")[0], notebook=notebook),
        now=NOW,
        request=request,
    )

    # One case asks with a wrong type on purpose.
    assert request.malformed is (case["id"] == "C08c")
    for kind, entries in case.get("policy", {}).get("given", {}).items():
        if kind in ("files", "sockets"):
            assert len(rights.of(kind)) >= len(entries)
