"""Texts made to keep the gate busy: the kernel waits for it, so each is done in linear time.

Patterns that backtrack would take hours for these, in C code that no signal interrupts; so each
runs in a process of its own, which is killed.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from sandbox_kernel.trusted.output_gate import DisplayRules, OutputCaps, OutputGate
gate = OutputGate(DisplayRules())
gate.begin_cell("cell", OutputCaps(output=1 << 40))
content = {"data": {%r: %s}, "metadata": {}}
assert gate.iopub("display_data", content, {}, [])
"""
SVG = '\'<svg xmlns="http://www.w3.org/2000/svg" fill="\''
HUGE = {
    "lines-in-base64": ("image/png", "'iVBORw0KGgo' + chr(10) * 2_000_000 + '!'"),
    "spaces-in-a-style": ("text/html", "'<p style=\"color:' + ' ' * 2_000_000 + 'x\">'"),
    "spaces-in-a-sheet": ("text/html", "'<style>a{color:' + ' ' * 1_500_000 + 'x}</style>'"),
    "open-sheets": ("text/html", "('<style>' + 'x' * 40_000) * 190"),
    "many-sheets": ("text/html", "'<style>a{color:red}</style>' * 200_000"),
    "open-drawings": ("text/html", "('<svg>' + 'x' * 40_000) * 190"),
    "open-elements": ("text/html", "'<b>' * 2_000_000"),
    "event-handlers": ("text/html", "('< on' + 'a' * 490) * 10_000"),
    "selectors": ("text/html", "'<style>' + 'a,' * 900_000 + 'b{color:red}</style>'"),
    "braces": ("text/html", "'<style>' + '{' * 1_000_000 + '</style>'"),
    "addresses": ("image/svg+xml", SVG + " + 'url ' * 700_000 + '\"/>'"),
    "brackets": ("text/markdown", "'[' * 50_000"),
    "escapes": ("text/plain", "chr(27) + ']' * 2_000_000"),
    "expressions": ("application/vnd.vega.v5+json", "{'a': 'eval ' * 500_000}"),
}
SECONDS = 60
"""A linear pass takes a second or two on a slow machine, a quadratic one hours."""


@pytest.mark.parametrize("name", HUGE)
def test_the_work_for_a_text_grows_with_its_length(name: str) -> None:
    program = PROGRAM % HUGE[name]
    subprocess.run([sys.executable, "-c", program], check=True, timeout=SECONDS)
