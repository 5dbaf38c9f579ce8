"""The restricted dialect: ordinary notebook Python with object-capability discipline.

Pure: importable without the kernel. It is not the wall (the operating system's is): it gives clear
refusals before anything runs, and keeps a cell from patching what others own.
"""

from .refusal import RefusedAttribute, RefusedModule, RefusedSyntax, RefusedValue
from .rules import DialectRules
from .session import Session

__all__ = [
    "DialectRules",
    "RefusedAttribute",
    "RefusedModule",
    "RefusedSyntax",
    "RefusedValue",
    "Session",
]
