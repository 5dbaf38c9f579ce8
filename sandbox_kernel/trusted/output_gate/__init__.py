"""What a cell puts out, made inert before any front end, file or export sees it."""

from .gate import OutputGate
from .rules import DisplayRules, Outgoing, OutputCaps, SessionCaps

__all__ = ["DisplayRules", "Outgoing", "OutputCaps", "OutputGate", "SessionCaps"]
