"""Raise an exception in another thread: the one thing about threads that Python has no call for.

https://docs.python.org/3/c-api/init.html#c.PyThreadState_SetAsyncExc
"""

from __future__ import annotations

import ctypes


def raise_in(thread: int, error: type[BaseException]) -> bool:
    """Raise `error` in the thread of that ident, at its next bytecode; False when it is gone.

    A thread that runs C code meets it when it is back in Python.
    """
    set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
    return bool(set_exception(ctypes.c_ulong(thread), ctypes.py_object(error)))
