"""Path patterns: which paths does a written path cover?  Lexical, no I/O.

A pattern is an absolute path.  Without a wildcard it covers itself and all below it.  With one
(`*`, `?`, `[…]` within a segment; `**` for any number of segments) it covers what it matches and
all below that.  Every pattern has two forms: `path`, as written and made absolute, and `real`,
the same with symbolic links resolved by the trusted side.  Decisions are made on resolved paths
and therefore on `real`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import attrgetter

Canonical = Callable[[str], str]
"""Resolves the symbolic links of an absolute path; a missing tail stays as it is."""

_WILD = re.compile(r"[*?\[]")
_ESCAPE = re.compile(r"\[([*?\[])\]")


class PathError(ValueError):
    """The text is no path that a policy can name; the message says why."""


@dataclass(frozen=True, order=True)
class PathPattern:
    """`written` is for messages; `path` and `real` are absolute and normal.

    Where `is_glob` is false they are paths, taken letter by letter.  Where it is true they are
    patterns, in which `[*]`, `[?]` and `[[]` stand for the letters.
    """

    real: str
    path: str
    written: str
    is_glob: bool = False

    @cached_property
    def _folded(self) -> str:
        return self.real.casefold()

    @property
    def through_link(self) -> bool:
        """Whether the written path goes through a symbolic link."""
        return self.path != self.real

    def covers(self, real_path: str) -> bool:
        """Whether `real_path` (absolute, resolved) is matched or lies below a match.

        As in a shell, a wildcard at the start of a segment matches no leading dot.
        """
        if self.is_glob:
            return _matcher(self.real, False)(real_path)
        return is_below(real_path, self.real)

    def covers_any_spelling(self, real_path: str) -> bool:
        """As `covers`, ignoring case and with hidden files.

        For denials, which must hold on a file system that ignores case too.
        """
        if self.is_glob:
            return _matcher(self.real.casefold(), True)(real_path.casefold())
        return is_below(real_path.casefold(), self._folded)

    def covers_pattern(self, other: PathPattern) -> bool:
        """Whether all that `other` covers is covered; may say no where a proof is hard."""
        if (other.real, other.is_glob) == (self.real, self.is_glob):
            return True
        return not self.is_glob and self.covers(other.fixed_prefix)

    def may_touch(self, other: PathPattern) -> bool:
        """Whether some path may be covered by both; may say yes where a proof is hard."""
        mine, theirs = self.fixed_prefix, other.fixed_prefix
        return is_below(mine, theirs) or is_below(theirs, mine)

    @property
    def fixed_prefix(self) -> str:
        """The real path of the directory above the first segment with a wildcard.

        The whole path where there is none.
        """
        return _prefix(self.real) if self.is_glob else self.real

    @property
    def written_prefix(self) -> str:
        """As `fixed_prefix`, of the path as it was written."""
        return _prefix(self.path) if self.is_glob else self.path


_ORDER = attrgetter("real", "path", "written", "is_glob")


def ordered(patterns: Iterable[PathPattern]) -> tuple[PathPattern, ...]:
    """Each pattern once, in the order of patterns."""
    return tuple(sorted(set(patterns), key=_ORDER))


def is_below(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies below it; both absolute and normal."""
    return directory == "/" or path == directory or path.startswith(directory + "/")


def pattern(written: str, folder: str, home: str, canonical: Canonical) -> PathPattern:
    """Make the pattern of a written path, relative to `folder`; `~/` means `home`.

    Wildcards are looked for in the written path alone, never in the folder's own name.  Raises
    PathError for a path that cannot be meant: empty, with a null byte, `~name`, or with `..`
    behind a wildcard.
    """
    if not written or "\0" in written:
        raise PathError(f"{written!r} is no path")
    base, text = folder, written
    if written == "~" or written.startswith("~/"):
        base, text = home, written[2:]
    elif written.startswith("~"):
        raise PathError(f"{written!r}: only ~/ is known, write other homes in full")
    elif written.startswith("/"):
        base = "/"
    segments = [segment for segment in text.split("/") if segment not in ("", ".")]
    plain, rest = segments, segments[:0]
    if _WILD.search(text):
        wild = next((i for i, segment in enumerate(segments) if _is_wild(segment)), len(segments))
        plain, rest = [_unescaped(segment) for segment in segments[:wild]], segments[wild:]
    if ".." in rest:
        raise PathError(f"{written!r}: '..' cannot follow a wildcard")
    prefix = _normal(posixpath.join(base, *plain))
    if not rest:
        return PathPattern(canonical(prefix), prefix, written)
    return PathPattern(
        posixpath.join(escaped(canonical(prefix)), *rest),
        posixpath.join(escaped(prefix), *rest),
        written,
        is_glob=True,
    )


