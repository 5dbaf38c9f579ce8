"""Libraries that look objects up by name, and those that write methods as text, go on working."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
RUN = """
import sys, warnings
warnings.simplefilter("ignore")
from sandbox_kernel.language import DialectRules, Session
names = "traitlets ipywidgets jinja2 yaml pydantic attr attrs bokeh dataclasses math io tqdm "
names += "pandas matplotlib sympy logging"
session = Session(DialectRules(modules=dict.fromkeys(names.split(), "test")))
session.run(sys.argv[1], session.namespace())
"""
SCENES = {
    "traits that name classes": (
        "traitlets",
        "import traitlets as t\nclass A(t.HasTraits):\n    n = t.Int(2)\n"
        "    m = t.Instance('fractions.Fraction', allow_none=True)\nA()",
        "fractions: module not granted",
    ),
    "widgets": (
        "ipywidgets",
        "import ipywidgets as w\nassert w.IntSlider(value=3).value == 3\nw.HBox([w.Button()])\n"
        "w.interactive(lambda x: x, x=3); w.Dropdown(options=[1, 2])",
        "",
    ),
    "templates with an extension": (
        "jinja2",
        "import jinja2\ne = jinja2.Environment(extensions=['jinja2.ext.do'])\n"
        "assert e.from_string('{% do x.append(1) %}{{ x }}').render(x=[]) == '[1]'",
        "",
    ),
    "an extension that the policy does not give": (
        "jinja2",
        "import jinja2\njinja2.Environment(extensions=['subprocess.Popen'])",
        "subprocess: module not granted",
    ),
    "objects of the cell in YAML": (
        "yaml",
        "import yaml\nclass K: pass\nk = K(); k.z = 3\n"
        "assert yaml.unsafe_load(yaml.dump(k)).z == 3\n"
        "assert yaml.full_load('!!python/tuple [1]') == (1,)",
        "",
    ),
    "models": (
        "pydantic",
        "import pydantic\nclass M(pydantic.BaseModel):\n    a: int = 1\n"
        "    f: pydantic.ImportString = 'math.sin'\n"
        "assert M(a='3').a == 3 and pydantic.create_model('N', z=(int, 3))().z == 3",
        "",
    ),
    "attrs classes": (
        "attr",
        "import attr, attrs\n@attr.s\nclass A:\n    x = attr.ib(default=2)\n"
        "@attrs.define\nclass B:\n    y: int = 3\n"
        "assert attr.asdict(A()) == {'x': 2} and B().y == 3",
        "",
    ),
    "a figure of bokeh": (
        "bokeh",
        "from bokeh.plotting import figure\nf = figure(); f.line([1, 2], [2, 3])",
        "",
    ),
    "a template that walks into what it formats": (
        "tqdm",
        "from tqdm import tqdm\n"
        "tqdm.format_meter(1, 2, 1.0, bar_format='{unit.__globals__}', unit='it')",
        "a format template that reads the attribute '__globals__' is refused",
    ),
    "templates of libraries": (
        "pandas",
        "import io, logging, pandas as pd\nfrom tqdm import tqdm\n"
        "from matplotlib.ticker import StrMethodFormatter\n"
        "record = logging.makeLogRecord({'msg': 'a'})\n"
        "assert logging.Formatter('{message:>3}', style='{').format(record) == '  a'\n"
        "for _ in tqdm([1], bar_format='{l_bar}{bar}|{n_fmt}', file=io.StringIO()): pass\n"
        "assert StrMethodFormatter('{x:.1f}')(2) == '2.0'\n"
        "assert '1.5' in pd.DataFrame({'a': [1.5]}).style.format('{:.1f}').to_html()",
        "",
    ),
    "expressions of sympy's plots and second parser": (
        "sympy",
        "import sympy\nfrom sympy.plotting.experimental_lambdify import experimental_lambdify\n"
        "from sympy.parsing.ast_parser import parse_expr\nx = sympy.Symbol('x')\n"
        "f = experimental_lambdify((x,), sympy.sin(x) + x, use_python_math=True)\n"
        "assert f(0) == 0 and parse_expr('x + 1', {}) == x + 1",
        "",
    ),
    "a dataclass with annotations of its own making": (
        "dataclasses",
        "import dataclasses\nclass A: pass\nA.__annotations__ = {'x': int, 'y z': int}\n"
        "dataclasses.dataclass(A)",
        "it is no name",
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_a_library_names_what_a_cell_may_name(name: str, tmp_path: Path) -> None:
    library, source, refusal = SCENES[name]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, source],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert (done.returncode == 0) is not bool(refusal), done.stderr[-1500:]
    assert refusal in done.stderr


def test_a_module_that_is_imported_late_has_its_deputies(tmp_path: Path) -> None:
    """The import hook, rather than the next import of a cell, prepares the module."""
    source = (
        "import sys\nfrom sandbox_kernel.language import DialectRules, Session\n"
        "session = Session(DialectRules(modules={'io': ''}))\n"
        "import code\nassert code.compile is not compile\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", source],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-1500:]
