"""One attack in a process of its own: ``python -m tests.escapes.one LAYER CODE_FILE WORLD``.

LAYER is ``language`` (the dialect alone, no operating system wall) or ``control`` (plain CPython).
Prints one JSON line: what was won, and how the attack ended.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.escapes import grader
from tests.escapes.winning import Referee

_dumps = json.dumps
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
MODULES = tuple(
    """re json base64 zlib datetime math statistics itertools collections textwrap email time
    functools dataclasses enum typing string random hashlib abc bisect calendar contextlib copy
    decimal fractions heapq numbers operator pprint types uuid csv io sandbox numpy pandas scipy
    sklearn matplotlib sympy ipywidgets seaborn networkx statsmodels patsy tqdm warnings logging
    six attr attrs traitlets jinja2 yaml pydantic rich bokeh
    asyncio inspect doctest timeit reprlib tempfile unittest weakref threading os sys traceback
    signal queue struct array secrets concurrent pathlib shutil glob html xml sqlite3 configparser
    argparse difflib gzip bz2 lzma tarfile zipfile pickle copyreg locale platform code graphlib
    contextvars socket ssl urllib http ast tokenize keyword cmath stat fnmatch shlex getpass
    ipaddress mimetypes selectors atexit errno linecache tracemalloc faulthandler""".split()
)


def control(code: str) -> tuple[Referee, Callable[[], Any]]:
    """The attack in plain CPython, ready to run."""
    referee = Referee(code, lambda module: False, lambda thing: False)
    space: dict[str, Any] = {"__name__": "__main__", **_names(referee)}

    def run() -> Any:
        return eval(compile(code, "<attack>", "exec", _AWAIT), space)

    return referee, run


def language(code: str) -> tuple[Referee, Callable[[], Any]]:
    """The attack in the dialect, with the policies' modules, ready to run."""
    from sandbox_kernel.language import DialectRules, Session

    session = Session(DialectRules(modules=dict.fromkeys(MODULES, "the attack's policy")))
    session.protect(grader)
    own = session.ownership
    referee = Referee(code, own.handed, own.owns, session.guards.values())
    space = session.namespace(**_names(referee))

    def run() -> Any:
        return eval(session.compile(code, "<attack>", "exec", _AWAIT), space)

    return referee, run


def _names(referee: Referee) -> dict[str, Any]:
    return {
        "check": grader.check,
        "check2": grader.check2,
        "check3": grader.check3,
        "checkcls": grader.Checker,
        "checkobj": grader.checkobj,
        "win": referee.win,
        "integrity": referee.integrity,
    }


async def _finish(result: Any) -> None:
    await result


def main(arguments: list[str]) -> None:
    """Run the attack and print what became of it."""
    layer, file, world = arguments
    code = Path(file).read_text(encoding="utf-8").replace("${WORLD}", world)
    referee, run = {"control": control, "language": language}[layer](code)
    ended = "ran"
    try:
        result = run()
        if inspect.isawaitable(result):
            asyncio.run(_finish(result))
    except BaseException as error:
        ended = f"{type(error).__name__}: {error}"
    referee.integrity()
    won = list(dict.fromkeys(referee.won))
    print(_dumps({"won": won, "ended": ended[:300]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