def literal(path: str, canonical: Canonical) -> PathPattern:
    """The pattern of one absolute path, wildcards in its name taken as they are."""
    normal = _normal(path)
    return PathPattern(canonical(normal), normal, path)


def escaped(path: str) -> str:
    """How to write a path so that wildcards in its name are taken as they are."""
    return _WILD.sub(r"[\g<0>]", path)


def _unescaped(segment: str) -> str:
    return _ESCAPE.sub(r"\1", segment)


def _is_wild(segment: str) -> bool:
    return _WILD.search(_ESCAPE.sub("", segment)) is not None


def _prefix(pattern: str) -> str:
    kept: list[str] = []
    for segment in pattern.split("/"):
        if _is_wild(segment):
            break
        kept.append(_unescaped(segment))
    return "/".join(kept) or "/"


def _normal(path: str) -> str:
    # POSIX lets two leading slashes mean something else; Linux does not.
    return posixpath.normpath("/" + path.lstrip("/"))


@lru_cache(maxsize=4096)
def _matcher(pattern: str, hidden: bool) -> Callable[[str], bool]:
    """Whether a path is matched, or lies below a match.

    Pattern and path may both be an attacker's: all places in the pattern where the path may have
    got to are followed at once, segment by segment, and within a segment no star is tried twice.
    """
    steps = [
        None if segment == "**" else re.compile(_segment(segment, hidden), re.DOTALL)
        for segment in pattern.strip("/").split("/")
    ]

    def past_stars(places: set[int]) -> set[int]:
        for place in sorted(places):
            while place < len(steps) and steps[place] is None:
                place += 1
                places.add(place)
        return places

    def matches(path: str) -> bool:
        places = past_stars({0})
        for name in filter(None, path.split("/")):
            if len(steps) in places:
                return True
            reached: set[int] = set()
            for place in places:
                step = steps[place]
                if step is None:
                    if hidden or name[0] != ".":
                        reached.add(place)
                elif step.fullmatch(name):
                    reached.add(place + 1)
            places = past_stars(reached)
        return len(steps) in places

    return matches


def _segment(segment: str, hidden: bool) -> str:
    """The regular expression of one segment; no wildcard crosses a slash.

    What stands between two stars has a fixed length, so its first occurrence is as good as any:
    the group that finds it is atomic, and a name is gone through once for each star.
    """
    start = "" if hidden or segment[0] not in "*?[" else r"(?!\.)"
    pieces = [""]
    at = 0
    while at < len(segment):
        character = segment[at]
        at += 1
        end = segment.find("]", at + 1) if character == "[" else -1
        if character == "*":
            pieces.append("")
        elif character == "?":
            pieces[-1] += "[^/]"
        elif end > 0:
            pieces[-1] += _set(segment[at:end])
            at = end + 1
        else:
            pieces[-1] += re.escape(character)
    first, *rest = pieces
    if not rest:
        return start + first
    *inner, last = rest
    return start + first + "".join(f"(?>.*?{piece})" for piece in inner if piece) + ".*" + last


def _set(body: str) -> str:
    """The regular expression of what stands between the brackets of a set."""
    negated = body[0] in "!^"
    members = ""
    rest = body[1:] if negated else body
    at = 0
    while at < len(rest):
        low = high = rest[at]
        if rest[at + 1 : at + 2] == "-" and at + 2 < len(rest):
            high = rest[at + 2]
            at += 2
        at += 1
        # A range the wrong way round, such as [z-a], matches nothing, as in a shell.
        if low <= high:
            members += f"{re.escape(low)}-{re.escape(high)}"
    if not members:
        return "[^/]" if negated else "(?!)"
    return f"[{'^' if negated else ''}{members}]"
