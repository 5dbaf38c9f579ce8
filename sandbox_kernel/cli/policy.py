"""Explain, check and describe policies.

sandbox-kernel policy explain NOTEBOOK   each right of a notebook, with the line it comes from
sandbox-kernel policy check FILE         what is wrong with a policy file
sandbox-kernel policy schema             the JSON Schema of policy files, for editors
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sandbox_kernel.policy import (
    Origin,
    Places,
    PolicyError,
    load_file,
    parse_request,
    reference,
    resolve,
)
from sandbox_kernel.policy import explain as wording
from sandbox_kernel.policy import schema as schemas
from sandbox_kernel.trusted.policy_files import PolicyFiles, choose, read, search_path

MOST_NOTEBOOK = 200_000_000
"""A longer notebook file is not read (bytes)."""


class _Unreadable(Exception):
    """The notebook cannot be read; the message says why."""


class _Notebook(msgspec.Struct):
    """The part of a notebook file that is looked at."""

    metadata: dict[str, object] = {}


def main(argv: Sequence[str]) -> int:
    """Run `sandbox-kernel policy …`: 0 when all is well, 1 for a fault found, 2 for bad usage."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except (PolicyError, _Unreadable) as error:
        print(error, file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox-kernel policy", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    explain = commands.add_parser("explain", help="each right of a notebook, with its line")
    explain.add_argument("notebook", help="path of the notebook; it need not exist yet")
    explain.add_argument("--policy", help="name or file of the policy; else the one that holds")
    explain.add_argument("--json", action="store_true", help="the same as JSON")
    explain.set_defaults(run=_explain)
    check = commands.add_parser("check", help="what is wrong with a policy file")
    check.add_argument("file", nargs="+")
    check.set_defaults(run=_check)
    schema = commands.add_parser("schema", help="the JSON Schema of policy files")
    schema.add_argument(
        "--metadata", action="store_true", help="that of metadata.sandbox of a notebook instead"
    )
    schema.set_defaults(run=_schema)
    document = commands.add_parser("reference", help="put the model's tables into a document")
    document.add_argument("file", type=Path)
    document.set_defaults(run=_reference)
    return parser


def _explain(arguments: argparse.Namespace) -> int:
    notebook = os.path.abspath(arguments.notebook)
    files = _chosen(arguments.policy)
    request = parse_request(_metadata(notebook), Origin("the notebook's metadata"))
    files, problems = files.for_notebook(request)
    rights = resolve(
        files.chosen,
        Places(
            folder=os.path.dirname(notebook),
            notebook=notebook,
            home=os.path.expanduser("~"),
            read_only=files.paths,
            canonical=os.path.realpath,
        ),
        now=time.time(),
        system=files.system,
        request=request,
    )
    for problem in problems:
        print(problem, file=sys.stderr)
    if arguments.json:
        print(json.dumps(wording.explanation(rights), indent=2, ensure_ascii=False))
    else:
        print(wording.explain(rights), end="")
    return 1 if request.malformed or problems else 0


def _check(arguments: argparse.Namespace) -> int:
    status = 0
    for file in arguments.file:
        try:
            policy = load_file(os.path.abspath(file), search_path(), read)
        except PolicyError as error:
            print(error, file=sys.stderr)
            status = 1
            continue
        for warning in policy.warnings:
            print(f"warning: {warning}")
        print(f"{file}: good, {' over '.join(s.name for s in reversed(policy.sources))}")
    return status


def _schema(arguments: argparse.Namespace) -> int:
    if arguments.metadata:
        print(json.dumps(schemas.request_schema(), indent=2, ensure_ascii=False))
    else:
        print(schemas.schema_text(), end="")
    return 0


def _reference(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    path.write_text(reference.filled(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def _chosen(name: str | None) -> PolicyFiles:
    if name is not None and (os.sep in name or name.endswith(".toml")):
        return choose(paths=[("command", os.path.abspath(name))])
    return choose(name or "default")


def _metadata(notebook: str) -> object:
    """`metadata.sandbox` of a notebook file; None where there is no file or no such metadata."""
    try:
        with open(notebook, "rb") as file:
            content = file.read(MOST_NOTEBOOK + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _Unreadable(f"{notebook}: {error.strerror}") from None
    if len(content) > MOST_NOTEBOOK:
        raise _Unreadable(f"{notebook}: longer than {MOST_NOTEBOOK} bytes")
    try:
        return msgspec.json.decode(content, type=_Notebook).metadata.get("sandbox")
    except (msgspec.DecodeError, RecursionError) as error:
        raise _Unreadable(f"{notebook}: not a notebook ({error})") from None
