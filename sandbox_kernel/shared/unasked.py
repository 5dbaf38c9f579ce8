"""How the worker's own import system says that no supervisor need be asked for a path.

Without a mount namespace the filter sends calls with a path to the supervisor, for it cannot see
what a pointer leads to. It sees registers: a call that opens for reading or tells of a path, with
this number for the directory, runs at once, and Landlock alone decides. That gives nobody more
than a race of the path's memory would: below the readable roots an asked call is let run as well,
and anywhere else Landlock refuses what a supervisor would have opened. With an absolute path the
kernel takes no notice of the number (openat(2)); no descriptor has it.
"""

from __future__ import annotations

from typing import Final

UNASKED: Final = -200
