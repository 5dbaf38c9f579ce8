"""Per library: what it stores on its own classes after import, and how that goes on working.

``LEFT_OPEN`` lists classes that are never frozen, since their library keeps state in them.
``WARM_UP`` runs a library's lazy initialisation once, before its classes are frozen.
``LAZY_CLASSES`` lists functions that store on classes at any time: those classes are thawed while
that function runs, and only then. Each row says what is stored; the galleries test the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["LAZY_CLASSES", "LEFT_OPEN", "MACHINERY", "PATCHED_AT_IMPORT", "WARM_UP", "LazyClass"]


@dataclass(frozen=True)
class LazyClass:
    """``function`` of ``owner`` (a class, or "" for the module itself) stores on the classes
    that ``thaws`` gives for its arguments."""

    module: str
    owner: str
    function: str
    thaws: Callable[[tuple[Any, ...]], Iterable[type]]
    stores: str


def _own_class(arguments: tuple[Any, ...]) -> Iterable[type]:
    """The class itself, or the class of the object."""
    first = arguments[0]
    return (first,) if isinstance(first, type) else (type(first),)


def _family(arguments: tuple[Any, ...]) -> Iterable[type]:
    """The class and its bases."""
    first = arguments[0]
    cls = first if isinstance(first, type) else type(first)
    return [c for c in cls.__mro__ if c is not object]


def _classes_of(module: str, *names: str) -> Callable[[tuple[Any, ...]], Iterable[type]]:
    """The named classes of a module, and the class of the first argument."""

    def classes(arguments: tuple[Any, ...]) -> Iterable[type]:
        home = sys.modules[module]
        found = [getattr(home, n) for n in names if hasattr(home, n)]
        return [*found, *(_own_class(arguments) if arguments else ())]

    return classes


def _both_classes(arguments: tuple[Any, ...]) -> Iterable[type]:
    """The object's class and the class given as second argument."""
    return [type(arguments[0]), *(a for a in arguments[1:2] if isinstance(a, type))]


def _frames(_: tuple[Any, ...]) -> Iterable[type]:
    pandas: Any = sys.modules.get("pandas")
    if pandas is None:
        return []
    groupby = pandas.core.groupby
    return [
        pandas.DataFrame,
        pandas.Series,
        groupby.GroupBy,
        groupby.DataFrameGroupBy,
        groupby.SeriesGroupBy,
        pandas.core.window.rolling.Rolling,
        pandas.core.window.expanding.Expanding,
    ]


def _warm_path(module: Any) -> None:
    module.Path.unit_rectangle()
    module.Path.unit_circle()
    module.Path.unit_circle_righthalf()


def _warm_tqdm(module: Any) -> None:
    module.tqdm.get_lock()


def _warm_dateutil(module: Any) -> None:
    module.tzutc()


LEFT_OPEN: dict[tuple[str, str], str] = {
    ("weakref", "finalize"): "registry and flags of pending finalizers",
    ("_frozen_importlib_external", "PathFinder"): "importlib_metadata finds packages in its place",
    ("attr._make", "_CountingAttr"): "a count, by which fields keep their order",
    ("xarray.backends.file_manager", "CachingFileManager"): "its end, when the process ends",
    ("xarray.backends.file_manager", "PickleableFileManager"): "its end, when the process ends",
    ("dask.callbacks", "Callback"): "the callbacks that are active",
    **{
        (f"fsspec.{module}", name): "the instances that there are already"
        for module, name in (
            ("spec", "AbstractFileSystem"),
            ("asyn", "AsyncFileSystem"),
            ("implementations.local", "LocalFileSystem"),
            ("implementations.memory", "MemoryFileSystem"),
            ("implementations.http", "HTTPFileSystem"),
        )
    },
    ("threadpoolctl", "OpenBLASController._SHARED_STATE"): "which thread limits the others",
    ("unittest.mock", "Mock"): "a class of its own for each mock, which gets its methods",
    ("unittest.mock", "MagicMock"): "a class of its own for each mock, which gets its methods",
    ("unittest.mock", "AsyncMock"): "a class of its own for each mock, which gets its methods",
    ("unittest.mock", "NonCallableMock"): "a class of its own for each mock",
    ("unittest.mock", "NonCallableMagicMock"): "a class of its own for each mock",
}

PATCHED_AT_IMPORT: dict[tuple[str, str], frozenset[str]] = {
    ("logging", "Logger"): frozenset({"bokeh", "holoviews", "hvplot", "panel"}),
}
"""Classes on which a package stores when it is imported: they are thawed for that time."""

MACHINERY = frozenset(
    """executing stack_data asttokens pure_eval pygments parso jedi prompt_toolkit zmq tornado
    jupyter_client""".split()
)
"""Packages of the kernel's own that no cell is handed anything of; their classes stay open."""


def _warm_latex(module: Any) -> None:
    module.LaTeXTool.instance()


def _warm_pyparsing(module: Any) -> None:
    """Matplotlib switches the cache on at its first text; nobody else's parsers are touched."""
    if "matplotlib" in sys.modules:
        module.ParserElement.enable_packrat()


WARM_UP: dict[str, Callable[[Any], None]] = {
    "matplotlib.path": _warm_path,
    "tqdm.std": _warm_tqdm,
    "dateutil.tz.tz": _warm_dateutil,
    "pyparsing.core": _warm_pyparsing,
    "IPython.lib.latextools": _warm_latex,
}

_ART3D = "mpl_toolkits.mplot3d.art3d"
_ART3D_CLASSES = """Text3D Line3D Line3DCollection Patch3D PathPatch3D Path3DCollection
    Patch3DCollection Poly3DCollection Collection3D""".split()
