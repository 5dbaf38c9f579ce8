"""Which names code may use: one classification for attributes, one for identifiers.

An attribute name is *plain* (read raw), *private* (starts with an underscore: raw on the cell's
own objects only) or *guarded* (asked at run time). The lists are data; each says why it exists.
"""

from __future__ import annotations

from enum import Enum

from RestrictedPython.transformer import INSPECT_ATTRIBUTES

__all__ = [
    "CLASS_WALK",
    "DEFINABLE",
    "GUARDED_NAMES",
    "MACHINERY_OF",
    "PLAIN_SPECIAL",
    "RESERVED",
    "SEMI_PUBLIC",
    "Access",
    "access",
    "is_special",
    "reserved_reason",
]


class Access(Enum):
    """How an attribute name may be read."""

    PLAIN = "plain"
    PRIVATE = "private"
    GUARDED = "guarded"


PLAIN_SPECIAL = frozenset(
    """__name__ __doc__ __qualname__ __module__ __version__ __all__ __author__
    __init__ __len__ __iter__ __next__ __getitem__ __setitem__ __delitem__ __contains__
    __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __hash__ __repr__ __str__ __bool__ __call__
    __enter__ __exit__ __aenter__ __aexit__ __aiter__ __anext__ __await__
    __add__ __radd__ __iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ __imul__
    __matmul__ __rmatmul__ __imatmul__ __truediv__ __rtruediv__ __itruediv__
    __floordiv__ __rfloordiv__ __ifloordiv__ __mod__ __rmod__ __imod__
    __divmod__ __rdivmod__ __pow__ __rpow__ __ipow__ __neg__ __pos__ __abs__ __invert__
    __and__ __rand__ __iand__ __or__ __ror__ __ior__ __xor__ __rxor__ __ixor__
    __lshift__ __rlshift__ __ilshift__ __rshift__ __rrshift__ __irshift__
    __int__ __float__ __index__ __complex__ __round__ __trunc__ __floor__ __ceil__
    __reversed__ __missing__ __length_hint__ __format__ __bytes__ __fspath__ __sizeof__
    __post_init__ __slots__ __match_args__ __cause__ __context__ __suppress_context__
    __traceback__ __notes__ __members__ __dataclass_fields__ __dataclass_params__
    __init_subclass__ __set_name__ __class_getitem__ __abstractmethods__ __isabstractmethod__
    __copy__ __deepcopy__ __replace__ __type_params__ __args__ __parameters__ __value__
    __bound__ __constraints__ __metadata__ __supertype__ __prepare__ __instancecheck__
    __subclasscheck__ __subclasshook__ __get__ __set__ __delete__ __del__ __array__
    __array_priority__ __array_ufunc__ __array_function__ __required_keys__ __optional_keys__
    __total__ __orig_bases__ __note__""".split()
)
"""Special names that are read raw: they give values, methods or text, never machinery."""

DEFINABLE = (
    PLAIN_SPECIAL - {"__traceback__", "__context__", "__cause__", "__suppress_context__"}
) | frozenset(
    """__new__ __getattr__ __getattribute__ __setattr__ __delattr__ __dir__ __annotations__
    __annotate__ __weakref__ __getstate__ __setstate__ __reduce__ __reduce_ex__ __getnewargs__
    __getnewargs_ex__ __test__ __metaclass__ __cmp__ __nonzero__ __unicode__ __div__ __rdiv__
    __idiv__ __long__ __hex__ __oct__ __coerce__ __getslice__ __setslice__ __delslice__
    __credits__ __date__ __license__ __copyright__ __email__ __maintainer__ __status__
    __conform__ __buffer__ __release_buffer__ __rich__ __rich_repr__ __rich_console__
    __array_wrap__ __array_finalize__ __array_prepare__ __array_namespace__
    __dlpack__ __dlpack_device__
    __html__ __pretty__ __json__ __pydantic_config__ __table_args__ __tablename__
    __dataframe__ __arrow_array__ __sklearn_tags__ __sklearn_is_fitted__ __sklearn_clone__
    __signature__ __wrapped__ __objclass__ __mapper_args__""".split()
)
"""Special names that a class body may define. `__array_interface__` and its like (raw memory
from Python data), `__class__`, `__dict__`, `__code__` and unknown ones are not among them."""

