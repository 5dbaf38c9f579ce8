"""Real notebooks and examples in the restricted dialect: what is refused, what comes out alike.

The corpus is fetched for the run: source distributions of packages that carry notebooks, example
galleries or manuals, and public repositories; nothing of it is kept. Refusals are counted on every
cell. Each document is then run in plain IPython and in the dialect, in a throw-away environment
that has the packages, and the outputs of each cell are compared: text after a normaliser
(`corpus_compare.normal`), and every figure by the hash of its pixels.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

from IPython.core.inputtransformer2 import TransformerManager

from benchmarks.corpus_cells import Document, documents
from benchmarks.corpus_compare import Outcome, Players, compare
from benchmarks.report import Row, finish, parser
from benchmarks.sources import environment, fetch, repository, unpack
from sandbox_kernel.language import DialectRules, RefusedSyntax, Session

PACKAGES = (
    "matplotlib scikit-learn seaborn networkx statsmodels sympy ipywidgets nbgrader scipy "
    "pandas==2.0.3"  # the last one whose source distribution has the user guide
).split()
REPOSITORIES = (
    "jupyter-widgets/ipywidgets",
    "norvig/pytudes",
    "jakevdp/PythonDataScienceHandbook",
)
ENVIRONMENT = [n for n in PACKAGES if "==" not in n]
ENVIRONMENT += """tqdm patsy jinja2 pyarrow openpyxl lxml tabulate beautifulsoup4 html5lib
    sqlalchemy pillow pooch xlsxwriter pandas""".split()
CELLS, REFUSED, ALIKE = 5000, 0.02, 99.5  # cells at least; percent at most; percent at least
_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

Found = list[tuple[Path, Document]]


def corpus(names: Sequence[str], folder: Path, kept: Path | None) -> Found:
    """Fetch and read packages and repositories; each document with the folder that it lies in."""
    found: Found = []
    for name in names:
        root = _source(name, folder, kept)
        if root is not None:
            found += [(root, document) for document in documents(_title(name), root)]
    return found


def _source(name: str, folder: Path, kept: Path | None) -> Path | None:
    if "/" in name:
        return repository(name, folder, kept)
    archive = _kept(name, kept) or fetch(name, kept or folder)
    return None if archive is None else unpack(archive, folder)


def _title(name: str) -> str:
    return name.partition("==")[0]


def _kept(package: str, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    name, _, version = package.replace("-", "_").partition("==")
    return next(iter(sorted(folder.glob(f"{name}-{version or '*'}.tar.gz"))), None)


def refusals(found: Found) -> tuple[int, list[str]]:
    """How many cells there are, and a line for each that the dialect refuses."""
    session = Session(DialectRules(), freeze=False)
    count, refused = 0, []
    manager = TransformerManager()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _, document in found:
            for cell in document.cells:
                count += 1
                try:
                    session.check(manager.transform_cell(cell), "<cell>", flags=_AWAIT)
                except RefusedSyntax as error:
                    refused.append(f"{document.package}/{document.path}: {error.msg}")
                except SyntaxError:
                    continue  # no Python of this version: plain IPython refuses it too
    return count, refused


def outcomes(
    found: Found,
    players: Sequence[Players],
    seconds: float,
    kept: Path | None = None,
) -> Iterator[tuple[str, Outcome]]:
    """Compare document by document, for ``seconds`` in all; says what it is at on stderr.

    The documents of each package are taken in turn, so that a run that is cut short has asked of
    all of them; each of the ``players`` takes one at a time. Outcomes are added to the file
    ``kept``, a line each; a document that has its line there is not run again.
    """
    until = time.monotonic() + seconds
    known = _known(kept)
    free: SimpleQueue[Players] = SimpleQueue()
    for pair in players:
        free.put(pair)

    def play(entry: tuple[Path, Document]) -> tuple[str, Outcome]:
        root, document = entry
        key = f"{document.package}/{document.path}"
        if key in known:
            return key, known[key]
        pair = free.get()
        try:
            if time.monotonic() > until:
                outcome = Outcome()
                outcome.skip("the run's time was over", len(document.cells))
                return "", outcome
            return key, compare(pair, root, document)
        finally:
            free.put(pair)

    turns = _by_turns(found)
    with ThreadPoolExecutor(len(players)) as pool:
        results = zip(turns, pool.map(play, turns), strict=True)
        for number, ((_, document), (key, outcome)) in enumerate(results):
            if kept is not None and key and key not in known:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([key, asdict(outcome)]) + "\n")
            for line in outcome.told:
                print(f"  {line}"[:400], flush=True)
            if number % 50 == 0:
                print(f"{number} of {len(found)} documents", file=sys.stderr, flush=True)
            yield document.package, outcome


def _known(kept: Path | None) -> dict[str, Outcome]:
    if kept is None or not kept.exists():
        return {}
    lines = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    return {key: Outcome(**fields) for key, fields in lines}


def _by_turns(found: Found) -> Found:
    """One document of each package after the other, as long as a package has some."""
    taken: Counter[str] = Counter()
    placed = []
    for entry in found:
        taken[entry[1].package] += 1
        placed.append((taken[entry[1].package], entry))
    return [entry for _, entry in sorted(placed, key=lambda place: place[0])]


def main(argv: Sequence[str]) -> int:
    """Fetch, count, run, compare, and print; 1 when a goal is missed."""
    words = parser(__doc__)
    words.add_argument("--only", action="append", help="a package or OWNER/NAME; repeatable")
    words.add_argument("--seconds", type=float, default=12.0, help="processor time of a document")
    words.add_argument("--in-all", type=float, default=1500.0, help="seconds for all runs")
    words.add_argument("--jobs", type=int, default=2, help="documents at a time")
    words.add_argument("--every", type=int, default=1, help="run every n-th document only")
    words.add_argument("--sources", type=Path, help="folder with sources, fetched and kept there")
    words.add_argument("--environment", type=Path, help="made there, or taken as it is, and kept")
    words.add_argument("--resume", type=Path, help="file that keeps what each document gave")
    words.add_argument("--match", default="", help="run only documents whose path has this pattern")
    options = words.parse_args(argv)
    names = options.only or [*PACKAGES, *REPOSITORIES]
    with tempfile.TemporaryDirectory(prefix="corpus-") as name:
        folder = Path(name)
        found = corpus(names, folder, options.sources)
        count, refused = refusals(found)
        for line in refused:
            print(f"  {line}", flush=True)
        chosen = [e for e in found[:: options.every] if re.search(options.match, e[1].path)]
        python = environment(ENVIRONMENT, options.environment or folder / "environment")
        players = [Players(python, options.seconds) for _ in range(options.jobs)]
        try:
            results = list(outcomes(chosen, players, options.in_all, options.resume))
        finally:
            for pair in players:
                pair.end()
    rows = _rows(count, refused, chosen, results)
    tell_skipped(results)
    status = finish("corpus", "Real cells in the dialect", rows, options.json)
    if count < CELLS and options.only is None:
        print(f"  fewer than {CELLS} cells: MISSED")
        return 1
    return status


def tell_skipped(results: Sequence[tuple[str, Outcome]]) -> None:
    """Print how many cells were not asked, by reason."""
    skipped: Counter[str] = Counter()
    for _, outcome in results:
        skipped.update(outcome.skipped)
    for reason, number in skipped.most_common():
        print(f"  not asked: {number} cells: {reason}")


def _rows(
    count: int, refused: list[str], chosen: Found, results: list[tuple[str, Outcome]]
) -> list[Row]:
    def total(package: str | None) -> tuple[int, int, int]:
        mine = [o for p, o in results if package in (None, p)]
        return sum(o.asked for o in mine), sum(o.alike for o in mine), sum(o.shown for o in mine)

    packages = list(dict.fromkeys(d.package for _, d in chosen))
    rows = [
        Row("cells read", count, ""),
        Row("refused", 100 * len(refused) / max(count, 1), "%", REFUSED, f"{len(refused)} cells"),
    ]
    for package in packages:
        asked, alike, shown = total(package)
        cells = sum(len(d.cells) for _, d in chosen if d.package == package)
        detail = f"{asked - alike} of {asked} cells that ran plainly (of {cells}; {shown} show)"
        rows.append(Row(f"not alike: {package}", _missing(asked, alike), "%", None, detail))
    asked, alike, shown = total(None)
    detail = f"{asked - alike} of {asked} cells that ran plainly ({shown} show something)"
    rows.append(Row("not alike, all", _missing(asked, alike), "%", 100 - ALIKE, detail))
    return rows


def _missing(asked: int, alike: int) -> float:
    return 100 - 100 * alike / max(asked, 1) if asked else 0.0
