"""Grade an nbgrader course contained: enable, disable, status.

`enable` writes one line at the end of the course's nbgrader_config.py (and makes the file where
there is none); `disable` takes it out again; `status` says which holds. The course itself and
nbgrader's commands stay as they are. Call `enable` again when the file has grown: the line must
be the last one.

Exit status: 0 done, or contained; 1 not contained (status); 2 wrong use.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

CONFIG = "nbgrader_config.py"
MODULE = "sandbox_kernel.jupyter.nbgrader"
LINE = f"from {MODULE} import contain; contain(c)"
COMMENT = "# Submissions are run by sandbox-kernel. To be kept as the last line."
DONE, NOT_CONTAINED, USAGE_ERROR = 0, 1, 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="sandbox-kernel nbgrader",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("action", choices=["enable", "disable", "status"])
    made.add_argument(
        "course", nargs="?", type=Path, default=Path(), help="the course's folder; default: here"
    )
    return made


def main(argv: Sequence[str]) -> int:
    """Change or tell; returns the exit status."""
    arguments = parser().parse_args(argv)
    course: Path = arguments.course
    if not course.is_dir():
        return _wrong(f"{course}: there is no such folder")
    file = course / CONFIG
    if not file.exists() and not (course / "source").is_dir():
        return _wrong(
            f"{course}: no nbgrader course, it has neither {CONFIG} nor a folder source; "
            "name the course's folder, or make one with `nbgrader quickstart`"
        )
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if arguments.action == "status":
        contained = is_last_line(text)
        print(f"{file}: grading is {'contained' if contained else 'NOT contained'}")
        return DONE if contained else NOT_CONTAINED
    if arguments.action == "disable":
        file.write_text(without_line(text), encoding="utf-8")
        print(f"{file}: grading is not contained any more")
        return DONE
    if importlib.util.find_spec("nbgrader") is None:
        return _wrong("nbgrader is not installed here: pip install 'sandbox-kernel[nbgrader]'")
    file.write_text(with_line(text), encoding="utf-8")
    print(f"{file}: `nbgrader autograde` is contained from now on")
    return DONE


def with_line(text: str) -> str:
    """The configuration with our line as its last one."""
    before = without_line(text).rstrip("\n")
    start = f"{before}\n\n" if before else ""
    return f"{start}{COMMENT}\n{LINE}\n"


def without_line(text: str) -> str:
    """The configuration without our line and its comment."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() != COMMENT and _code(line) != LINE)


def is_last_line(text: str) -> bool:
    """Whether the last line that does anything is ours."""
    doing = [code for line in text.splitlines() if (code := _code(line))]
    return bool(doing) and doing[-1] == LINE


def _code(line: str) -> str:
    return line.partition("#")[0].strip()


def _wrong(text: str) -> int:
    print(f"sandbox-kernel nbgrader: {text}", file=sys.stderr)
    return USAGE_ERROR
