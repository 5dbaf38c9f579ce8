"""Example galleries in the restricted language, with the modules that the default policy gives.

Each gallery is read out of its package's source distribution (pandas': its user guide), and each
example run in plain IPython and in the dialect: the text that it shows and the pixels of its
figures are compared. A table says how many of the cells that run plainly come out the same, and
how many of those use what once broke: what these libraries store on their classes.
"""

from __future__ import annotations

import re
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import ENVIRONMENT, Found, corpus, outcomes, tell_skipped
from benchmarks.corpus_compare import Outcome, Players
from benchmarks.report import Row, finish, parser
from benchmarks.sources import environment

UNLIKE = 0.5  # percent of a gallery's cells at most
POLICY = Path(__file__).resolve().parents[1] / "policies" / "default.toml"


@dataclass(frozen=True)
class Gallery:
    """``source`` is fetched; ``paths`` is a pattern of the documents that are its gallery."""

    name: str
    source: str
    paths: str


GALLERIES = (
    Gallery("matplotlib", "matplotlib", r"^galleries/"),
    Gallery("pandas", "pandas==2.0.3", r"^doc/source/(user_guide|getting_started|development/ext)"),
    Gallery("scikit-learn", "scikit-learn", r"^examples/"),
    Gallery("seaborn", "seaborn", r"^(examples|doc)/"),
    Gallery("networkx", "networkx", r"^(examples|doc)/"),
    Gallery("sympy", "sympy", r"^doc/src/"),
    Gallery("tqdm", "tqdm", r"^examples/"),
)
USES = {
    "bar": r"\.bar(h|3d)?\(|kind=.bar",
    "hist": r"\.hist(2d|plot)?\(|kind=.hist",
    "savefig": r"\bsavefig\(",
    "axes in three dimensions": r"projection=.3d|plot_surface\(",
    "tqdm.pandas": r"tqdm\.pandas\(",
    "accessor registration": r"register_\w+_accessor",
    "query or eval": r"\.(query|eval)\(",
    "lambdify or sympify": r"\b(lambdify|sympify)\(",
}


def given_modules(policy: Path) -> list[str]:
    """The modules that a policy file gives, without asking and on request."""
    with policy.open("rb") as stream:
        tables = tomllib.load(stream)
    return [
        name
        for tier in ("given", "on_request")
        for row in tables.get(tier, {}).get("modules", [])
        for name in row["names"]
    ]


def _gathered(gallery: Gallery, folder: Path, kept: Path | None, every: int) -> Found:
    found = corpus([gallery.source], folder, kept)
    mine = [(root, d) for root, d in found if re.search(gallery.paths, d.path)]
    return mine[::every]


def main(argv: Sequence[str]) -> int:
    """Fetch, run, compare, and print; 1 when a goal is missed."""
    words = parser(__doc__)
    words.add_argument("--only", action="append", help="a gallery; repeatable")
    words.add_argument("--seconds", type=float, default=12.0, help="processor time of an example")
    words.add_argument("--in-all", type=float, default=1500.0, help="seconds for all runs")
    words.add_argument("--jobs", type=int, default=2, help="examples at a time")
    words.add_argument("--every", type=int, default=1, help="run every n-th example only")
    words.add_argument("--sources", type=Path, help="folder with sources, fetched and kept there")
    words.add_argument("--resume", type=Path, help="file that keeps what each example gave")
    words.add_argument("--environment", type=Path, help="made there, or taken as it is, and kept")
    options = words.parse_args(argv)
    wanted = [g for g in GALLERIES if not options.only or g.name in options.only]
    with tempfile.TemporaryDirectory(prefix="galleries-") as name:
        folder = Path(name)
        found: Found = []
        for gallery in wanted:
            found += _gathered(gallery, folder, options.sources, options.every)
        python = environment(ENVIRONMENT, options.environment or folder / "environment")
        given = given_modules(POLICY)
        players = [Players(python, options.seconds, given) for _ in range(options.jobs)]
        try:
            results = list(outcomes(found, players, options.in_all, options.resume))
        finally:
            for pair in players:
                pair.end()
    tell_skipped(results)
    rows = [
        _row(g.name, [o for p, o in results if p == g.source.partition("==")[0]]) for g in wanted
    ]
    rows += [_use(name, pattern, results) for name, pattern in USES.items()]
    return finish(
        "galleries", "Example galleries under the default policy's modules", rows, options.json
    )


def _row(name: str, outcomes: Sequence[Outcome]) -> Row:
    asked, alike = sum(o.asked for o in outcomes), sum(o.alike for o in outcomes)
    whole = sum(bool(o.asked) and o.alike == o.asked for o in outcomes)
    detail = (
        f"{asked - alike} of {asked} cells that run plainly; {whole} of "
        f"{sum(bool(o.asked) for o in outcomes)} examples alike throughout"
    )
    return Row(
        f"{name}: not alike", 100 - 100 * alike / asked if asked else 0.0, "%", UNLIKE, detail
    )


def _use(name: str, pattern: str, results: Sequence[tuple[str, Outcome]]) -> Row:
    cells = [alike for _, o in results for cell, alike in o.cells if re.search(pattern, cell)]
    return Row(f"cells with {name}: not alike", cells.count(False), "", None, f"of {len(cells)}")
