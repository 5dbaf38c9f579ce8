"""Formulas: what reaches beyond them, on the page and where a notebook is exported."""

from __future__ import annotations

import re

import pytest

from sandbox_kernel.trusted.output_gate import latex
from sandbox_kernel.trusted.output_gate.markdown import Document

HARMLESS = [
    r"$\int_0^1 \frac{x^2}{\sqrt{x}}\,dx$",
    r"\begin{align} a &= b \\ c &= d \end{align}",
    r"$\left[\begin{matrix}1 & 2\\3 & 4\end{matrix}\right]$",
    r"$\mathrm{d}\sin(x)\ \text{for all } x \in \mathbb{R}$",
    r"$x^{2^{3}}$",
]
HOSTILE = [
    r"$\href{http://a}{x}$",
    r"$\unicode[Arial; background: url(http://127.0.0.1/x)]{x41}$",
    r"$\setOptions[tex]{formatError=x}$",
    r"$\input{/etc/passwd}$",
    r"$\input /etc/passwd $",
    r"$\@input{/etc/passwd}$",
    r"$^^5cinput{/etc/passwd}$",
    r"$^^^^005cinput{/etc/passwd}$",
    r"$\newread\f \openin\f=/etc/passwd \read\f to \x \x$",
    r"$\immediate\write18{id}$",
    r"$\csname input\endcsname{/etc/passwd}$",
    r"$\lstinputlisting{/etc/passwd}$",
    r"\begin{filecontents*}{x.tex}y\end{filecontents*}",
    r"\begin {filecontents}{x.tex}y\end {filecontents}",
    r"$\catcode`\|=0 |input{/etc/passwd}$",
    r"$\directlua{os.execute('id')}$",
    r"$\def\x{\input}$",
]


@pytest.mark.parametrize("formula", HARMLESS)
def test_a_formula_is_displayed_as_it_is(formula: str) -> None:
    assert latex.refusal(formula) is None
    assert latex.disarm_formula(formula) == formula


@pytest.mark.parametrize("formula", HOSTILE)
def test_macros_that_reach_beyond_a_formula_are_refused(formula: str) -> None:
    assert latex.refusal(formula) is not None
    left = latex.disarm_formula(formula)
    assert latex.refusal(left) is None
    assert re.search(r"\^\^|\\(?:input|write|read|openin|csname|href)\b", left) is None


@pytest.mark.parametrize("formula", HOSTILE)
def test_the_markdown_that_an_export_takes_has_none_of_them(formula: str) -> None:
    written = Document(f"before {formula} after\n\n{formula}\n").as_markdown()
    assert re.search(r"\^\^|(?<!\\)\\(?:input|write|read|openin|csname|href)\b", written) is None