_LTI = "sympy.physics.control.lti"

LAZY_CLASSES: list[LazyClass] = [
    LazyClass("matplotlib.mathtext", "MathTextParser", "_parse_cached", _own_class, "the parser"),
    LazyClass(
        "matplotlib.backend_bases",
        "",
        "_mouse_handler",
        _classes_of("matplotlib.backend_bases", "LocationEvent"),
        "the axes under the pointer",
    ),
    LazyClass(
        "matplotlib.backend_bases",
        "FigureCanvasBase",
        "_get_blit_background_id",
        _family,
        "a count",
    ),
    LazyClass(
        "seaborn.palettes",
        "",
        "_patch_colormap_display",
        _classes_of("matplotlib.colors", "Colormap"),
        "how a colour map is shown",
    ),
    LazyClass("matplotlib.legend", "Legend", "set_default_handler_map", _own_class, "the map"),
    *(
        LazyClass(_ART3D, "", name, _classes_of(_ART3D, *_ART3D_CLASSES), "a 2D artist's new class")
        for name in (
            "text_2d_to_3d",
            "line_2d_to_3d",
            "collection_2d_to_3d",
            "line_collection_2d_to_3d",
            "patch_2d_to_3d",
            "pathpatch_2d_to_3d",
            "patch_collection_2d_to_3d",
            "poly_collection_2d_to_3d",
        )
    ),
    LazyClass("dask._expr", "SingletonExpr", "__new__", _own_class, "the expressions by name"),
    *(
        LazyClass(
            module, owner, "__init__", _classes_of("logging", "Logger"), "bokeh's, imported here"
        )
        for module, owner in (
            ("distributed.scheduler", "Scheduler"),
            ("distributed.worker", "Worker"),
        )
    ),
    LazyClass("tqdm.std", "tqdm", "__new__", _family, "the monitor thread"),
    LazyClass("tqdm.std", "tqdm", "set_lock", _family, "the lock"),
    LazyClass("tqdm.std", "tqdm", "pandas", _frames, "progress_apply and its like"),
    LazyClass(
        "pandas.core.dtypes.dtypes", "PandasExtensionDtype", "reset_cache", _own_class, "a cache"
    ),
    *(
        LazyClass("networkx.utils.configs", "Config", name, _family, "the previous values")
        for name in ("__setattr__", "__delattr__", "__call__", "__enter__", "__exit__")
    ),
    LazyClass("networkx.utils.decorators", "argmap", "_count", _family, "a count"),
    LazyClass("scipy.integrate._ode", "IntegratorBase", "acquire_new_handle", _family, "a count"),
    LazyClass(
        "scipy.interpolate._fitpack2", "UnivariateSpline", "_set_class", _both_classes, "its class"
    ),
    LazyClass(
        "scipy.stats._distribution_infrastructure",
        "UnivariateDistribution",
        "_update_parameters",
        _own_class,
        "properties of the parameters",
    ),
    LazyClass(
        "sympy.core.symbol",
        "Dummy",
        "__new__",
        _classes_of("sympy.core.symbol", "Dummy"),
        "a count",
    ),
    LazyClass("sympy.core.core", "Registry", "__setattr__", _own_class, "registered objects"),
    LazyClass("sympy.core.core", "Registry", "__delattr__", _own_class, "registered objects"),
    LazyClass(
        "sympy.physics.vector.frame",
        "ReferenceFrame",
        "__init__",
        _classes_of("sympy.physics.vector.frame", "ReferenceFrame"),
        "a count",
    ),
    LazyClass(
        "sympy.printing.python",
        "PythonPrinter",
        "__init__",
        _classes_of("sympy.printing.python", "PythonPrinter"),
        "methods of known functions",
    ),
    LazyClass(
        "sympy.interactive.printing",
        "",
        "_init_ipython_printing",
        lambda _: [sys.modules["sympy.core._print_helpers"].Printable],
        "how an expression is shown",
    ),
    LazyClass(
        "sympy.parsing.mathematica", "MathematicaParser", "__init__", _own_class, "translations"
    ),
    LazyClass("sympy.physics.secondquant", "FermionState", "__new__", _own_class, "a level"),
    LazyClass("sympy.physics.units.quantities", "Quantity", "__new__", _own_class, "a flag"),
    *(
        LazyClass(_LTI, name, "__new__", _own_class, "a flag")
        for name in (
            "Series",
            "MIMOSeries",
            "Parallel",
            "MIMOParallel",
            "Feedback",
            "MIMOFeedback",
            "TransferFunction",
        )
    ),
    *(
        LazyClass(f"mpmath.{module}", name, "__init__", _own_class, "the special functions")
        for module, name in (
            ("ctx_mp", "MPContext"),
            ("ctx_fp", "FPContext"),
            ("ctx_iv", "MPIntervalContext"),
        )
    ),
    LazyClass(
        "numpy.ma.core",
        "MaskedConstant",
        "__array_finalize__",
        _classes_of("numpy.ma.core", "MaskedArray", "MaskedConstant"),
        "the class of a view",
    ),
    LazyClass("traitlets.traitlets", "HasTraits", "add_traits", _own_class, "a class with them"),
    LazyClass(
        "ipywidgets.widgets.widget", "Widget", "on_widget_constructed", _own_class, "a callback"
    ),
    LazyClass(
        "ipywidgets.widgets.widget", "Widget", "handle_control_comm_opened", _own_class, "the comm"
    ),
    LazyClass("PIL.ImageFile", "StubImageFile", "load", _own_class, "the loaded image's class"),
    LazyClass("PIL.MpoImagePlugin", "MpoImageFile", "adopt", _own_class, "the image's class"),
]
