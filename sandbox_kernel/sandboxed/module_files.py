"""The module of a file, known to `inspect` without a question to the file system.

`inspect` finds the module of a file by resolving the file names of all modules at the first
question: thousands of calls of lstat(2), after an import of pandas twice as many. Where the notify
door answers each of them, the first traceback would take a second. The names that `import` has put
down are the ones that code objects have, so they do without being resolved.
"""

from __future__ import annotations

import inspect
import sys
import types
from typing import Any


def note_modules() -> None:
    """Note the files of the modules that have been imported since the last call."""
    known: Any = inspect
    for name, module in sys.modules.copy().items():
        if not isinstance(module, types.ModuleType):
            continue
        own = vars(module)
        file, given = own.get("__file__"), own.get("__name__")
        if isinstance(file, str) and known._filesbymodname.get(name) != file:
            known._filesbymodname[name] = file
            if isinstance(given, str):
                known.modulesbyfile.setdefault(file, given)
