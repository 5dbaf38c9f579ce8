"""Where the dialect differs from RestrictedPython, told by RestrictedPython's own tests.

Its suite is run against our transformer at test time (fetched as a source distribution, never
kept here). The tests that then differ are listed here by name, each with its reason. Our suite
fails when one differs that is not listed, and when one is listed that does not differ.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["DIFFERENCES", "differing_tests"]

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

_EVALUATED = _ACCEPTED + " Their text is compiled in the dialect."

DIFFERENCES: dict[str, dict[str, str]] = {
    _NO_HOOKS: {
        "test_Guards.py": "test_Guards__guarded_unpack_sequence__1",
        "test_iterating_over_dict_items.py": "test_iterate_over_dict_items_plain",
        "transformer/test_assign.py": """
            test_RestrictingNodeTransformer__visit_Assign__1
            test_RestrictingNodeTransformer__visit_Assign__2
        """,
        "transformer/test_augassign.py": """
            test_RestrictingNodeTransformer__visit_AugAssign__1
            test_RestrictingNodeTransformer__visit_AugAssign__2
            test_RestrictingNodeTransformer__visit_AugAssign__3
            test_RestrictingNodeTransformer__visit_AugAssign__4
            test_RestrictingNodeTransformer__visit_AugAssign__5
        """,
        "transformer/test_call.py": """
            test_RestrictingNodeTransformer__visit_Call__1
            test_RestrictingNodeTransformer__visit_Call__2
            test_visit_Call__private_function test_visit_Call__private_method
        """,
        "transformer/test_conditional.py": "test_RestrictingNodeTransformer__test_ternary_if",
        "transformer/test_dict_comprehension.py": "test_dict_comprehension_with_attrs",
        "transformer/test_iterator.py": """
            test_RestrictingNodeTransformer__guard_iter__1
            test_RestrictingNodeTransformer__guard_iter__2
        """,
        "transformer/test_subscript.py": """
            test_read_simple_subscript test_read_subscript_with_variable
            test_tuple_subscript test_read_slice_subscript_no_upper_bound
            test_read_slice_subscript_no_lower_bound test_read_slice_subscript_no_step
            test_read_slice_subscript_with_step test_read_extended_slice_subscript
        """,
        "transformer/test_with_stmt.py": """
            test_with_stmt_unpack_sequence test_with_stmt_multi_ctx_unpack_sequence
            test_with_stmt_attribute_access test_with_stmt_subscript
        """,
    },
    _RUNTIME: {
        "test_Guards.py": """
            test_Guards__safer_getattr__1a test_Guards__safer_getattr__1b
            test_Guards__safer_getattr__1c test_Guards__safer_getattr__1d
            test_Guards__safer_getattr__1e test_Guards__safer_getattr__1g
            test_Guards__safer_getattr__1h test_Guards__safer_getattr__1i
            test_Guards__safer_getattr__1j test_Guards__safer_getattr__1k
        """,
        "transformer/test_attribute.py": """
            test_RestrictingNodeTransformer__visit_Attribute__1
            test_RestrictingNodeTransformer__visit_Attribute__2
            test_RestrictingNodeTransformer__visit_Attribute__3
            test_RestrictingNodeTransformer__visit_Attribute__5
            test_RestrictingNodeTransformer__visit_Attribute__5_5
            test_RestrictingNodeTransformer__visit_Attribute__6
            test_RestrictingNodeTransformer__visit_Attribute__7
            test_RestrictingNodeTransformer__visit_Attribute__8
        """,
        "transformer/test_inspect.py": """
            test_get_inspect_frame_on_generator test_get_inspect_frame_back_on_generator
            test_get_inspect_attributes_on_async_generator
            test_call_inspect_frame_on_generator
        """,
    },
    _ACCEPTED: {
        "test_Guards.py": "test_call_py3_builtins",
        "test_imports.py": "test_import_py3_builtins test_import_py3_as_builtins",
        "transformer/test_async.py": """
            test_async_def test_await test_async_with test_async_for
        """,
        "transformer/test_breakpoint.py": "test_call_breakpoint",
        "transformer/test_global_local.py": "test_Nonlocal",
        "transformer/test_yield.py": "test_async_yield_from",
    },
    _PRIVATE: {
        "test_NamedExpr.py": """
            TestNamedExpr::test_no_private_target TestNamedExpr::test_simple_only
        """,
        "transformer/test_classdef.py": """
            test_RestrictingNodeTransformer__visit_ClassDef__2
            test_RestrictingNodeTransformer__visit_ClassDef__3
            test_RestrictingNodeTransformer__visit_ClassDef__4
        """,
        "transformer/test_fstring.py": """
            test_transform test_visit_invalid_variable_name
            test_f_string_self_documenting_expressions
        """,
        "transformer/test_functiondef.py": """
            test_RestrictingNodeTransformer__visit_FunctionDef__1
            test_RestrictingNodeTransformer__visit_FunctionDef__2
            test_RestrictingNodeTransformer__visit_FunctionDef__3
            test_RestrictingNodeTransformer__visit_FunctionDef__4
            test_positional_only_arg_with_underscore_is_rejected
            test_positional_only_arg_with_default_underscore_is_rejected
            test_RestrictingNodeTransformer__visit_FunctionDef__7
            test_positional_only_lambda_arg_with_underscore_is_rejected
            test_RestrictingNodeTransformer__module_func_def_name_call
        """,
        "transformer/test_import.py": """
            test_RestrictingNodeTransformer__visit_Import__2
            test_RestrictingNodeTransformer__visit_Import__3
            test_RestrictingNodeTransformer__visit_Import__4
            test_RestrictingNodeTransformer__visit_Import__7
            test_RestrictingNodeTransformer__visit_Import__8
            test_RestrictingNodeTransformer__visit_Import__9
            test_RestrictingNodeTransformer__visit_Import_star__1
            test_RestrictingNodeTransformer__visit_Import_star__2
        """,
        "transformer/test_lambda.py": """
            test_RestrictingNodeTransformer__visit_Lambda__1
            test_RestrictingNodeTransformer__visit_Lambda__2
            test_RestrictingNodeTransformer__visit_Lambda__3
            test_RestrictingNodeTransformer__visit_Lambda__4
            test_RestrictingNodeTransformer__visit_Lambda__7
            test_RestrictingNodeTransformer__visit_Lambda__8
        """,
        "transformer/test_name.py": """
            test_RestrictingNodeTransformer__visit_Name__1
            test_RestrictingNodeTransformer__visit_Name__2
            test_RestrictingNodeTransformer__visit_Name__3
            test_RestrictingNodeTransformer__visit_Name__4
            test_RestrictingNodeTransformer__visit_Name__4_4
            test_RestrictingNodeTransformer__visit_Name__4_5
            test_RestrictingNodeTransformer__visit_Name__4_6
            test_RestrictingNodeTransformer__visit_Name__4_7
            test_RestrictingNodeTransformer__visit_Name__5
            test_RestrictingNodeTransformer__visit_Name__6
            test_RestrictingNodeTransformer__visit_Name__7
        """,
        "transformer/test_try.py": """
            test_RestrictingNodeTransformer__visit_TryStar__1
            test_RestrictingNodeTransformer__visit_ExceptHandler__2
        """,
    },
    _API: {
        "test_compile.py": """
            test_compile__compile_restricted_exec__3
            test_compile__compile_restricted_exec__4
            test_compile__compile_restricted_exec__5
            test_compile__compile_restricted_exec__10
            test_compile__compile_restricted_eval__1
            test_compile__compile_restricted_eval__used_names test_compile_restricted
            test_compile_restricted_eval test_compile___compile_restricted_mode__1
        """,
        "test_compile_restricted_function.py": """
            test_compile_restricted_function
            test_compile_restricted_function_func_wrapped
            test_compile_restricted_function_with_arguments
            test_compile_restricted_function_can_access_global_variables
            test_compile_restricted_function_pre_parse_exec
        """,
        "test_eval.py": """
            test_prepRestrictedCode test_call test_eval
            test_Eval__RestrictionCapableEval_1
            test_Eval__RestictionCapableEval__prepRestrictedCode_1
            test_Eval__RestictionCapableEval__eval_1
        """,
    },
    _WORDS: {
        "test_imports.py": "test_os_import",
    },
    _PRINT: {
        "test_print_function.py": """
            test_print_function__simple_prints test_print_function_with_star_args
            test_print_function_with_kw_args test_print_function__protect_file
            test_print_function__nested_print_collector
            test_print_function__with_printed_no_print
            test_print_function__with_printed_no_print_nested
            test_print_function__with_print_no_printed
            test_print_function__with_print_no_printed_nested
            test_print_function_no_new_scope test_print_function_pass_print_function
            test_print_function_conditional_print
        """,
    },
    _EVALUATED: {
        "transformer/test_eval_exec.py": """
            test_RestrictingNodeTransformer__visit_Exec__2
            test_RestrictingNodeTransformer__visit_Eval__1
        """,
    },
}
"""Reason, to the tests that it explains: file of the suite, to names of its tests."""


def differing_tests() -> Iterator[tuple[str, str]]:
    """The node id of each test that differs, and why."""
    for reason, files in DIFFERENCES.items():
        for file, names in files.items():
            for name in names.split():
                yield f"tests/{file}::{name}", reason
