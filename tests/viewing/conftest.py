"""A linear run of a few movies, its page on a real server, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.commands import settings, succeed
from helpers.serving import serving
from temporem.viewing.gallery import Gallery
from temporem.viewing.server import ViewServer
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


@pytest.fixture(scope="session")
def server(gallery: Gallery) -> Iterator[ViewServer]:
    with serving(gallery) as server:
        yield server


@pytest.fixture(scope="session")
def run_with_gaps(tmp_path_factory) -> Path:
    """A linear run of movies that lack frames. Not to be changed."""
    folder = tmp_path_factory.mktemp("gaps")
    few = ("movies=8", "frames_per_movie=6", "box=16", "pixel_size_angstrom=8", "snr=3")
    succeed(
        "simulate", "toy-free", "-o", folder / "movies", *settings((*few, "missing_fraction=0.3"))
    )
    quick = settings(("linear.components=2", "linear.iterations=1"))
    run: Path = folder / "run"
    succeed("reconstruct", folder / "movies", "-o", run, "--method", "linear", *quick)
    return run


@pytest.fixture(scope="session")
def validated_run(tmp_path_factory) -> Path:
    """A linear run with held-out movies, half sets and masks. Not to be changed."""
    folder = tmp_path_factory.mktemp("validated")
    few = ("movies=10", "frames_per_movie=3", "box=16", "pixel_size_angstrom=8", "snr=3")
    succeed("simulate", "toy", "-o", folder / "movies", *settings(few))
    quick = ("linear.components=1", "linear.iterations=1", "data.held_out_fraction=0.2")
    run: Path = folder / "run"
    succeed("reconstruct", folder / "movies", "-o", run, "--method", "linear", *settings(quick))
    succeed("validate", run, "--half-sets")
    return run
