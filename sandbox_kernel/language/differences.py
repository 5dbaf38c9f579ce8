"""Where the dialect differs from RestrictedPython, told by RestrictedPython's own tests.

Its suite is run against our transformer at test time (fetched as a source distribution, never
kept here). Each test that then differs matches one row: a pattern of its node id, and the reason.
A test that differs and matches no row fails our suite.
"""

from __future__ import annotations

import re

__all__ = ["DIFFERENCES", "reason_for"]

_NO_HOOKS = (
    "It looks for calls of the hooks `_getattr_`, `_getitem_`, `_getiter_`, `_write_`, "
    "`_unpack_sequence_` or `_inplacevar_`. The dialect has no hooks by name: what can be decided "
    "from the text is, and the remaining guards are constants of the code."
)
_PRIVATE = (
    "It expects that names with an underscore are refused. They are ordinary Python here: as "
    "variables free, as attributes free on the cell's own objects."
)
_PRINT = "It expects that `print` is collected; here `print` is `print`."
_WORDS = "It compares the words of a refusal; ours name the construct, why, and what to write."
_ACCEPTED = "It expects that a construct is refused which is ordinary notebook Python here."
_RUNTIME = (
    "It expects a refusal when the text is compiled; here the access is guarded when it runs, "
    "since on the cell's own objects it is allowed."
)
_API = "It tests the interface of `compile_restricted*` (warnings, used names, wrapped functions)."

DIFFERENCES: tuple[tuple[str, str], ...] = (
    (r"test_Guards.*safer_getattr", _RUNTIME),
    (r"test_Guards.*unpack_sequence", _NO_HOOKS),
    (r"(call|import)_py3_builtins|import_py3_as_builtins|breakpoint", _ACCEPTED),
    (r"test_NamedExpr", _PRIVATE),
    (r"test_compile(_restricted_function)?\.py", _API),
    (r"test_eval\.py", _API),
    (r"test_imports\.py", _WORDS),
    (r"iterate_over_dict_items", _NO_HOOKS),
    (r"test_print_function", _PRINT),
    (r"transformer/test_async", _ACCEPTED),
    (r"transformer/test_(attribute|inspect)", _RUNTIME),
    (r"transformer/test_augassign", _NO_HOOKS),
    (r"transformer/test_call.*visit_Call__", _NO_HOOKS),
    (r"transformer/test_call.*private", _PRIVATE),
    (r"transformer/test_classdef", _PRIVATE),
    (r"transformer/test_eval_exec", _ACCEPTED + " Their text is compiled in the dialect."),
    (r"transformer/test_fstring", _PRIVATE),
    (r"transformer/test_(functiondef|lambda|name|try|import)", _PRIVATE),
    (r"transformer/test_import.*star", _ACCEPTED),
    (r"transformer/test_global_local", _ACCEPTED),
    (r"transformer/test_yield", _ACCEPTED),
    (
        r"transformer/test_(assign|conditional|dict_comprehension|iterator|subscript|with_stmt"
        r"|gen|comprehension_unpacking|tstring|loop|slice|lazy_import)",
        _NO_HOOKS,
    ),
)


def reason_for(test: str) -> str | None:
    """Why the test with this node id differs, or None."""
    return next((why for pattern, why in DIFFERENCES if re.search(pattern, test)), None)
