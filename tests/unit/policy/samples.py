"""Policies from short texts, and the notebook that they are about."""

from __future__ import annotations

from pathlib import Path

from sandbox_kernel.policy import (
    Grant,
    Layer,
    Origin,
    Places,
    Policy,
    Request,
    Rights,
    Source,
    load,
    load_named,
    parse_request,
    resolve,
)

POLICIES = Path(__file__).parents[3] / "policies"
SHIPPED = ("default", "locked-down", "data-science", "classroom", "grading", "agent")
NOTEBOOK = Places(folder="/home/ann/nb", notebook="/home/ann/nb/case.ipynb", home="/home/ann")
METADATA = Origin("case.ipynb")
NOW = 1_800_000_000.0


def read(path: str) -> str | None:
    file = Path(path)
    return file.read_text(encoding="utf-8") if file.is_file() else None


def shipped(name: str) -> Policy:
    return load_named(name, [Layer("shipped", str(POLICIES))], read)


def policy(text: str, name: str = "course.toml", version: str = "version = 1\n") -> Policy:
    """A policy by itself. Its text starts on line 2."""
    return load([Source(name, version + text)])


def over_default(text: str, name: str = "course.toml") -> Policy:
    return load([*shipped("default").sources, Source(name, "version = 1\n" + text)])


def asking(metadata: object) -> Request:
    return parse_request(metadata, METADATA)


def yes(metadata: object, grant_id: str = "g1", source: str = "client") -> Grant:
    table = parse_request(metadata, Origin("grant")).table
    assert table is not None
    assert source in ("client", "person", "approval", "ticket")
    return Grant(grant_id, table, source, "session", NOW)  # type: ignore[arg-type]


def rights(
    text: str,
    metadata: object = None,
    *,
    grants: tuple[Grant, ...] = (),
    system: str | None = None,
    cell: object = None,
    places: Places = NOTEBOOK,
    revoked: tuple[object, ...] = (),
) -> Rights:
    tables = [table for r in revoked if (table := asking(r).table) is not None]
    return resolve(
        policy(text),
        places,
        now=NOW,
        system=None if system is None else policy(system, "system.toml"),
        request=asking(metadata),
        grants=grants,
        revoked=tables,
        cell=None if cell is None else parse_request(cell, Origin("cell")),
    )
