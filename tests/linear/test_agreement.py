"""Agreement of half sets that share nothing, and what chance makes of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from helpers.blobs import simulate_blobs
from temporem.frames.frames import prepare_frames
from temporem.frames.settings import DataSettings
from temporem.linear.agreement import compare, half_agreement
from temporem.linear.cross_fit import fit_coarse
from temporem.physics.masks import soft_ball
from temporem.physics.padded_grid import PaddedGrid

CPU = torch.device("cpu")
GRID = PaddedGrid(16, 6.0, CPU)


def smooth_volumes(n: int, seed: int) -> Tensor:
    """Random volumes within a ball, of power that falls with frequency."""
    noise = torch.randn(n, 16, 16, 16, generator=torch.Generator().manual_seed(seed))
    k = torch.fft.fftfreq(16) * 16
    radius = (k[:, None, None] ** 2 + k[:, None] ** 2 + k**2).sqrt()
    spectra = torch.fft.fftn(noise, dim=(1, 2, 3)) * torch.exp(-radius / 2)
    return torch.fft.ifftn(spectra, dim=(1, 2, 3)).real * soft_ball(16, 3, 5.0, 2.0)


def test_same_space_in_other_axes_agrees_wholly() -> None:
    volumes = smooth_volumes(3, 0)
    mixed = torch.einsum(
        "ij,jzyx->izyx", torch.tensor([[1.0, 2, 0], [0, 1, -1], [3, 0, 1]]), volumes
    )
    found = compare(GRID, volumes, mixed)
    torch.testing.assert_close(found.correlations, torch.ones(3, dtype=torch.float64))
    assert found.n_found == 3
    assert (found.chance < 0.8).all()


def test_one_direction_in_common_is_one_found() -> None:
    one, other = smooth_volumes(3, 0), smooth_volumes(3, 1)
    other[2] = 0.1 * one[1]
    found = compare(GRID, one, other)
    assert found.n_found == 1
    assert found.correlations[0] > 0.999


def test_chance_is_what_unrelated_volumes_have() -> None:
    """Correlations of unrelated volumes lie about the mean that the other orientations give."""
    deviations = []
    for seed in range(10):
        found = compare(GRID, smooth_volumes(2, 2 * seed), smooth_volumes(2, 2 * seed + 1))
        assert found.n_found == 0
        deviations.append((found.correlations - found.chance) / found.chance_sd)
    assert torch.stack(deviations).mean(0).abs().max() < 1  # 10 draws of unit spread


def test_chance_does_not_depend_on_how_volumes_lie() -> None:
    """The other orientations of a turned volume are those of the volume: about one origin."""
    one, other = smooth_volumes(1, 0), smooth_volumes(1, 1)
    turned = other.permute(0, 2, 3, 1)
    squares = [
        torch.cat([f.correlations[None], f.chance[None] * 47]).sum()
        for f in (compare(GRID, one, other), compare(GRID, one, turned))
    ]
    torch.testing.assert_close(squares[0], squares[1], rtol=1e-4, atol=0)


def agreement(**options: float):
    movies = simulate_blobs([8] * 24, **options)
    frames = prepare_frames(movies.dataset, DataSettings(), movies.dataset.movies, CPU)
    prior = frames.statistics.spectral_prior
    fit = fit_coarse(frames, frames.movies, [2], prior, temporal=True, window_radius=0.85, seed=0)
    return half_agreement(fit, frames.movies, prior, temporal=True, seed=0)


@pytest.mark.integration
def test_halves_find_a_motion_that_is_there() -> None:
    found = agreement(snr=0.3)
    assert found.n_found >= 1
    assert found.correlations[0] > 0.8


@pytest.mark.integration
def test_halves_find_nothing_where_nothing_moves() -> None:
    found = agreement(snr=0.3, arc_degrees=0)
    assert found.n_found == 0
