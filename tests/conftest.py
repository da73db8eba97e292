"""A small dataset and runs of it that many tests read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.commands import TINY_NETWORK, TINY_SIMULATION, TINY_TRAINING, settings, succeed

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SOFTWARE_GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@pytest.fixture(scope="session", autouse=True)
def _undisturbed() -> Iterator[None]:
    """One thread, so that processes can be forked, and no waiting for the disk.

    Tests of power cuts put their own disk in the place of ``os.fsync``.
    """
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory) -> Path:
    """Five movies of four frames, with truth. Not to be changed."""
    path = tmp_path_factory.mktemp("tiny") / "movies"
    succeed("simulate", "toy", "-o", path, *settings(TINY_SIMULATION))
    return path


@pytest.fixture(scope="session")
def tiny_runs(tiny_dataset, tmp_path_factory) -> dict[str, Path]:
    """Three evaluated runs, one movie held out. Not to be changed.

    ``tempor`` begins with a linear model, ``static`` with nothing.
    """
    folder, runs = tmp_path_factory.mktemp("runs"), {}
    tiny = {"static": TINY_NETWORK, "tempor": TINY_TRAINING, "homogeneous": TINY_TRAINING}
    for method, values in tiny.items():
        runs[method] = folder / method
        options = ("-o", runs[method], "--method", method)
        options += tuple(settings((*values, "data.held_out_fraction=0.2")))
        succeed("reconstruct", tiny_dataset, *options)
        succeed("evaluate", runs[method])
    return runs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that read whole runs, or the results of whole experiments."""
    for item in items:
        reads_runs = not {"tiny_runs", "finished"}.isdisjoint(getattr(item, "fixturenames", ()))
        if reads_runs and item.get_closest_marker("integration") is None:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium that draws on the processor."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.fail("no Chromium was found; make browser installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Its sandbox does not work for root, whose containers run these tests.
        options = [*SOFTWARE_GL, "--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()
