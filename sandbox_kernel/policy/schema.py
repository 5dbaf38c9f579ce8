"""The JSON Schema of policy files and of `metadata.sandbox`, made from the model.

The first is shipped as `policies/policy.schema.json`; editors with a TOML plug-in (taplo, Even
Better TOML) use it for completion.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from . import model
from .units import Amount, Count

_STRINGS = {
    "FilesLine": "path",
    "SocketsLine": "connect",
    "ModulesLine": "names",
    "EnvironmentLine": "names",
}


def policy_schema() -> dict[str, Any]:
    """The schema of a policy file."""
    schema = _schema(model.PolicyFile, "sandbox-kernel policy")
    definitions = schema["$defs"]
    # The shorthand: a plain string stands for a table.
    for tier in ("Tier", "Refuse"):
        for kind in ("files", "sockets", "modules", "environment"):
            items = definitions[tier]["properties"][kind]
            if items["items"].get("$ref", "").rpartition("/")[2] in _STRINGS:
                items["items"] = {"anyOf": [items["items"], {"type": "string"}]}
    return schema


def request_schema() -> dict[str, Any]:
    """The schema of `metadata.sandbox` and of the arguments of `grant`."""
    return _schema(model.RequestTable, "metadata.sandbox of a notebook or a cell")


def schema_text() -> str:
    """The policy schema as it is shipped."""
    return json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n"


def _schema(table: type[msgspec.Struct], title: str) -> dict[str, Any]:
    (root,), definitions = msgspec.json.schema_components(
        [table], schema_hook=_amount, ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **root,
        "$defs": definitions,
    }


def _amount(kind: type[Any]) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, Amount):
        text: dict[str, Any] = {
            "type": "string",
            "pattern": kind.pattern,
            "examples": [kind.example],
        }
        if issubclass(kind, Count):
            return {"anyOf": [{"type": "integer", "minimum": 0}, text]}
        return text
    raise NotImplementedError(f"no schema for {kind}")
