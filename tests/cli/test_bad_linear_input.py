"""Bad options, masks and movies for the linear model: one line, and nothing written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.bad_input import all_alone, change_pixels, keep_rows, refuse, rewrite, set_pixel


@pytest.fixture
def dataset(tiny_dataset, tmp_path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "movies"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--components", "3"], "3 components for 20 frames to train on"),
        (
            ["--components", "0"],
            "linear.components: must be auto or a whole number from 1 to 64 (got '0')",
        ),
        (["--components", "x"], "linear.components: must be auto or a whole number"),
        (["--components", "1.5"], "linear.components: must be auto or a whole number"),
        (["--set", "linear.iterations=0"], "linear.iterations"),
        (["--set", "linear.iteration=1"], "did you mean linear.iterations?"),
        (["--mask", "absent.mrc"], "absent.mrc; expected an .mrc file"),
        (["--start", "none"], "--start is an option of --method static or tempor"),
    ],
)
def test_bad_options(options, message, tiny_dataset, tmp_path) -> None:
    arguments = ("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--method", "linear")
    assert message in refuse(tmp_path, *arguments, *options)


@pytest.mark.parametrize(
    ("option", "method"),
    [
        ("--components 1", "homogeneous"),
        *[
            (option, method)
            for option in ("--no-temporal", "--temporal", "--mask none", "--focus-mask none")
            for method in ("tempor", "static", "homogeneous")
        ],
    ],
)
def test_options_of_the_linear_model_with_another_method(
    option, method, tiny_dataset, tmp_path
) -> None:
    name, *values = option.split()
    arguments = ("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--method", method)
    message = refuse(tmp_path, *arguments, name, *values)
    owners = "linear or static or tempor or clock" if name == "--components" else "linear"
    assert f"{name} is an option of --method {owners}, but the method is {method}" in message


def test_a_network_needs_a_component_for_every_latent_dimension(tiny_dataset, tmp_path) -> None:
    arguments = ("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--z-dim", 2)
    message = refuse(tmp_path, *arguments, "--components", 1)
    assert "linear.components is 1, but model.z_dim is 2" in message


@pytest.mark.parametrize("option", ["--mask", "--focus-mask"])
def test_bad_mask(option, tiny_dataset, tmp_path) -> None:
    """Of all that is no mask: see tests/runs/test_masks.py."""
    mask = tmp_path / "mask.mrc"
    mask.write_bytes(b"")
    arguments = ("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--method", "linear")
    refusal = refuse(tmp_path, *arguments, option, mask)
    assert "not readable" in refusal
    assert str(mask) in refusal


BAD_MOVIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "one frame each": (lambda d: rewrite(d, "particles", all_alone), "every movie has one frame"),
    "few frames": (lambda d: keep_rows(d, [0, 1, 4, 5]), "1 component for 4 frames"),
    "one movie": (lambda d: keep_rows(d, [0, 1, 2, 3]), "movies would be left to train on"),
    "NaN": (lambda d: change_pixels(d, set_pixel(np.nan)), "row 3 (counted from 0)"),
    "infinite": (lambda d: change_pixels(d, set_pixel(np.inf)), "row 3 (counted from 0)"),
    "no poses": (
        lambda d: rewrite(d, "particles", lambda c: c.pop("rlnAngleRot")),
        "lacks _rlnAngleRot",
    ),
    "no origins": (
        lambda d: rewrite(d, "particles", lambda c: c.pop("rlnOriginXAngst")),
        "lacks _rlnOriginXAngst",
    ),
}


@pytest.mark.parametrize("case", BAD_MOVIES)
def test_bad_movies(case, dataset, tmp_path) -> None:
    spoil, message = BAD_MOVIES[case]
    spoil(dataset)
    arguments = ("reconstruct", dataset, "-o", tmp_path / "run", "--method", "linear")
    assert message in refuse(tmp_path, *arguments)
