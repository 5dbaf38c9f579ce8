"""Run documents cell by cell: ``python -m benchmarks.corpus_play plain|restricted [MODULE…]``.

A job is a line of JSON on stdin, its answer a line on stdout. The process imports the libraries
once and forks a child a document, so that documents do not meet each other and imports are paid
once. As in a notebook, the figures that a cell leaves open are drawn at its end and closed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
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
    pyparsing requests yaml jinja2 pylab threadpoolctl narwhals nbgrader nbconvert nbformat mpmath
    bs4 lxml pooch pyarrow sqlalchemy tabulate openpyxl xlsxwriter binascii codecs optparse
    pickletools cProfile importlib gc mailbox""".split()
)
_PRELOAD = "numpy pandas scipy.stats scipy.optimize matplotlib.pyplot sklearn.base sklearn.datasets"
_PRELOAD += " sklearn.ensemble sklearn.linear_model sympy seaborn networkx statsmodels.api"
_OUTPUT = 200_000  # characters kept of a cell's output
_MEMORY = 4 << 30  # bytes
_COPIED = 20 << 20  # bytes of a document's folder
_WAITED = 5  # times the limit of processor time that a document may take by the clock
_DOTS = 50  # dots an inch of the figures that are compared


def main(arguments: list[str]) -> None:
    """Play a document for each job that comes."""
    variant, *modules = arguments
    warnings.simplefilter("ignore")
    for name in _PRELOAD.split():
        with contextlib.suppress(ImportError):
            __import__(name)
    shell = _shell(variant, modules or MODULES)
    for line in sys.stdin:
        print(json.dumps(_in_child(shell, json.loads(line))), flush=True)


def _shell(variant: str, modules: Sequence[str]) -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    shell = InteractiveShell.instance(config=config)
    shell.colors = "nocolor"
    if variant == "restricted":
        from sandbox_kernel.language import DialectRules
        from sandbox_kernel.sandboxed.dialect import install

        rules = DialectRules(modules=dict.fromkeys(modules, "the corpus"), policy="corpus")
        install(shell, rules)
    return shell


def _in_child(shell: Any, job: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="document-", ignore_cleanup_errors=True) as folder:
        answer = Path(folder, "answer.json")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setsid()
                _play(shell, job, answer, folder)
                status = 0
            finally:
                os._exit(status)
        deadline, ended = time.monotonic() + _WAITED * job["seconds"], True
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                ended = False
                break
            time.sleep(0.005)
        cells = []
        if answer.exists():
            told = answer.read_text("utf-8").splitlines(keepends=True)
            cells = [json.loads(line) for line in told if line.endswith("\n")]
    return {"cells": cells, "in time": ended}


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
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(job["seconds"]),) * 2)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.chdir(_copy_of(Path(job["root"], job["path"]).parent, Path(folder, "work")))
    os.environ["HOME"] = folder
    _seed()
    if job["each_statement"]:
        shell.ast_node_interactivity = "all"
    with open(answer, "w", encoding="utf-8") as out:
        for cell in job["cells"]:
            text = io.StringIO()
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
                result = shell.run_cell(cell, store_history=True)
                figures = _figures()
            error = result.error_before_exec or result.error_in_exec
            shown = {
                "error": type(error).__name__ if error is not None else None,
                "why": str(error)[:300] if error is not None else "",
                "text": text.getvalue()[:_OUTPUT] + figures,
            }
            out.write(json.dumps(shown) + "\n")
            out.flush()


def _seed() -> None:
    """Unseeded examples draw the same numbers in either interpreter."""
    random.seed(0)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(0)


def _figures() -> str:
    """A line for each open figure, which is drawn and closed."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    lines = []
    for number in pyplot.get_fignums() if pyplot is not None else ():
        image = io.BytesIO()
        try:
            pyplot.figure(number).savefig(image, format="png", dpi=_DOTS)
            lines.append(f"<figure {hashlib.sha256(image.getvalue()).hexdigest()[:16]}>\n")
        except Exception as error:
            lines.append(f"<figure that cannot be drawn: {type(error).__name__}: {error}>\n")
    if lines:
        pyplot.close("all")
    return "".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
