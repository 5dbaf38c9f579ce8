"""A kernel whose monitor looks at a cell only when it is told to: for what must not wait."""

import sys

from sandbox_kernel.trusted.limits import monitor
from tests.cases.launch import main

monitor.next_look = lambda *arguments, **named: 3600.0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