CLASS_WALK = frozenset("__mro__ __bases__ __base__ __subclasses__ mro".split())
"""Names that walk from a class to its relatives."""

_FRAMES_AND_CODE = (frozenset(INSPECT_ATTRIBUTES) - {"tb_next"}) | frozenset(
    "func_globals func_code im_func im_self get_stack cell_contents".split()
)
_FORMATTING = frozenset("format format_map vformat get_field get_value".split())
_RAW_MEMORY = frozenset(
    """from_address from_buffer from_buffer_copy from_param ctypes as_strided data_as
    byte_bounds cffi capsule LowLevelCallable""".split()
)
_REGISTRIES = frozenset(
    """load_module exec_module get_loader find_spec get_referrers get_referents get_objects
    gettotalrefcount""".split()
)
_OTHER = frozenset({"obj", "mro"})
_MACHINERY_OF = {
    "env": "pandas",
    "loader": "pandas",
    "template_html": "pandas",
    "template_html_table": "pandas",
    "template_html_style": "pandas",
    "template_latex": "pandas",
    "template_string": "pandas",
    "environment": "jinja2",
    "kernel": "ipykernel",
    "frame": "asyncio",
    "parser": "pathlib",
    "pathmod": "pathlib",
    "globs": "doctest",
    "module": "unittest",
}

MACHINERY_OF = _MACHINERY_OF
"""Public names that hold machinery on the objects of one package: template engines, the kernel,
namespaces of modules. On other objects they are ordinary."""

GUARDED_NAMES = (
    _FRAMES_AND_CODE | _FORMATTING | _RAW_MEMORY | _REGISTRIES | _OTHER | frozenset(_MACHINERY_OF)
)
"""Public-looking names that reach frames, code, raw memory or template evaluation."""

FRAME_NAMES = _FRAMES_AND_CODE
RAW_MEMORY_NAMES = _RAW_MEMORY

SEMI_PUBLIC = frozenset(
    """_ _asdict _replace _fields _make _field_defaults _repr_html_ _repr_png_ _repr_svg_
    _repr_jpeg_ _repr_pdf_ _repr_mimebundle_ _ipython_display_ _repr_latex_ _repr_markdown_
    _repr_json_ _repr_javascript_ _repr_pretty_ _name_ _value_ _missing_
    _generate_next_value_ _ignore_ _order_ _ipython_key_completions_
    _ipython_canary_method_should_not_exist_""".split()
)
"""Names with an underscore that are documented as public."""

_GUARD_HOOKS = frozenset(
    """_getattr_ _getitem_ _getiter_ _write_ _print_ _print _apply_ _unpack_sequence_
    _iter_unpack_sequence_ _inplacevar_""".split()
)
RESERVED = _GUARD_HOOKS | frozenset(
    """__builtins__ __builtin__ __build_class__ __loader__ __spec__ __classcell__
    __classdictcell__ __classdict__ __static_attributes__ __firstlineno__
    __conditional_annotations__ __sandbox__""".split()
)
"""Identifiers that a cell may not use: the interpreter's own, and names of guards of
RestrictedPython, which would read as guards."""

OWN_PREFIXES = ("_sandbox_own", "__sandbox_")


def is_special(name: str) -> bool:
    """True for ``__name__``-like names."""
    return len(name) > 4 and name.startswith("__") and name.endswith("__")


def access(name: str) -> Access:
    """How the attribute ``name`` may be read."""
    if name in GUARDED_NAMES:
        return Access.GUARDED
    if not name.startswith("_"):
        return Access.PLAIN
    if is_special(name):
        return Access.PLAIN if name in PLAIN_SPECIAL else Access.GUARDED
    return Access.PLAIN if name in SEMI_PUBLIC else Access.PRIVATE


def reserved_reason(name: str, *, binds: bool) -> str | None:
    """Why the identifier ``name`` may not stand in a cell, or None."""
    if name in RESERVED or name.startswith(OWN_PREFIXES):
        return "it is reserved for the interpreter"
    if binds and name in ("__class__", "__import__", "__debug__"):
        return "it cannot be bound anew"
    return None
