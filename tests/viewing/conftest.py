"""A linear run of a few movies, its page on a real server, and a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.commands import settings, succeed
from temporem.viewing.gallery import Gallery
from temporem.viewing.server import ViewServer, open_socket
from temporem.viewing.sources import open_sources


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
