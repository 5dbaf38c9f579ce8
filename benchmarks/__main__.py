"""`python -m benchmarks NAME… [--json OUT] [OPTION…]`: run benchmarks, one after the other.

A benchmark is a module of this package with `main(argv) -> int`; its docstring's first line is what
`--help` shows. Options are passed on to each. The exit status is 1 when a goal of any is missed.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent


def benchmarks() -> dict[str, str]:
    """The benchmarks that are here, each with its docstring's first line; none is imported."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name != "__main__.py" and any(
            isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body
        ):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the named benchmarks; 0 when every goal was met, 1 when not, 2 for a wrong name."""
    words = list(sys.argv[1:] if argv is None else argv)
    known = benchmarks()
    split = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    names, options = words[:split], words[split:]
    unknown = [name for name in names if name not in known]
    if not names or unknown:
        for name in unknown:
            print(f"There is no benchmark {name!r}.", file=sys.stderr)
        print(f"usage: {(__doc__ or '').partition(':')[0].strip('`')}\n")
        width = max(map(len, known))
        print("\n".join(f"  {name.ljust(width)}  {line}" for name, line in known.items()))
        return 2 if unknown or not options else 0
    status = 0
    for name in names:
        status |= importlib.import_module(f"benchmarks.{name}").main(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
