"""A linear run of a few movies, its page on a real server, and a browser."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.commands import settings, succeed
from temporem.viewing.gallery import Gallery
from temporem.viewing.server import ViewServer, open_socket
from temporem.viewing.sources import open_sources

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SOFTWARE_GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@pytest.fixture(scope="session")
def linear_run(tiny_dataset: Path, tmp_path_factory) -> Path:
    """A linear run with two components. Not to be changed."""
    path: Path = tmp_path_factory.mktemp("view") / "run"
    quick = settings(("linear.components=2", "linear.iterations=1"))
    succeed("reconstruct", tiny_dataset, "-o", path, "--method", "linear", *quick)
    return path


@pytest.fixture(scope="session")
def gallery(linear_run: Path, tiny_dataset: Path) -> Gallery:
    """The run, and the truth beside it."""
    return Gallery(open_sources([linear_run, tiny_dataset]))


@contextmanager
def serving(gallery: Gallery) -> Iterator[ViewServer]:
    """A server that answers."""
    with open_socket() as listening:
        server = ViewServer(gallery, listening)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield server
        server.stop()
        thread.join()


@pytest.fixture(scope="session")
def server(gallery: Gallery) -> Iterator[ViewServer]:
    with serving(gallery) as server:
        yield server


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
