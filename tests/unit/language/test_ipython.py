"""The dialect in an IPython shell, each scene in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SHELL = """
import contextlib, io, json, sys, warnings
warnings.simplefilter("ignore")
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from sandbox_kernel.language import DialectRules
from sandbox_kernel.sandboxed import dialect

config = Config()
config.HistoryManager.hist_file = ":memory:"
shell = InteractiveShell.instance(config=config)
shell.colors = "nocolor"
modules = dict.fromkeys("json math os sys time asyncio importlib IPython.display".split(), "test")
session = dialect.install(shell, DialectRules(modules=modules, policy="tests.toml"))

def complete(text):
    from IPython.core.completer import provisionalcompleter

    with provisionalcompleter():
        return [c.text for c in shell.Completer.completions(text, len(text))]


told = []
for cell in json.loads(sys.argv[1]):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        result = shell.run_cell(cell, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    told.append({"text": text.getvalue(), "error": type(error).__name__ if error else None,
                 "result": repr(result.result), "before": result.error_before_exec is not None})
extra = {}
if len(sys.argv) > 2:
    extra = eval(sys.argv[2])
print("\\n" + json.dumps([told, extra]))
"""


def play(folder: Path, *cells: str, then: str = "{}") -> tuple[list[dict[str, Any]], Any]:
    """Run cells in a fresh shell whose working directory is ``folder``."""
    plain = [textwrap.dedent(cell) for cell in cells]
    done = subprocess.run(
        [sys.executable, "-P", "-c", SHELL, json.dumps(plain), then],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told, extra = json.loads(done.stdout.splitlines()[-1])
    return told, extra


def test_display_history_and_last_expression(tmp_path: Path) -> None:
    told, _ = play(tmp_path, "x = 41\nx + 1", "(_, _1, In[1], Out[1])", "x;")
    assert told[0]["result"] == "42"
    assert told[1]["result"] == "(42, 42, 'x = 41\\nx + 1', 42)"


def test_a_cell_is_refused_before_its_first_statement(tmp_path: Path) -> None:
    told, _ = play(tmp_path, "print('ran')\n().__class__", "1 + 1")
    assert told[0]["before"]
    assert "ran\n" not in told[0]["text"]
    assert "line 2" in told[0]["text"]
    assert told[1]["result"] == "2"


def test_top_level_await_and_future(tmp_path: Path) -> None:
    told, _ = play(
        tmp_path,
        "import asyncio\nawait asyncio.sleep(0, 7)",
        "from __future__ import annotations\ndef f(x: Nowhere): return x\nf(1)",
        "def g(x: Nowhere): return x\ng(2)",
    )
    assert [t["result"] for t in told] == ["7", "1", "2"]


@pytest.mark.parametrize(
    "cell",
    ["!true", "%run x.py", "%%bash\ntrue", "%sx true", "get_ipython().system('true')", "x = !true"],
)
def test_programs_need_the_capability(cell: str, tmp_path: Path) -> None:
    told, _ = play(tmp_path, cell)
    assert told[0]["error"] == "PermissionError"
    assert "processes" in told[0]["text"]


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ("%prun 1", "timeit"),
        ("%pip install x", "administrator"),
        ("%load_ext cython", "extension"),
        ("%pylab", "import"),
        ("%debug", "frames"),
        ("%config TerminalIPythonApp.x = 1", "kernel's own"),
    ],
)
def test_magics_outside_the_allowlist_say_why(cell: str, word: str, tmp_path: Path) -> None:
    told, _ = play(tmp_path, cell)
    assert word in told[0]["text"]
    assert told[0]["error"] is not None


def test_magics_run_their_text_in_the_dialect(tmp_path: Path) -> None:
    told, _ = play(
        tmp_path,
        "%%time\n().__class__",
        "%timeit -n1 -r1 ().__class__",
        "x = 3\n%timeit -n1 -r1 x + 1",
        "%%capture out\nprint('held')",
        "out.stdout",
        "name = (1).real\n%time ().__class__",
    )
    assert told[0]["error"] == told[1]["error"] == told[5]["error"] == "RefusedSyntax"
    assert "per loop" in told[2]["text"]
    assert told[4]["result"] == repr("held\n")


def test_names_in_a_magic_line_are_evaluated_in_the_dialect(tmp_path: Path) -> None:
    told, _ = play(tmp_path, "x = 3", "%pwd", "%timeit -n1 -r1 {().__class__.__base__}")
    assert "<class" not in told[2]["text"]


@pytest.mark.parametrize(
    "cell",
    [
        "get_ipython().user_global_ns",
        "get_ipython().ex('1')",
        "get_ipython().compile",
        "get_ipython().user_ns['__builtins__']",
        "get_ipython().kernel",
        "exit._ip",
        "__builtin__",
    ],
)
def test_the_shell_is_a_facade(cell: str, tmp_path: Path) -> None:
    told, _ = play(tmp_path, cell)
    assert told[0]["error"] is not None


def test_reset_does_not_bring_the_real_builtins_back(tmp_path: Path) -> None:
    told, _ = play(tmp_path, "%reset -f", "get_ipython().ex", "'__builtin__' in globals()")
    assert told[1]["error"] == "AttributeError"
    assert told[2]["result"] == "False"


def test_tracebacks_show_the_cells_lines_and_no_guard(tmp_path: Path) -> None:
    told, _ = play(tmp_path, "def f(a):\n    b = 1\n    return a._secret\n\n\nf(1)")
    assert "----> 6 f(1)" in told[0]["text"]
    assert "----> 3     return a._secret" in told[0]["text"]
    assert "sandbox_kernel" not in told[0]["text"]


def test_completion_reveals_what_a_cell_may_read(tmp_path: Path) -> None:
    then = "{t: complete(t) for t in ('math.sq', 'math.__', 'import ct', 'import js', 'a.')}"
    _, shown = play(
        tmp_path,
        "import math\nclass A:\n    @property\n    def p(self):\n        print('RAN')\na = A()",
        then=then,
    )
    assert "sqrt" in str(shown["math.sq"])
    assert "__loader__" not in str(shown["math.__"])
    assert "__dict__" not in str(shown["math.__"])
    assert "ctypes" not in str(shown["import ct"])
    assert "json" in str(shown["import js"])
    assert "p" in str(shown["a."])


def test_a_property_is_not_run_by_completion(tmp_path: Path) -> None:
    told, shown = play(
        tmp_path,
        "ran = []\nclass A:\n    @property\n    def p(self): ran.append(1)\na = A()",
        then="[complete('a.p'), shell.user_ns['ran']]",
    )
    assert told[0]["error"] is None
    assert shown[1] == []


def test_inspection_hides_what_is_refused(tmp_path: Path) -> None:
    then = "[shell._ofind(n).found for n in ('math.sqrt', 'math.__dict__', '__builtins__')]"
    _, found = play(tmp_path, "import math", then=then)
    assert found == [True, False, False]


def test_user_expressions_are_cells_too(tmp_path: Path) -> None:
    then = "shell.user_expressions({'a': '1 + 1', 'b': '().__class__'})"
    _, shown = play(tmp_path, "x = 1", then=then)
    assert shown["a"]["data"]["text/plain"] == "2"
    assert shown["b"]["status"] == "error"


def test_a_file_beside_the_notebook_is_imported_in_the_dialect(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import json\nX = 1\ndef f(): return json.dumps(X)\n")
    (tmp_path / "bad.py").write_text("X = 1\nY = ().__class__\n")
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')\n")
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("from .inner import Z\n")
    (package / "inner.py").write_text("Z = 5\n")
    told, _ = play(
        tmp_path,
        "import helper\nhelper.f()",
        "import bad",
        "import json\njson.dumps(1)",
        "import pack.inner\npack.Z + pack.inner.Z",
        "from helper import *\nX",
        "helper.X = 7\nhelper.f()",
    )
    assert told[0]["result"] == repr("1")
    assert told[1]["error"] == "RefusedSyntax"
    assert "line 2" in told[1]["text"]
    assert told[2]["result"] == repr("1")
    assert told[3]["result"] == "10"
    assert told[4]["result"] == "1"
    assert told[5]["result"] == repr("7")


def test_a_changed_file_is_reloaded(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("X = 1\n")
    told, _ = play(
        tmp_path,
        "%load_ext autoreload\n%autoreload 2\nimport helper\nhelper.X",
        "with open('helper.py', 'w') as f: print(f.write('X = 22\\n'))",
        "helper.X",
        "import importlib\nimportlib.reload(helper).X",
    )
    assert told[0]["result"] == "1"
    assert told[2]["result"] == "22"
    assert told[3]["result"] == "22"


def test_an_extension_module_beside_the_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fast.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF")
    (tmp_path / "fast.abi3.so").write_bytes(b"\x7fELF")
    told, _ = play(tmp_path, "import fast")
    assert told[0]["error"] == "ImportError"
    assert "extension module" in told[0]["text"]
    assert "modules" in told[0]["text"]
