"""What people do with the usual libraries, in a sealed worker: one function a library.

A function returns when its library worked; anything that it raises is told.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable

from sandbox_kernel.sandboxed.seal import seal


def numpy() -> None:
    import numpy as np

    a = np.random.default_rng(1).random((300, 300))
    np.linalg.svd(a @ a)
    folder = tempfile.mkdtemp()
    np.save(f"{folder}/a.npy", a)
    assert np.load(f"{folder}/a.npy").shape == (300, 300)
    mapped = np.memmap(f"{folder}/map", dtype="u1", mode="w+", shape=100)
    mapped[0] = 1
    mapped.flush()


def pandas_csv() -> None:
    import pandas as pd

    path = tempfile.mkdtemp() + "/t.csv"
    pd.DataFrame({"a": range(1000)}).to_csv(path)
    assert len(pd.read_csv(path)) == 1000


def pandas_parquet() -> None:
    import pandas as pd

    path = tempfile.mkdtemp() + "/t.parquet"
    pd.DataFrame({"a": range(1000), "b": ["x"] * 1000}).to_parquet(path)
    assert len(pd.read_parquet(path)) == 1000


def scipy() -> None:
    from scipy import optimize, stats

    assert optimize.minimize(lambda x: (x**2).sum(), [1.0, 2.0]).success
    stats.ttest_ind([1, 2, 3], [2, 3, 4])


def sklearn() -> None:
    from sklearn.cluster import KMeans
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier

    x, y = load_iris(return_X_y=True)
    RandomForestClassifier(10, n_jobs=2).fit(x, y).predict(x)
    KMeans(3, n_init=2).fit(x)


def matplotlib() -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    folder = tempfile.mkdtemp()
    plt.plot([1, 2])
    plt.title("$x^2$ äß")
    for kind in ("png", "svg", "pdf"):
        plt.savefig(f"{folder}/plot.{kind}")


def sqlite3() -> None:
    import sqlite3 as sqlite

    connection = sqlite.connect(tempfile.mkdtemp() + "/d.db")
    connection.execute("create table t(a)")
    connection.execute("insert into t values(1)")
    connection.commit()
    connection.close()


def asyncio() -> None:
    import asyncio as aio

    async def main() -> int:
        return await aio.to_thread(lambda: 3)

    assert aio.run(main()) == 3


def threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(abs, range(100))) == 4950


def sympy() -> None:
    import sympy as sp

    x = sp.symbols("x")
    assert sp.integrate(sp.cos(x), x) == sp.sin(x)


def ipywidgets() -> None:
    import ipywidgets as widgets

    seen = []
    slider = widgets.IntSlider(3, max=10)
    box = widgets.VBox([slider, widgets.Text(), widgets.Output()])
    slider.observe(lambda change: seen.append(change["new"]), "value")
    slider.value = 7
    assert seen == [7]
    assert "model_id" in str(box._repr_mimebundle_())


def files() -> None:
    import shutil
    from pathlib import Path

    folder = Path(tempfile.mkdtemp())
    (folder / "a").write_text("x")
    shutil.copy(folder / "a", folder / "b")
    shutil.copy2(folder / "a", folder / "c")
    os.replace(folder / "a", folder / "d")
    os.rename(folder / "b", folder / "e")
    (folder / "x" / "y").mkdir(parents=True)
    (folder / "link").symlink_to("c")
    assert (folder / "link").read_text() == "x"
    (folder / "c").chmod(0o600)
    os.utime(folder / "c", (1, 2))
    assert (folder / "c").stat().st_mtime == 2
    assert sorted(os.listdir(folder)) == ["c", "d", "e", "link", "x"]
    shutil.rmtree(folder)
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")


def multiprocessing_locks() -> None:
    import multiprocessing

    lock = multiprocessing.Lock()
    with lock:
        pass
    queue = multiprocessing.Queue()
    queue.put(1)
    assert queue.get(timeout=5) == 1


def ssl() -> None:
    import ssl as tls

    assert tls.create_default_context().get_ca_certs()


def zones_and_names() -> None:
    import getpass
    import pwd
    import zoneinfo

    zoneinfo.ZoneInfo("Europe/Paris")
    assert getpass.getuser() == "sandbox"
    assert os.path.isdir(pwd.getpwuid(os.getuid()).pw_dir)
    assert os.path.expanduser("~") == pwd.getpwuid(os.getuid()).pw_dir
    assert socket.gethostbyname("localhost") == "127.0.0.1"


def threadpoolctl() -> None:
    import numpy  # noqa: F401
    from threadpoolctl import threadpool_info

    assert threadpool_info()


def joblib_threads() -> None:
    from joblib import Parallel, delayed

    assert Parallel(2, prefer="threads")(delayed(abs)(-i) for i in range(4)) == [0, 1, 2, 3]


def psutil() -> None:
    import psutil as ps

    ps.virtual_memory()
    ps.cpu_percent()
    own = ps.Process()
    assert own.memory_info().rss
    own.cpu_times()


def imports() -> None:
    import httpx  # noqa: F401
    import ipywidgets  # noqa: F401
    import pyarrow.compute  # noqa: F401
    import requests  # noqa: F401
    import tqdm  # noqa: F401


def signals_to_oneself() -> None:
    import signal
    import threading

    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.raise_signal(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    signal.setitimer(signal.ITIMER_REAL, 0)


def a_full_scratch() -> None:
    """A full disk is an error of the call, and room comes back."""
    path = tempfile.mkdtemp() + "/big"
    try:
        with open(path, "wb", buffering=0) as file:
            for _ in range(100):
                file.write(bytes(1 << 20))
    except OSError as error:
        if error.errno != 28:
            raise
    else:
        assert not os.path.isdir("/sandbox"), "the scratch has no limit"
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(b"room")


CHECKS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        *(numpy, pandas_csv, pandas_parquet, scipy, sklearn, matplotlib, sqlite3, asyncio),
        *(
            threads,
            sympy,
            ipywidgets,
            files,
            multiprocessing_locks,
            ssl,
            zones_and_names,
            threadpoolctl,
        ),
        *(joblib_threads, psutil, imports, signals_to_oneself, a_full_scratch),
    )
}


def main() -> None:
    """Seal, run everything, send one JSON object with what was raised, by name."""
    seal(int(sys.argv[-1]))
    found = {}
    for name, check in CHECKS.items():
        try:
            check()
        except ImportError as error:
            found[name] = f"not installed: {error}"
        except BaseException:
            found[name] = traceback.format_exc()
        else:
            found[name] = ""
    with socket.socket(fileno=int(sys.argv[-2])) as channel:
        channel.sendall(json.dumps(found).encode())


if __name__ == "__main__":
    main()
