"""Native libraries at granted places: they open, map, lock and replace files in their own ways."""

from __future__ import annotations

import importlib
import textwrap

import pytest

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Start, World, refused

#: Name of a library: the modules that it takes, how it makes `FILE`, how it reads it (into `it`).
LIBRARIES = {
    "parquet": (
        ("pyarrow.parquet",),
        "import pyarrow as pa, pyarrow.parquet as pq\n"
        "pq.write_table(pa.table({'a': range(1000), 'b': ['x'] * 1000}), FILE)",
        "import pyarrow.parquet as pq\n"
        "it = [pq.read_table(FILE, memory_map=m).num_rows for m in (False, True)] == [1000, 1000]",
    ),
    "HDF5": (
        ("h5py", "numpy"),
        "import h5py, numpy\nwith h5py.File(FILE, 'w') as f: f['d'] = numpy.arange(1000)",
        "import h5py\nwith h5py.File(FILE, 'r') as f: it = int(f['d'][999]) == 999",
    ),
    "sqlite": (
        ("sqlite3",),
        "import sqlite3\n"
        "with sqlite3.connect(FILE) as d:\n"
        "    d.execute('create table t (x)'); d.executemany('insert into t values (?)',\n"
        "        [(n,) for n in range(1000)])\n"
        "d.close()",
        "import sqlite3\n"
        "d = sqlite3.connect('file:' + FILE + '?mode=ro', uri=True)\n"
        "it = d.execute('select count(*) from t').fetchone()[0] == 1000; d.close()",
    ),
    "image": (
        ("PIL.Image",),
        "from PIL import Image\nImage.new('RGB', (64, 48), (10, 20, 30)).save(FILE, 'PNG')",
        "from PIL import Image\n"
        "with Image.open(FILE) as p: it = [*p.size, *p.getpixel((0, 0))] == [64, 48, 10, 20, 30]",
    ),
    "memory map": (
        ("numpy",),
        "import numpy\n"
        "m = numpy.memmap(FILE, 'int64', 'w+', shape=(1000,)); m[:] = 7; m.flush(); del m",
        "import numpy\nm = numpy.memmap(FILE, 'int64', 'r'); it = int(m.sum()) == 7000; del m",
    ),
}


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> tuple[str, str]:
    """How a library makes `FILE`, and how it reads it."""
    modules, make, read = LIBRARIES[request.param]
    for module in modules:
        pytest.importorskip(module)
    return make, read


def source(text: str, path: str) -> str:
    return textwrap.dedent(text).replace("FILE", repr(path))


def make_here(world: World, make: str, name: str) -> None:
    """Have the library make a file on the host, outside of any wall."""
    (world.nb / "in").mkdir()
    exec(source(make, str(world.nb / "in" / name)), {})


def test_a_granted_file_is_read(
    world: World, start: Start, level: Level, library: tuple[str, str]
) -> None:
    make, read = library
    make_here(world, make, "f")
    worker = start(world.files('path = "in"\nmode = "read"'), level)
    assert worker.run(source(read, "in/f")) is True
    assert worker.run(source(read, f"{world.nb}/in/f")) is True
    refused(worker, "open('in/f', 'r+b')")


def test_a_file_is_made_in_a_write_grant(
    world: World, start: Start, level: Level, library: tuple[str, str]
) -> None:
    make, read = library
    (world.nb / "out").mkdir()
    rights = world.files('path = "out"\nmode = "write"')
    worker = start(rights, level)
    worker.run(source(make, "out/f"))
    assert worker.run(source(read, "out/f")) is True
    here: dict[str, object] = {}
    exec(source(read, str(world.nb / "out" / "f")), here)
    assert here["it"] is True


def test_a_file_that_is_made_in_a_staged_grant_reaches_the_host_at_the_end(
    world: World, start: Start, level: Level, library: tuple[str, str]
) -> None:
    make, read = library
    (world.nb / "out").mkdir()
    rights = world.files('path = "out"\nmode = "create"\nmax_bytes = "1 MB"')
    worker = start(rights, level)
    worker.begin(rights)
    worker.run(source(make, "out/f"))
    assert worker.run(source(read, "out/f")) is True
    assert list((world.nb / "out").iterdir()) == []
    report = worker.end()
    assert [change for change in report.written if change.endswith("/f")], report
    here: dict[str, object] = {}
    exec(source(read, str(world.nb / "out" / "f")), here)
    assert here["it"] is True


def test_each_library_is_there() -> None:
    """A library that is missing would skip its tests without a word."""
    for modules, _, _ in LIBRARIES.values():
        for module in modules:
            importlib.import_module(module)
