"""Random rights that lie in each other, at both doors: the same results, and nothing without right.

A game is one to three sets of rights in a row and two cells under each. It is played twice, at the
mount door and at the notify door. What a cell reads and what is on the host in the end must be the
same, must be allowed by the decision of the capability, and is closed once nothing is granted. What
may differ: what a folder lists, since without namespaces it is no secret that a path exists;
whether a change that never reaches the host is refused at once or in the end; and what stands where
a cell tried to move something that it may not move, which a staged place copies.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox_kernel.policy import Rights
from sandbox_kernel.trusted.access import Access, decide
from sandbox_kernel.trusted.capabilities.verdict import Denied
from sandbox_kernel.trusted.confine.level import Level

from .conftest import Worker, World

GAMES = 150

FILES = (
    *("f.txt", "g.csv", ".hidden", "we ird/[x].txt", "ü/ö.txt", "secret/k.key"),
    *("a/f.txt", "a/g.csv", "a/b/f.txt", "a/b/h.key", "a/b/.env", "c/f.txt", "c/d/e/x.txt"),
)
EMPTY = "empty"
LINK, LED = "link", "a"
MISSING = ("new.txt", "a/new.txt", "a/b/new", "c/d/new", "empty/x", "nodir/new.txt", "../out/new")
OUTSIDE = "../out/secret.txt"
PROBED = (*FILES, *MISSING, OUTSIDE, "case.ipynb", "a/b", "c/d", EMPTY)

WIDE = (".", "**/*.txt", "**/*.key", "**/*")
FOLDERS = ("a", "a/b", "c", "c/d", EMPTY, "secret", "ROOT/out", "c/../a", LINK, "we ird")
OTHERS = (
    *("f.txt", "g.csv", "a/f.txt", "new.txt", "a/new.txt", "nodir/new.txt", "we ird/[[]x].txt"),
    *("*.txt", "a/*.csv", "a/b/*", "a/*", "c/**", "ü/*"),
)
#: What may be denied in a wide grant, and below a folder.
DENIED = ("a/b", "a/f.txt", "secret", "c/d/e", "*.csv", "a/*.csv", "**/*.key", "new.txt", "nothing")
BELOW = ("b", "f.txt", "*.csv", "**/*.key", "d/e", "new", "nothing")
REFUSED = ("**/.env", "a/b", "c/d", "f.txt", "secret", "**/*.csv", "new.txt")
MODES = ("read", "create", "append", "write")
DEEDS = {
    "read": "it = open(p).read()",
    "list": "it = sorted(os.listdir(p))",
    "change": "f = open(p, 'r+'); f.write('CHANGED'); f.close()",
    "replace": "f = open(p, 'w'); f.write('REPLACED'); f.close()",
    "append": "f = open(p, 'a'); f.write('+'); f.close()",
    "create": "f = open(p, 'x'); f.write('NEW'); f.close()",
    "truncate": "os.truncate(p, 1)",
    "remove": "os.unlink(p)",
    "make": "os.mkdir(p)",
    "unmake": "os.rmdir(p)",
    "rename": "os.rename(p, q)",
}
LOOKS = ("read", "list")
TRY = """
def attempt(deed, p, q):
    names = {"os": os, "p": p, "q": q, "it": "done"}
    try:
        exec(deed, names)
    except OSError:
        return None
    return names["it"]
