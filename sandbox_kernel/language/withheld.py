"""What an allowed module does not give: a table of module, names and the reason.

A facade starts from a module's public names (``__all__``, or names without an underscore).
Foreign modules among them are dropped for every module alike: what an allowed module imports is
not thereby allowed. This table takes away more, or (``only``) lists what alone remains. It is a
hardening of the language layer; the operating system's walls do not rely on it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ALIASES",
    "BEYOND_ALL",
    "PRIVATE_DOCUMENTED",
    "PRIVATE_GIVEN",
    "PRIVATE_MODULES",
    "WITHHELD",
    "Withheld",
]


@dataclass(frozen=True)
class Withheld:
    """Names of one module that its facade does not have, or the only ones that it has."""

    names: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    reason: str = ""


def _less(names: str, reason: str) -> Withheld:
    return Withheld(frozenset(names.split()), None, reason)


def _only(names: str, reason: str) -> Withheld:
    return Withheld(frozenset(), frozenset(names.split()), reason)


_FRAMES = "it gives frames, and with them the variables of trusted code"
_PATCH = "it changes modules or classes that the cell did not make"
_RUNS = "it runs text or bytes outside the dialect"
_MEMORY = "it reaches raw memory"
_SPAWNS = "it starts programs"
_IMPORTS = "it loads modules past the policy"
_INNER = "its inner modules hold the system's modules"

WITHHELD: dict[str, Withheld] = {
    "sys": _only(
        """argv byteorder copyright dont_write_bytecode exc_info exception executable exit
        flags float_info float_repr_style getdefaultencoding getfilesystemencoding
        getrecursionlimit getrefcount getsizeof getswitchinterval hash_info hexversion
        implementation int_info intern is_finalizing maxsize maxunicode path platform prefix
        base_prefix exec_prefix ps1 ps2 set_int_max_str_digits get_int_max_str_digits
        setrecursionlimit stderr stdin stdout thread_info version version_info warnoptions
        orig_argv stdlib_module_names builtin_module_names api_version
        """,
        "it reaches the interpreter: modules, frames, tracing, hooks",
    ),
    "inspect": _only(
        """signature Signature Parameter BoundArguments getdoc getcomments getsource
        getsourcelines getsourcefile getfile cleandoc isfunction isclass ismethod ismodule
        isbuiltin isroutine isgenerator isgeneratorfunction iscoroutine iscoroutinefunction
        isasyncgen isasyncgenfunction isawaitable isabstract isdatadescriptor
        ismethoddescriptor getmro getfullargspec getcallargs get_annotations unwrap
        formatannotation indentsize getmodulename getmembers FullArgSpec
        GEN_CREATED GEN_RUNNING GEN_SUSPENDED GEN_CLOSED getgeneratorstate
        getcoroutinestate CORO_CREATED CORO_RUNNING CORO_SUSPENDED CORO_CLOSED markcoroutinefunction
        getclasstree""",
        _FRAMES,
    ),
    "builtins": _only("", "the builtins of a cell are its own"),
    "types": _less(
        """FunctionType LambdaType CodeType ModuleType CellType FrameType TracebackType
        new_class resolve_bases prepare_class DynamicClassAttribute get_original_bases""",
        "it makes functions, code or classes past the dialect",
    ),
    "string": _less("Formatter", "it evaluates templates in trusted code; use str.format"),
    "traceback": _less("walk_tb walk_stack", _FRAMES),
    "threading": _less("settrace setprofile settrace_all_threads setprofile_all_threads", _FRAMES),
    "logging": _less("currentframe config handlers", _FRAMES),
    "typing": _less("ForwardRef evaluate_forward_ref", _RUNS),
    "typing_extensions": _less("ForwardRef evaluate_forward_ref", _RUNS),
    "annotationlib": _less("ForwardRef call_annotate_function call_evaluate_function", _RUNS),
    "io": _less("open_code", _IMPORTS),
    "code": _less("interact", _RUNS),
    "codeop": _less("Compile CommandCompiler compile_command", _RUNS),
    "unittest.mock": _less("patch", _PATCH),
    "asyncio": _less(
        "create_subprocess_exec create_subprocess_shell subprocess base_subprocess", _SPAWNS
    ),
    "asyncio.graph": _only("", _FRAMES),
    "concurrent.futures": _less("InterpreterPoolExecutor interpreter", _RUNS),
    "concurrent.interpreters": _only("", _RUNS),
    "asyncio.subprocess": _only("", _SPAWNS),
    "os": _less("_wrap_close", _SPAWNS),
    "posix": _only("", "use os"),
    "pickle": _less("_Unpickler PyUnpickler", _RUNS),
    "copyreg": _less("pickle constructor add_extension remove_extension", _PATCH),
    "marshal": _only("", "it makes code objects"),
    "shelve": _only("", _RUNS),
    "dis": _only("", "it shows and makes code objects"),
    "gc": _only("isenabled enable disable collect", "it lists every object of the process"),
    "importlib": _only("reload import_module metadata", _IMPORTS),
    "importlib.metadata": _only("version metadata packages_distributions", _IMPORTS),
    "importlib.util": _only("find_spec", _IMPORTS),
    "importlib.resources": _only("", _IMPORTS),
    "pkgutil": _only("", _IMPORTS),
    "runpy": _only("", _RUNS),
    "zipimport": _only("", _IMPORTS),
    "pydoc": _only("getdoc", _IMPORTS),
    "bdb": _only("", _FRAMES),
    "pdb": _only("", _FRAMES),
    "trace": _only("", _FRAMES),
    "profile": _only("", _RUNS),
    "cProfile": _only("", _RUNS),
    "rlcompleter": _only("", _RUNS),
    "site": _only("", _IMPORTS),
    "six": _less(
        "get_function_globals get_function_code get_function_closure get_method_function exec_",
        _FRAMES,
    ),
    # data libraries
    "numpy": _less(
        """ctypeslib f2py core source byte_bounds distutils compat
        test deprecate _core""",
        _MEMORY,
    ),
    "numpy.lib": _only(
        """Arrayterator NumpyVersion array_utils introspect mixins npyio recfunctions scimath
        stride_tricks""",
        _MEMORY,
    ),
    "numpy.lib.stride_tricks": _only(
        "sliding_window_view broadcast_to broadcast_arrays broadcast_shapes", _MEMORY
    ),
    "numpy.lib.npyio": _only("NpzFile DataSource", _RUNS),
    "numpy.ctypeslib": _only("", _MEMORY),
    "numpy.f2py": _only("", _SPAWNS),
    "numpy.core": _only("", _MEMORY),
    "numpy.testing": _less("_private runstring rundocs", _RUNS),
    "pandas": _less("core compat util pandas", _INNER),
    "pandas.io": _only("json formats", _INNER),
    "pandas.io.json": _only("build_table_schema read_json", _INNER),
    "pandas.io.formats": _only("style", _INNER),
    "pandas.io.formats.style": _only("Styler", _INNER),
    "pandas.core": _only("", _INNER),
    "scipy": _less("LowLevelCallable", _MEMORY),
    "matplotlib": _less("testing", _PATCH),
    "matplotlib.testing": _only("", _PATCH),
    "bokeh": _less("application command server ext", _RUNS),
    "bokeh.application": _only("", _RUNS),
    "bokeh.command": _only("", _RUNS),
    "bokeh.server": _only("", _RUNS),
    "jinja2": _less("ModuleLoader BytecodeCache FileSystemBytecodeCache bccache", _RUNS),
    "jinja2.loaders": _less("ModuleLoader", _RUNS),
    "jinja2.bccache": _only("", _RUNS),
    "traitlets.config": _only(
        "Config Configurable SingletonConfigurable LoggingConfigurable ConfigurableError", _RUNS
    ),
    "traitlets.config.loader": _only("Config", _RUNS),
    "traitlets.config.application": _only("", _RUNS),
    "traitlets.config.manager": _only("", _RUNS),
    "pydantic.v1": _only("", _IMPORTS),
    "sympy.utilities.source": _only("", _IMPORTS),
    "sympy": _less("test doctest external testing", _RUNS),
    "sympy.external": _only("", _IMPORTS),
    "sympy.testing": _only("", _RUNS),
    "sympy.utilities.autowrap": _only("", _SPAWNS),
    "sympy.utilities.runtests": _only("", _RUNS),
    "sympy.utilities.pkgdata": _only("", _IMPORTS),
    "sklearn.externals": _only("", _IMPORTS),
    "joblib": _less("load", _RUNS),
    "joblib.numpy_pickle": _only("", _RUNS),
    "cloudpickle": _only("", _RUNS),
    "dill": _only("", _RUNS),
    "cffi": _only("", _MEMORY),
    "IPython": _only(
        "core display get_ipython lib version_info __version__", "it is the kernel's own"
    ),
    "IPython.display": _less("display_functions", "it is the kernel's own"),
    "IPython.core": _only("display getipython", "it is the kernel's own"),
    "IPython.core.getipython": _only("get_ipython", "it is the kernel's own"),
    "IPython.lib": _only("display", "it is the kernel's own"),
}
_PRIVATE = "its name says that it is private"
PRIVATE_MODULES = {
    "matplotlib._enums": _only("CapStyle JoinStyle", _PRIVATE),
    "matplotlib._layoutgrid": _only("plot_children", _PRIVATE),
    "seaborn._core": _only("properties", _PRIVATE),
    "seaborn._core.properties": _only("Marker", _PRIVATE),
}
"""Private modules that the documentation of a library itself uses, and what it uses of them."""
WITHHELD.update(PRIVATE_MODULES)

PRIVATE_GIVEN = {
    "matplotlib.dates": ("_reset_epoch_test_example",),
    "seaborn.palettes": ("_patch_colormap_display",),
}
"""Private names that the documentation of a library itself uses."""

PRIVATE_DOCUMENTED = frozenset(
    {
        ("matplotlib.backend_bases", "Event", "_process"),
        ("mpmath.ctx_mp_python", "_mpc", "_mpc_"),
        ("mpmath.ctx_mp_python", "_mpf", "_mpf_"),
        ("seaborn._core.properties", "Marker", "_default_values"),
        ("sklearn.utils._metadata_requests", "MetadataRequest", "_serialize"),
        ("sklearn.utils._metadata_requests", "MetadataRouter", "_serialize"),
        ("sympy.physics.vector.functions", "dynamicsymbols", "_t"),
    }
)
"""Private attributes that the documentation of their library itself uses: module, function or
class (then of its instances), name."""

BEYOND_ALL = frozenset({"scipy.linalg.blas", "scipy.linalg.lapack"})
"""Modules whose documentation lists functions that their ``__all__`` leaves out."""

ALIASES = {"os.path": "posixpath", "numpy.linalg": "numpy.linalg"}
"""Submodules that live under another name."""
