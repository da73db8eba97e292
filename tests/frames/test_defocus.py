"""Errors of defocus are measured, corrected, and not found where there are none."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from helpers.blobs import simulate_blobs
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.physics.ctf import CTFParameters, ctf_slopes, ctf_values, no_ctf

N_MOVIES, LENGTH = 60, 8


@cache
def movies(snr: float = 1.0, arc: float = 100.0) -> Dataset:
    return simulate_blobs([LENGTH] * N_MOVIES, box=32, snr=snr, arc_degrees=arc).dataset


def errors(sd_angstrom: float) -> Tensor:
    """One for each movie, repeated for its frames."""
    generator = torch.Generator().manual_seed(3)
    drawn = sd_angstrom * torch.randn(N_MOVIES, generator=generator, dtype=torch.float64)
    drawn -= drawn.mean()
    return drawn.repeat_interleave(LENGTH)


def prepared(data: Dataset, settings: DataSettings | None = None) -> Frames:
    return prepare_frames(data, settings or DataSettings(), data.movies, torch.device("cpu"))


def test_slopes_of_the_ctf_are_its_differences() -> None:
    ctf = movies().ctf[:3]
    ctf = replace(ctf, b_factor_angstrom2=torch.full((3,), 50.0, dtype=torch.float64))
    k = 0.15 * torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step = torch.full((3,), 0.5, dtype=torch.float64)
    expected = ctf_values(ctf.refocused(step), k) - ctf_values(ctf.refocused(-step), k)
    torch.testing.assert_close(ctf_slopes(ctf, k), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("arc", [0.0, 100.0], ids=["still", "moving"])
@pytest.mark.parametrize("snr", [10.0, 1.0, 0.1])
def test_right_defocus_is_left_alone(snr: float, arc: float) -> None:
    assert prepared(movies(snr, arc)).corrections.defocus is None


@pytest.mark.parametrize("arc", [0.0, 100.0], ids=["still", "moving"])
def test_errors_of_movies_are_measured_and_corrected(arc: float) -> None:
    data, off = movies(1.0, arc), errors(800)
    right = data.ctf
    frames = prepared(replace(data, ctf=right.refocused(off)))
    found = frames.corrections.defocus
    assert found is not None
    assert found.sd_angstrom == pytest.approx(800, rel=0.3)
    left = (found.error_angstrom - off).square().mean().sqrt()
    assert left < 0.3 * 800
    assert any("defocus" in sentence for sentence in frames.corrections.sentences())

    def off_by(ctf: CTFParameters, seen: Frames) -> Tensor:
        return (seen.source.take(data.movies[0])[1] - model.ctf(ctf[:LENGTH])).square().mean()

    model = frames.forward_model
    uncorrected = prepared(replace(data, ctf=right.refocused(off)), DataSettings(corrections=False))
    assert off_by(right, frames) < 0.2 * off_by(right, uncorrected)


def test_it_does_not_matter_where_frames_are_kept() -> None:
    off = replace(movies(), ctf=movies().ctf.refocused(errors(800)))
    kept, read = prepared(off), prepared(off, DataSettings(memory_gb=0))
    for one, other in zip(
        kept.source.take(off.movies[0]), read.source.take(off.movies[0]), strict=True
    ):
        assert torch.equal(one, other)


def test_images_without_ctf_have_no_defocus() -> None:
    bright = replace(movies(), ctf=no_ctf(N_MOVIES * LENGTH))
    assert prepared(bright).corrections.defocus is None
