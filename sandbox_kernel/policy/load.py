"""Policy files into one checked policy, every line with the file and line that it came from.

Rules, in the order in which they are applied:

1. A file is TOML, `version = 1`, with no key that the model does not have.
2. `extends` names the policy below it.  Tables merge key by key, a scalar replaces, a list adds
   its entries to the list below it.  So a policy can take away only through `[refuse]`.
3. A line is checked where it stands: endpoints, names, paths, `deny` inside its grant.
4. Anything wrong makes the whole policy unusable; all mistakes are reported together.

Reading is the caller's business: this module gets the texts.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import model
from .decode import decode, spell_out
from .instants import check_expiry
from .kinds import hosts, names, paths
from .locate import Path, locate
from .problems import Origin, PolicyError, Problem

MAX_BYTES = 1_000_000
"""A longer policy file is refused unread."""

_TIERED = (*model.TIERS, "refuse")
_FOLDER = "/notebook"


@dataclass(frozen=True)
class Source:
    """The text of one policy file; `name` is what messages call it, `path` where it lies."""

    name: str
    text: str
    path: str = ""


@dataclass(frozen=True)
class Policy:
    """A policy with all that it extends.

    `origins` maps the path of each value of `table` to its line; `digest` changes whenever any
    of the files does; `warnings` are lines that hold but can hardly be meant.  Two policies from
    the same files are equal.
    """

    name: str
    table: model.PolicyFile = field(compare=False)
    origins: Mapping[Path, Origin] = field(compare=False)
    sources: tuple[Source, ...]
    digest: str
    warnings: tuple[Problem, ...] = field(default=(), compare=False)

    def __hash__(self) -> int:
        return hash(self.digest)

    def origin(self, *path: str | int) -> Origin:
        """Where a value stands, or its nearest table; the top file when nowhere."""
        return _nearest(self.origins, path, self.sources[-1].name)

    @property
    def file(self) -> str:
        """Name of the topmost file, for messages."""
        return self.sources[-1].name


def load(sources: Sequence[Source]) -> Policy:
    """Build the policy of a chain of files, the one that extends nothing first.

    Raises PolicyError with every mistake of every file.
    """
    problems: list[Problem] = []
    data: dict[str, Any] = {}
    origins: dict[Path, Origin] = {}
    for source in sources:
        layer, where, found = _read(source)
        problems += found
        if not found:
            data, origins = _overlay(data, origins, layer, where)
    if problems:
        raise PolicyError(problems)
    data.pop("extends", None)
    top = sources[-1].name
    table, problems = decode(data, model.PolicyFile, lambda path: _nearest(origins, path, top))
    if table is None:
        raise PolicyError(problems)
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.text.encode())
        digest.update(b"\0")
    return Policy(
        name=re.sub(r"\.toml$", "", sources[-1].name),
        table=table,
        origins=origins,
        sources=tuple(sources),
        digest=digest.hexdigest(),
        warnings=tuple(_contradictions(table, origins, top)),
    )


def extends(source: Source) -> str | None:
    """The name of the policy below this one; None for none or an unreadable file."""
    try:
        name = tomllib.loads(source.text).get("extends")
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    return name if isinstance(name, str) else None


def _read(source: Source) -> tuple[dict[str, Any], dict[Path, Origin], list[Problem]]:
    """One file by itself: its data with shorthand spelt out, its lines, its mistakes."""
    whole = Origin(source.name)
    if len(source.text) > MAX_BYTES:
        text = f"the file is longer than {MAX_BYTES} characters"
        return {}, {}, [Problem("policy.too_long", text, whole)]
    try:
        data = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        text = f"this is not TOML: {error}"
        # The parser says "at end of document" where that is the last line.
        at = Origin(source.name, int(line[1]) if line else source.text.count("\n") + 1)
        return {}, {}, [Problem("policy.malformed", text, at)]
    except RecursionError:
        text = "tables or arrays are nested too deeply"
        return {}, {}, [Problem("policy.malformed", text, whole)]
    lines = locate(source.text)
    data = {
        key: spell_out(value, tiers=True) if key in _TIERED else value
        for key, value in data.items()
    }
    where = {path: Origin(source.name, line) for path, line in lines.items()}
    version = data.get("version")
    at = _nearest(where, ("version",), source.name)
    problems = _version_problems(version, at)
    if problems:
        return {}, {}, problems
    table, problems = decode(
        data, model.PolicyFile, lambda path: _nearest(where, path, source.name)
    )
    if table is not None:
        problems = list(_line_problems(table, where, source.name))
    return data, where, problems


def _version_problems(version: object, at: Origin) -> list[Problem]:
    if version is None or (version == model.VERSION and version is not True):
        return []
    if isinstance(version, bool) or not isinstance(version, int):
        text = f"version is {version!r}: write version = {model.VERSION}"
    elif version > model.VERSION:
        text = (
            f"version {version} is newer than this sandbox-kernel, which reads version "
            f"{model.VERSION}: upgrade it, or write the file in version {model.VERSION}"
        )
    else:
        text = (
            f"version {version} never existed: write version = {model.VERSION} and check the file "
            "with `sandbox-kernel policy check FILE`"
        )
    return [Problem("policy.version", text, at)]


def _overlay(
    below: dict[str, Any],
    below_origins: Mapping[Path, Origin],
    above: Mapping[str, Any],
    above_origins: Mapping[Path, Origin],
) -> tuple[dict[str, Any], dict[Path, Origin]]:
    origins = dict(below_origins)

    def lay(under: dict[str, Any], over: Mapping[str, Any], path: Path) -> dict[str, Any]:
        merged = dict(under)
        for key, value in over.items():
            here = (*path, key)
            previous = merged.get(key)
            if isinstance(value, dict) and isinstance(previous, dict):
                merged[key] = lay(previous, value, here)
            elif isinstance(value, list) and isinstance(previous, list):
                merged[key] = [*previous, *value]
                _move(above_origins, here, len(previous), origins)
            else:
                merged[key] = value
                _move(above_origins, here, 0, origins)
        return merged

    return lay(below, above, ()), origins


def _move(source: Mapping[Path, Origin], path: Path, by: int, target: dict[Path, Origin]) -> None:
    """Copy the origins at and below `path`, list elements moved on by `by`."""
    for place, origin in source.items():
        if place[: len(path)] != path:
            continue
        rest = place[len(path) :]
        if rest and by and isinstance(rest[0], int):
            target[(*path, rest[0] + by, *rest[1:])] = origin
        elif rest or by == 0:
            target[place] = origin


def _nearest(origins: Mapping[Path, Origin], path: Sequence[str | int], file: str) -> Origin:
    """The origin of the longest part of `path` that has one."""
    for length in range(len(path), 0, -1):
        origin = origins.get(tuple(path[:length]))
        if origin is not None:
            return origin
    return Origin(file)


def _line_problems(
    table: model.PolicyFile, where: Mapping[Path, Origin], file: str
) -> Sequence[Problem]:
    problems: list[Problem] = []

    def wrong(code: str, text: str, *path: str | int) -> None:
        problems.append(Problem(code, text, _nearest(where, path, file)))

    for tier in _TIERED:
        lines: model.Tier | model.Refuse = getattr(table, tier)
        file_lines: Sequence[model.FilesLine | model.RefusedFilesLine] = lines.files
        for index, file_line in enumerate(file_lines):
            for text in _file_mistakes(file_line):
                wrong("policy.path", text, tier, "files", index)
        for index, socket_line in enumerate(lines.sockets):
            for text in socket_mistakes(socket_line):
                wrong("policy.socket", text, tier, "sockets", index)
        for index, module_line in enumerate(lines.modules):
            for name in module_line.names:
                if not names.is_module_name(name):
                    text = f"{name!r} is no module name: write numpy, os.path or *"
                    wrong("policy.module", text, tier, "modules", index)
        for index, variable_line in enumerate(lines.environment):
            for name in variable_line.names:
                if not names.is_variable_name(name):
                    text = f"{name!r} is no variable: write LANG or LC_* (a bare * is refused)"
                    wrong("policy.environment", text, tier, "environment", index)
    for index, name in enumerate(table.preload):
        if name == "*" or not names.is_module_name(name):
            wrong("policy.module", f"{name!r} is no module name", "preload", index)
    return problems


def _file_mistakes(line: model.FilesLine | model.RefusedFilesLine) -> list[str]:
    try:
        place = paths.pattern(line.path, _FOLDER, "/home", lambda path: path)
    except paths.PathError as error:
        return [str(error)]
    if isinstance(line, model.RefusedFilesLine):
        return []
    meters = (line.max_bytes, line.max_count)
    return file_mistakes(place, line.deny, meters, line.mode, line.expires)


def file_mistakes(
    place: paths.PathPattern,
    deny: Sequence[str],
    meters: Sequence[object],
    mode: str,
    expires: str | None,
) -> list[str]:
    """What is wrong with a line of files beyond its types; shared with requests."""
    mistakes = [*check_expiry(expires)]
    for denied in deny:
        try:
            closed = paths.pattern(denied, _FOLDER, "/home", lambda path: path)
        except paths.PathError as error:
            mistakes.append(f"deny: {error}")
            continue
        if not place.may_touch(closed) or not (place.is_glob or place.covers(closed.fixed_prefix)):
            mistakes.append(
                f"deny {denied!r} lies outside its grant {place.written!r}, where it would "
                "change nothing: paths in deny are relative to the notebook, like path"
            )
    if mode == "read" and any(meter is not None for meter in meters):
        mistakes.append("max_bytes and max_count meter changes, which mode read does not allow")
    return mistakes


def socket_mistakes(line: model.SocketsLine | model.RequestedSocket) -> list[str]:
    """What is wrong with a line of sockets beyond its types; shared with requests."""
    uses = [use for use in ("connect", "listen", "udp") if getattr(line, use) is not None]
    if len(uses) != 1:
        return ["write exactly one of connect, listen, udp"]
    mistakes = [*check_expiry(line.expires)]
    try:
        host, _ = hosts.parse_endpoint(getattr(line, uses[0]))
    except hosts.HostError as error:
        return [f"{uses[0]}: {error}"]
    if uses[0] == "listen" and not (host.networks or host.kind == "any"):
        mistakes.append("listen: write an address, such as 127.0.0.1:8080")
    return mistakes


def _contradictions(
    table: model.PolicyFile, origins: Mapping[Path, Origin], file: str
) -> list[Problem]:
    """Lines that hold but can hardly be meant: one thing in two tiers, a limit above its max."""
    found: list[Problem] = []
    seen: dict[tuple[str, str], tuple[str, Origin]] = {}
    for tier in ("refuse", *model.TIERS):
        lines: model.Tier | model.Refuse = getattr(table, tier)
        for kind in ("modules", "environment"):
            for index, line in enumerate(getattr(lines, kind)):
                at = _nearest(origins, (tier, kind, index), file)
                for name in line.names:
                    stands, first = seen.setdefault((kind, name), (tier, at))
                    if stands != tier and first.file == at.file:
                        text = f"{name} stands in {stands} too ({first.place}): {stands} holds"
                        found.append(Problem("policy.contradiction", text, at))
    for name in model.LimitSet.__struct_fields__:
        limit, most = getattr(table.limits, name), getattr(table.limits.max, name)
        if limit is not None and most is not None and limit.value > most.value:
            text = f"{name} = {limit.text!r} is above limits.max {most.text!r}: the limit holds"
            at = _nearest(origins, ("limits", name), file)
            found.append(Problem("policy.contradiction", text, at))
    return found
