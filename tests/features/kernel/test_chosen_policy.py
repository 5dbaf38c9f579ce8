"""A notebook names its policy in its metadata: that counts where the policy at hand lets it."""

import json

import pytest

from sandbox_kernel.jupyter.control_client import ControlClient

from .conftest import started

POLICY = """
version = 1
extends = "default"
notebook_policies = ["locked-down"]
"""


@pytest.fixture
def opened(tmp_path):
    """`opened(NAME)`: a kernel for a notebook that names this policy."""
    running = []

    def start(name):
        document = {
            "cells": [],
            "metadata": {"sandbox": {"policy": name} if name else {}},
            "nbformat": 4,
        }
        (tmp_path / "notebook.ipynb").write_text(json.dumps({**document, "nbformat_minor": 5}))
        running.append(started(tmp_path, policy=POLICY))
        return running[-1]

    yield start
    for kernel in running:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=True)


def status(kernel):
    with ControlClient(kernel.manager.connection_file) as control:
        return control.status()


def test_a_policy_that_notebooks_may_choose_holds(opened):
    kernel = opened("locked-down")
    assert kernel.run("import pandas").error.startswith("ImportError")
    assert status(kernel)["policy"] == "locked-down"


def test_any_other_is_left_out_and_the_first_cell_says_so(opened):
    kernel = opened("data-science")
    ran = kernel.run("import pandas")
    assert ran.status == "ok", ran.error
    told = ran.text("stderr")
    assert "data-science" in told
    assert "lets notebooks choose locked-down" in told
    assert status(kernel)["policy"] == "policy"
    assert kernel.run("1").text("stderr") == ""


def test_a_choice_that_is_saved_later_waits_for_the_next_start_and_is_told(opened):
    kernel = opened(None)
    assert kernel.run("import pandas").status == "ok"
    kernel.save_notebook({"policy": "locked-down"})
    ran = kernel.run("import pandas")
    assert ran.status == "ok"
    assert "names another policy" in ran.text("stderr")
    assert kernel.run("1").text("stderr") == ""
