"""Written lines into entries: paths absolute, endpoints parsed, names one by one.

The lines have been checked when they were loaded, so nothing here can fail on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar, cast

from . import model
from .instants import ending, expiry
from .kinds import choices, files, hosts, names, paths, sockets
from .rights import Entry, Places
from .units import Size

Lines = model.Tier | model.Refuse | model.RequestTable

MEET: dict[type, Callable[[Entry, Entry], Entry | None]] = {
    files.FileEntry: cast("Callable[[Entry, Entry], Entry | None]", files.meet),
    sockets.SocketEntry: cast("Callable[[Entry, Entry], Entry | None]", sockets.meet),
    names.ModuleEntry: cast("Callable[[Entry, Entry], Entry | None]", names.meet_modules),
    names.EnvironmentEntry: cast("Callable[[Entry, Entry], Entry | None]", names.meet_variables),
    choices.DisplayEntry: cast("Callable[[Entry, Entry], Entry | None]", choices.meet_display),
    choices.ProcessEntry: cast("Callable[[Entry, Entry], Entry | None]", choices.meet_processes),
}

_MEANT = ("places", "mode", "host", "ports", "use", "name", "level", "what", "spawn")

T = TypeVar("T")


def meet(a: Entry, b: Entry) -> Entry | None:
    """What both entries allow; None when that is nothing or they are of different kinds."""
    if type(a) is not type(b):
        return None
    return MEET[type(a)](a, b)


def as_asked(met: Entry, asked: Entry) -> bool:
    """Whether what a line allows of an entry is what was meant: it may be metered, or closed in
    part.
    """
    return met == asked or all(
        getattr(met, key, None) == getattr(asked, key, None) for key in _MEANT
    )


def begun(entry: Entry, start: float) -> Entry:
    """An entry of a line whose right starts at `start` (seconds since the epoch)."""
    if not isinstance(entry, files.FileEntry | sockets.SocketEntry) or entry.lasts is None:
        return entry
    end = start + entry.lasts
    ends = end if entry.expires_at is None else min(end, entry.expires_at)
    return replace(entry, expires_at=ends, lasts=None)


def entries(lines: Lines, places: Places, start: float | None) -> Iterator[tuple[Entry, str, int]]:
    """Every entry of a tier or request, with the kind and index of its line.

    `start` (seconds since the epoch) is when durations in `expires` begin; None for the lines of a
    policy, whose rights begin later.
    """
    yield from moving(lines, places, start)
    yield from fixed(lines)


def moving(lines: Lines, places: Places, start: float | None) -> Iterator[tuple[Entry, str, int]]:
    """Those entries that depend on where the notebook lies and when they begin."""
    for index, file in enumerate(_files(lines)):
        yield file_entry(file, places, start), "files", index
    for index, socket in enumerate(_sockets(lines)):
        yield socket_entry(socket, start), "sockets", index


def fixed(lines: Lines) -> Iterator[tuple[Entry, str, int]]:
    """Those that do not."""
    for index, name in _names(lines.modules):
        yield names.ModuleEntry(name), "modules", index
    for index, name in _names(lines.environment):
        yield names.EnvironmentEntry(name), "environment", index
    for index, display in enumerate(lines.display or ()):
        for what in choices.LEVELS:
            level = getattr(display, what)
            if level is not None:
                yield choices.DisplayEntry(what, level), "display", index
    for index, process in enumerate(_processes(lines)):
        if process.spawn:
            yield choices.ProcessEntry(True), "processes", index


def file_entry(
    line: model.FilesLine | model.RequestedFile, places: Places, start: float | None
) -> files.FileEntry:
    """The entry of a line of files."""
    ends, lasts = _ending(line.expires, start)
    return files.FileEntry(
        places=(_pattern(line.path, places),),
        mode=line.mode,
        deny=paths.ordered(p for text in line.deny for p in both_forms(text, places)),
        max_bytes=_bytes(line.max_bytes),
        max_count=line.max_count,
        expires_at=ends,
        lasts=lasts,
    )


def socket_entry(
    line: model.SocketsLine | model.RequestedSocket, start: float | None
) -> sockets.SocketEntry:
    """The entry of a line of sockets."""
    use: sockets.Use = "connect" if line.connect else "listen" if line.listen else "udp"
    host, ports = hosts.parse_endpoint(line.connect or line.listen or line.udp or "")
    ends, lasts = _ending(line.expires, start)
    size = _bytes(line.max_bytes)
    return sockets.SocketEntry(use, host, ports, line.private, size, ends, lasts)


def _ending(written: str | None, start: float | None) -> tuple[float | None, float | None]:
    return ending(written) if start is None else (expiry(written, start), None)


def both_forms(written: str, places: Places) -> tuple[paths.PathPattern, ...]:
    """A denial's path, resolved and as written: it holds for both.

    The link may be changed later; then what lies at the written place is closed still.
    """
    found = _pattern(written, places)
    if not found.through_link:
        return (found,)
    return (found, replace(found, real=found.path))


def refused_files(
    lines: Sequence[model.RefusedFilesLine], places: Places
) -> Iterator[tuple[paths.PathPattern, model.RefusedFilesLine, int]]:
    """The patterns of `[refuse]`, with their lines."""
    for index, line in enumerate(lines):
        for found in both_forms(line.path, places):
            yield found, line, index


def _files(lines: Lines) -> Sequence[model.FilesLine | model.RequestedFile]:
    """The lines of files that allow; those of `[refuse]` are for `refused_files`."""
    return () if isinstance(lines, model.Refuse) else lines.files or ()


def _sockets(lines: Lines) -> Sequence[model.SocketsLine | model.RequestedSocket]:
    return lines.sockets or ()


def _processes(lines: Lines) -> Sequence[model.ProcessesLine | model.RequestedProcesses]:
    return lines.processes or ()


def _pattern(written: str, places: Places) -> paths.PathPattern:
    return paths.pattern(written, places.folder, places.home, places.canonical)


def _names(
    lines: Sequence[model.ModulesLine | model.EnvironmentLine] | Sequence[str] | None,
) -> Iterator[tuple[int, str]]:
    for index, line in enumerate(lines or ()):
        if isinstance(line, str):
            yield index, line
        else:
            for name in line.names:
                yield index, name


def _bytes(size: Size | None) -> int | None:
    return None if size is None or size.unlimited else size.bytes
