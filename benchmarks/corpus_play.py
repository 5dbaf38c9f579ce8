"""Run documents cell by cell: ``python -m benchmarks.corpus_play plain|restricted JOBS OUT``.

One process takes all documents of a job file: it imports the libraries once and forks a child a
document, so that documents do not meet each other and imports are paid once.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

__all__ = ["MODULES"]

MODULES = tuple(
    """abc argparse array ast asyncio atexit base64 bisect bz2 calendar cmath collections
    colorsys concurrent configparser contextlib contextvars copy csv dataclasses datetime decimal
    difflib email enum errno fnmatch fractions functools gettext glob graphlib gzip hashlib heapq
    hmac html http inspect io ipaddress itertools json keyword linecache locale logging lzma math
    mimetypes numbers operator os pathlib pickle platform pprint queue random re reprlib sched
    secrets select shlex shutil signal socket sqlite3 ssl stat statistics string struct sys
    sysconfig tarfile tempfile textwrap threading time timeit tokenize traceback types typing
    unicodedata unittest urllib uuid warnings weakref xml zipfile zlib zoneinfo token doctest
    numpy pandas scipy sklearn matplotlib mpl_toolkits sympy seaborn networkx statsmodels tqdm
    ipywidgets traitlets IPython PIL joblib patsy packaging pytz dateutil cycler kiwisolver
    pyparsing requests yaml jinja2 pylab threadpoolctl narwhals nbgrader mpmath""".split()
)
_PRELOAD = "numpy pandas scipy.stats scipy.optimize matplotlib.pyplot sklearn.base sklearn.datasets"
_PRELOAD += " sklearn.ensemble sklearn.linear_model sympy seaborn networkx statsmodels.api"
_OUTPUT = 200_000  # characters kept of a cell's output
_MEMORY = 4 << 30  # bytes
_COPIED = 20 << 20  # bytes of a document's folder


def main(arguments: list[str]) -> None:
    """Play every document of the job file."""
    variant, jobs_file, out_file = arguments
    jobs = json.loads(Path(jobs_file).read_text(encoding="utf-8"))
    os.environ["MPLBACKEND"] = "agg"
    warnings.simplefilter("ignore")
    for name in _PRELOAD.split():
        with contextlib.suppress(ImportError):
            __import__(name)
    shell = _shell(variant)
    with open(out_file, "w", encoding="utf-8") as out:
        for job in jobs:
            out.write(json.dumps(_in_child(shell, job)) + "\n")
            out.flush()


def _shell(variant: str) -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    shell = InteractiveShell.instance(config=config)
    shell.colors = "nocolor"
    if variant == "restricted":
        from sandbox_kernel.language import DialectRules
        from sandbox_kernel.sandboxed.dialect import install

        rules = DialectRules(modules=dict.fromkeys(MODULES, "the corpus"), policy="corpus")
        install(shell, rules)
    return shell


def _in_child(shell: Any, job: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="document-") as folder:
        answer = Path(folder, "answer.json")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _play(shell, job, answer, folder)
                status = 0
            finally:
                os._exit(status)
        deadline = time.monotonic() + job["seconds"]
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            time.sleep(0.005)
        cells = []
        if answer.exists():
            cells = [json.loads(line) for line in answer.read_text("utf-8").splitlines()]
    return {"package": job["package"], "path": job["path"], "cells": cells}


def _copy_of(work: Path, into: Path) -> Path:
    """A copy of the document's folder, so that one run does not meet another's files."""
    into.mkdir()
    total = 0
    for path in sorted(work.iterdir()) if work.is_dir() else []:
        if path.is_file() and total + path.stat().st_size <= _COPIED:
            total += path.stat().st_size
            shutil.copy(path, into)
    return into


def _play(shell: Any, job: dict[str, Any], answer: Path, folder: str) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.chdir(_copy_of(Path(job["root"], job["path"]).parent, Path(folder, "work")))
    with open(answer, "w", encoding="utf-8") as out:
        for cell in job["cells"]:
            text = io.StringIO()
            began = time.process_time()
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
                result = shell.run_cell(cell, store_history=True)
            error = result.error_before_exec or result.error_in_exec
            shown = {
                "error": type(error).__name__ if error is not None else None,
                "why": str(error)[:300] if error is not None else "",
                "text": text.getvalue()[:_OUTPUT],
                "seconds": time.process_time() - began,
            }
            out.write(json.dumps(shown) + "\n")
            out.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
