"""Dask in the restricted dialect: its collections, and a cluster for which a policy gives sockets.

Runs where dask and distributed are installed (`pip install 'dask[dataframe]' distributed`).
"""

from __future__ import annotations

import pytest

pytest.importorskip("dask.dataframe")
pytest.importorskip("distributed")

CLUSTER = """
version = 1
extends = "data-science"
[[given.sockets]]
listen = "127.0.0.1:*"
private = true
reason = "the parts of a cluster call each other"
[[given.sockets]]
connect = "127.0.0.1:*"
private = true
reason = "the parts of a cluster call each other"
"""
PROCESSES = '[[given.processes]]\nspawn = true\nreason = "workers of the cluster"\n'
# Without a name for the address each part would ask for all of the host's addresses.
START = """
import tempfile
from dask.distributed import Client, LocalCluster
here = "127.0.0.1:0"
cluster = LocalCluster(
    processes={processes}, n_workers=2, threads_per_worker=1,
    dashboard_address=here, worker_dashboard_address=here, local_directory=tempfile.gettempdir(),
)
client = Client(cluster)
"""
ARRAY = (
    "import dask.array as da\nx = da.ones((600, 600), chunks=200)\nfloat((x + x.T).sum().compute())"
)
FRAME = (
    "import pandas as pd, dask.dataframe as dd\n"
    "f = dd.from_pandas(pd.DataFrame({'a': range(100), 'b': [1, 2] * 50}), npartitions=4)\n"
    "f.groupby('b').a.sum().compute().to_dict()"
)


def value(kernel, code):
    """What a cell's last expression is, as text."""
    ran = kernel.run(code)
    assert ran.status == "ok", ran.error
    return ran.of("execute_result")[0]["data"]["text/plain"]


@pytest.fixture(scope="module", params=["full", "no-namespaces"])
def science(request, start_kernel):
    return start_kernel(level=request.param, policy='version = 1\nextends = "data-science"\n')


def test_collections_compute_with_what_the_policy_gives(science):
    assert value(science, ARRAY) == "720000.0"
    assert value(science, FRAME) == "{1: 2450, 2: 2500}"


def test_a_cluster_without_a_grant_is_refused_by_the_sockets_it_wants(science):
    said = science.run(START.format(processes=False)).error
    assert "127.0.0.1:0: listen not granted" in said


@pytest.mark.timeout(180)
@pytest.mark.parametrize("level", ["full", "no-namespaces"])
@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_a_local_cluster_computes(start_kernel, level, processes):
    kernel = start_kernel(level=level, policy=CLUSTER + (PROCESSES if processes else ""))
    started = kernel.run(START.format(processes=processes))
    assert started.status == "ok", started.error
    assert value(kernel, "client.submit(lambda a: a + 1, 41).result()") == "42"
    assert value(kernel, ARRAY) == "720000.0"
    assert value(kernel, FRAME) == "{1: 2450, 2: 2500}"
    assert kernel.run("client.close(); cluster.close()").status == "ok"
