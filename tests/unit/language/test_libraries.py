"""Data libraries in the frozen world: what they store on their own classes goes on working."""

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
names = "numpy pandas matplotlib mpl_toolkits sklearn scipy sympy seaborn networkx tqdm unittest"
names += " io mpmath"
session = Session(DialectRules(modules=dict.fromkeys(names.split(), "test")))
session.run(sys.argv[1], session.namespace())
"""
PYPLOT = "import io\nimport matplotlib.pyplot as plt\n"
SCENES = {
    "bar, hist and savefig": (
        "matplotlib",
        PYPLOT + "plt.bar([1], [2]); plt.hist([1, 2])\n"
        "for kind in ('png', 'pdf', 'svg', 'ps'): plt.savefig(io.BytesIO(), format=kind)",
    ),
    "axes in three dimensions": (
        "matplotlib",
        PYPLOT + "ax = plt.figure().add_subplot(projection='3d')\n"
        "ax.plot([1], [1], [1]); ax.scatter([1], [2], [3]); ax.bar3d([1], [1], [1], 1, 1, 1)\n"
        "g = [[1, 2], [3, 4]]; ax.contour(g, g, g); plt.savefig(io.BytesIO(), format='png')",
    ),
    "mathtext, norms and polar axes": (
        "matplotlib",
        PYPLOT + "from matplotlib.colors import LogNorm\nplt.subplot(projection='polar')\n"
        "plt.title(r'$\\alpha^2$'); plt.figure(); plt.imshow([[1, 2]], norm=LogNorm())\n"
        "plt.colorbar(); plt.savefig(io.BytesIO(), format='png')",
    ),
    "animation": (
        "matplotlib",
        PYPLOT + "from matplotlib.animation import FuncAnimation\nfig, ax = plt.subplots()\n"
        "line, = ax.plot([0, 1])\ndef step(i):\n    line.set_ydata([0, i])\n    return line,\n"
        "assert 'base64' in FuncAnimation(fig, step, frames=2, blit=True).to_jshtml()",
    ),
    "accessor registration": (
        "pandas",
        "import pandas as pd\n@pd.api.extensions.register_dataframe_accessor('geo')\n"
        "class Geo:\n    def __init__(self, frame): self._frame = frame\n"
        "    def n(self): return len(self._frame)\nassert pd.DataFrame({'a': [1]}).geo.n() == 1",
    ),
    "a subclass of DataFrame": (
        "pandas",
        "import pandas as pd\nclass D(pd.DataFrame):\n    _metadata = ['z']\n    @property\n"
        "    def _constructor(self): return D\nassert type(D({'a': [1]}).copy()) is D",
    ),
    "styles and table schemas": (
        "jinja2",
        "import pandas as pd\nfrom pandas.io.formats.style import Styler\n"
        "from pandas.io.json import build_table_schema\nframe = pd.DataFrame({'a': [1]})\n"
        "assert 'table' in Styler(frame).set_caption('c').to_html()\n"
        "assert pd.io.formats.style.Styler is Styler\n"
        "assert build_table_schema(frame)['primaryKey'] == ['index']",
    ),
    "query and eval": (
        "pandas",
        "import pandas as pd\nlimit = 1\nframe = pd.DataFrame({'a': [1, 2]})\n"
        "assert len(frame.query('a > @limit')) == 1\nassert frame.eval('a + 1').sum() == 5\n"
        "def f(low): return frame.query('a > @low')\nassert len(f(1)) == 1",
    ),
    "contexts of any precision": (
        "mpmath",
        "import mpmath\nmore = mpmath.mp.clone(); more.dps = 30\n"
        "assert str(more.cot(1)).startswith('0.64209261593433070300')\n"
        "for each in (mpmath.fp, mpmath.iv): assert type(each)().sin(0) == 0",
    ),
    "systems with feedback": (
        "sympy",
        "import sympy\nfrom sympy.physics.control.lti import *\ns = sympy.Symbol('s')\n"
        "t = TransferFunction(1, s + 1, s); m = TransferFunctionMatrix([[t, t], [t, t]])\n"
        "assert MIMOFeedback(m, m, 1).var == s; Feedback(t, t); MIMOSeries(m, m)",
    ),
    "tqdm and tqdm.pandas": (
        "tqdm",
        "from tqdm.auto import tqdm\nimport pandas as pd\ntqdm.pandas()\n"
        "pd.DataFrame({'a': [1]}).progress_apply(lambda row: row)\nfor _ in tqdm(range(3)): pass",
    ),
    "estimators": (
        "sklearn",
        "from sklearn.ensemble import RandomForestClassifier\n"
        "from sklearn.base import BaseEstimator, TransformerMixin\n"
        "class T(TransformerMixin, BaseEstimator):\n    def __init__(self, k=1): self.k = k\n"
        "    def fit(self, X, y=None): self._n = 1; return self\n"
        "    def transform(self, X): return X\n"
        "T().fit_transform([[1], [2]]); RandomForestClassifier(3).fit([[1], [2]], [0, 1])",
    ),
    "distributions, splines and solvers": (
        "scipy",
        "import scipy.stats\nfrom scipy.interpolate import UnivariateSpline\n"
        "from scipy.integrate import ode, solve_ivp\nscipy.stats.norm.fit([1, 2, 3])\n"
        "UnivariateSpline([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])\n"
        "r = ode(lambda t, y: -y).set_integrator('vode'); r.set_initial_value(1); r.integrate(1)\n"
        "solve_ivp(lambda t, y: -y, (0, 1), [1.0])",
    ),
    "symbols and text": (
        "sympy",
        "import sympy\nx = sympy.Symbol('x')\nassert sympy.sympify('x + 1') == x + 1\n"
        "assert sympy.lambdify(x, x ** 2 + sympy.sin(0), 'math')(2) == 4\n"
        "assert sympy.lambdify([x], sympy.Sum(x, (x, 1, 3)))(1) == 6\n"
        "assert sympy.solve(x ** 2 - 1) == [-1, 1]; sympy.Dummy(); sympy.integrate(x ** 2, x)",
    ),
    "what a library's documentation reads of it": (
        "sympy",
        "import matplotlib, pandas as pd\nfrom sympy.physics.mechanics import dynamicsymbols\n"
        "assert str(dynamicsymbols._t) == 't' and matplotlib.__version__\n"
        "from matplotlib.backend_bases import MouseEvent\nimport matplotlib.pyplot as plt\n"
        "MouseEvent('motion_notify_event', plt.figure().canvas, 1, 2)._process()\n"
        "import mpmath, sklearn\nfrom sklearn.linear_model import LogisticRegression\n"
        "assert mpmath.mpc(1, 2)._mpc_ and mpmath.mpf(1)._mpf_ == (0, 1, 0, 1)\n"
        "sklearn.set_config(enable_metadata_routing=True)\n"
        "asks = LogisticRegression().set_fit_request(sample_weight=True).get_metadata_routing()\n"
        "assert asks._serialize()['fit'] == {'sample_weight': True}\n"
        "from matplotlib._enums import CapStyle, JoinStyle\n"
        "assert CapStyle.butt.name == 'butt' and JoinStyle.round.name == 'round'\n"
        "from matplotlib._layoutgrid import plot_children\nimport matplotlib.dates as dates\n"
        "dates._reset_epoch_test_example()\n"
        "f, ax = plt.subplots(layout='constrained'); f.draw_without_rendering()\n"
        "plot_children(f)\n"
        "from seaborn._core.properties import Marker\n"
        "assert len(Marker()._default_values(3)) == 3\n"
        "from scipy.linalg.blas import dgemm\nassert dgemm(1.0, [[2.0]], [[3.0]]) == 6\n"
        "class D(pd.DataFrame):\n    _internal_names = pd.DataFrame._internal_names + ['kept']\n"
        "    _internal_names_set = set(_internal_names)\n"
        "d = D({'a': [1]}); d.kept = 2; assert list(d) == ['a']",
    ),
    "graphs": (
        "networkx",
        "import networkx as nx\ng = nx.karate_club_graph(); nx.pagerank(g)\n"
        "assert nx.shortest_path(g, 0, 33)",
    ),
    "statistical plots": (
        "seaborn",
        "import seaborn as sns\nsns.set_theme(); sns.histplot([1, 2, 3])",
    ),
    "masked arrays and mocks": (
        "numpy",
        "import numpy as np\nfrom unittest.mock import MagicMock\n"
        "a = np.ma.array([1, 2], mask=[1, 0]); assert a[0] is np.ma.masked\n"
        "m = MagicMock(); m.__len__.return_value = 3; assert len(m) == 3",
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_library_works_in_the_frozen_world(name: str, tmp_path: Path) -> None:
    library, source = SCENES[name]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, source],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-1500:]


def test_a_class_is_closed_to_the_cell_all_the_same(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    source = "import pandas as pd\nframe = pd.DataFrame\nframe.sum = 1"
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, source],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert "immutable" in done.stderr