"""

Deed = tuple[str, str, str]


@dataclass(frozen=True)
class Game:
    """Rights as policy texts, and the cells of each."""

    rights: tuple[str, ...]
    cells: tuple[tuple[Deed, ...], ...]


def a_game(seed: int) -> Game:
    """The game with this number."""
    chance = random.Random(seed)
    lines = [a_line(chance) for _ in range(chance.choice((1, 1, 2, 2, 3)))]
    refused = ""
    for path in chance.sample(REFUSED, chance.choice((0, 0, 0, 1, 2))):
        mode = chance.choice(("read", "write"))
        refused += f'[[refuse.files]]\nreason = "test"\npath = "{path}"\nmode = "{mode}"\n'
    rights = ["".join(lines) + refused]
    for _ in range(chance.choice((0, 1, 1, 2))):
        if len(lines) > 1 and chance.random() < 0.5:
            lines.pop(chance.randrange(len(lines)))
        else:
            lines.append(a_line(chance))
        rights.append("".join(lines) + refused)
    cells = [tuple(a_deed(chance) for _ in range(6)) for _ in range(2 * len(rights))]
    return Game(tuple(rights), tuple(cells))


def a_line(chance: random.Random) -> str:
    """A line that is on."""
    path = chance.choice(chance.choice((WIDE, FOLDERS, OTHERS)))
    mode = chance.choice(MODES)
    line = f'[[given.files]]\nreason = "test"\npath = "{path}"\nmode = "{mode}"\n'
    if path not in OTHERS and chance.random() < 0.4:
        inside = DENIED if path in WIDE else [f"{path}/{name}" for name in BELOW]
        line += f"deny = {chance.sample(inside, chance.choice((1, 2)))}\n"
    if mode != "read" and chance.random() < 0.2:
        line += f'max_bytes = "{chance.choice((4, 10, 1000))} B"\n'
    return line


def a_deed(chance: random.Random) -> Deed:
    """Something that a cell tries, half of the time to look."""
    deed = chance.choice(LOOKS if chance.random() < 0.5 else tuple(DEEDS))
    return deed, chance.choice(PROBED), chance.choice(PROBED)


class Table:
    """A world and a worker at one door."""

    def __init__(self, base: Path, level: Level) -> None:
        base.mkdir()
        self.world = World(base)
        (base / "out").mkdir()
        self.deal()
        self.worker = Worker(self.world, level)
        self.worker.open_for(self.world.rights(""))
        self.worker.run(TRY)

    def deal(self) -> None:
        """Put on the host what a game begins with."""
        for top in (self.world.nb, self.world.base / "out"):
            for path in top.iterdir():  # The worker stands in the folder itself.
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for name in (*FILES, OUTSIDE, "case.ipynb"):
            (self.world.nb / name).parent.mkdir(parents=True, exist_ok=True)
            (self.world.nb / name).write_text(f"<{name}>")
        (self.world.nb / EMPTY).mkdir()
        (self.world.nb / LINK).symlink_to(LED)

    def play(self, game: Game) -> tuple[list[tuple[Deed, object]], dict[str, str]]:
        """What each deed came to, and what is on the host in the end."""
        came: list[tuple[Deed, object]] = []
        for number, text in enumerate(game.rights):
            rights = self.world.rights(text)
            for deeds in game.cells[2 * number : 2 * number + 2]:
                self.worker.begin(rights)
                for deed, p, q in deeds:
                    it = self.worker.value(f"attempt({DEEDS[deed]!r}, {p!r}, {q!r})")
                    came.append(((deed, p, q), it))
                    self.check_read(rights, it)
                self.worker.end()
        self.worker.run("os.chdir('/')")
        self.worker.follow(self.world.rights(""))
        self.worker.run(f"os.chdir({str(self.world.nb)!r})")
        for name in FILES:
            assert self.worker.value(f"attempt({DEEDS['read']!r}, {name!r}, '')") is None
        return came, self.tree()

    def check_read(self, rights: Rights, it: object) -> None:
        """What was read must be of a file that may be read; the host's files name themselves."""
        if isinstance(it, str) and it.startswith("<") and ">" in it:
            assert allowed(rights, "read", it[1 : it.index(">")]), it

    def tree(self) -> dict[str, str]:
        """All files and folders by path from the notebook's folder, with their content."""
        found = {}
        for top in (self.world.nb, self.world.base / "out"):
            for folder, folders, files in os.walk(top):
                for name in folders + files:
                    path = Path(folder, name)
                    shown = os.path.relpath(path, self.world.nb)
                    found[shown] = path.read_text() if path.is_file() else "a folder"
        return found


def allowed(rights: Rights, mode: str, path: str) -> bool:
    """Whether the capability says yes."""
    return not isinstance(decide(Access("files", mode, path), rights), Denied)


def what_it_took(before: str | None, after: str | None) -> str:
    """The weakest mode that lets a path change so."""
    if before is None:
        return "create"
    both_files = "a folder" not in (before, after)
    return "append" if after is not None and both_files and after.startswith(before) else "write"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Table, Table]]:
    base = tmp_path_factory.mktemp("tables")
    both = (Table(base / "full", Level.FULL), Table(base / "notify", Level.NO_NAMESPACES))
    yield both
    for table in both:
        table.worker.close()


@pytest.mark.parametrize("seed", range(GAMES))
def test_both_doors_give_the_same_and_no_more(tables: tuple[Table, Table], seed: int) -> None:
    game = a_game(seed)
    played = []
    for table in tables:
        table.deal()
        before = table.tree()
        came, after = table.play(game)
        given = [table.world.rights(text) for text in game.rights]
        for path in before.keys() | after.keys():
            if before.get(path) != after.get(path):
                took = what_it_took(before.get(path), after.get(path))
                assert any(allowed(rights, took, path) for rights in given), (took, path)
        assert table.worker.problems == []
        played.append((came, after))
    touched: set[str] = set()
    moved_to: set[str] = set()
    for ((deed, p, q), read), (_, other) in zip(played[0][0], played[1][0], strict=True):
        if deed not in LOOKS:
            touched |= {p, q}
            moved_to |= {q} if deed == "rename" else set()
        elif deed == "read" and p not in touched:
            assert read == other, p
    full, notify = (
        {path: text for path, text in after.items() if path not in moved_to} for _, after in played
    )
    assert full == notify
