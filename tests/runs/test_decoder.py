"""Volumes of a run on other grids, and as combinations of a few."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.runs import run_of_a_network
from temporem.physics.fourier import FourierSupport
from temporem.runs.decoder import Decoder
from temporem.runs.run import Run, load_run
from temporem.volumes.decoding import SPAN_TOLERANCE, Span
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.refined_volumes import RefinedVolumes
from temporem.volumes.source import VolumeGrid

BOX = 16
ROWS = np.arange(20)


@pytest.fixture(params=["tempor", "homogeneous"])
def any_run(request, tiny_runs) -> Run:
    return load_run(tiny_runs[request.param])


@pytest.fixture
def run(tiny_runs) -> Run:
    return load_run(tiny_runs["tempor"])


class Plane:
    """A generator from outside the package, whose volumes are sums of two: exactly in a span."""

    def __init__(self) -> None:
        self.spans: list[int] = []

    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        return z.to(torch.complex64) @ self._basis(support)

    def span(self, support: FourierSupport, z: Tensor) -> Span:
        self.spans.append(len(z))
        return Span(self._basis(support), z)

    def _basis(self, support: FourierSupport) -> Tensor:
        radius = support.frequencies.float().norm(dim=-1)
        return torch.stack([torch.exp(-radius), torch.exp(-radius / 2)]).to(torch.complex64)


def test_any_generator_may_offer_spans(run) -> None:
    latents = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    plane = Plane()
    own = replace(run, generator=plane, latent_means=latents)
    decoder, rows = Decoder(own, ROWS, block=8), np.array([3, 7, 8, 19])
    torch.testing.assert_close(decoder.volumes(rows), own.volumes(rows))
    assert plane.spans == [8, 8, 4]
    half = Decoder(own, ROWS, box=8)
    low = FourierSupport(BOX, 3, radius=4)
    expected = own.volumes(rows, low) * (8 / BOX) ** 1.5
    torch.testing.assert_close(half.volumes(rows), expected)


def test_spans_of_blocks_of_frames_hold_the_volumes_of_a_network(run) -> None:
    network = run_of_a_network(run, 40)
    rows = np.random.default_rng(0).permutation(40)
    exact = network.volumes(rows)
    motion = (exact - exact.mean(0)).abs().square().mean().sqrt()
    decoder = Decoder(network, rows, block=20)
    found = torch.cat([decoder.volumes(rows[:13]), decoder.volumes(rows[13:])])
    assert not found.equal(exact)
    assert (found - exact).abs().square().mean(1).sqrt().max() < 5 * SPAN_TOLERANCE * motion
    torch.testing.assert_close(decoder.volumes(rows[[4, 37, 4]]), found[[4, 37, 4]])


def test_downsampled_volumes_are_masked(run) -> None:
    run.generator.base.set_mean(torch.zeros(BOX, BOX, BOX))  # it is masked when it is set
    moving, full = run.generator.moving.clone(), FourierSupport(BOX, 3, radius=4)
    masked = Decoder(run, ROWS, box=8).volumes(ROWS[:3])
    run.generator.moving.fill_(1)
    unmasked = Decoder(run, ROWS, box=8).volumes(ROWS[:3])
    expected = full.fft(moving * full.ifft(unmasked))
    tolerance = 1e-4 * masked.abs().max().item()
    torch.testing.assert_close(masked, expected, rtol=0, atol=tolerance)
    assert (masked - unmasked).abs().max() > 100 * tolerance


def test_without_a_span_volumes_are_those_of_the_run(any_run) -> None:
    rows = np.array([5, 2, 19])
    assert Decoder(any_run, ROWS).volumes(rows).equal(any_run.volumes(rows))
    np.testing.assert_array_equal(Decoder(any_run, ROWS).voxels(rows), any_run.voxels(rows))


def test_downsampling_keeps_the_low_frequencies(any_run) -> None:
    if isinstance(any_run.generator, RefinedVolumes):
        # The mask is multiplied after high frequencies were left out, not before.
        assert not (any_run.generator.moving == 1).all()
        any_run.generator.moving.fill_(1)
    full, half = any_run.voxels(ROWS[:3]), Decoder(any_run, ROWS, box=8)
    assert half.pixel_size_angstrom == 2 * any_run.grid.pixel_size_angstrom
    spectrum = np.fft.fftshift(np.fft.fftn(full, axes=(1, 2, 3)), axes=(1, 2, 3))
    # Of the frequencies from −8 to 7 those from −4 to 3, inside the ball of the smaller Nyquist.
    k = np.stack(np.meshgrid(*[np.arange(-4, 4)] * 3, indexing="ij"))
    low = spectrum[:, 4:12, 4:12, 4:12] * (np.square(k).sum(0) < 16)
    expected = np.fft.ifftn(np.fft.ifftshift(low, axes=(1, 2, 3)), axes=(1, 2, 3)) / 8
    # The centre voxel stays in the centre: 8 of 16, 4 of 8.
    np.testing.assert_allclose(half.voxels(ROWS[:3]), expected.real, atol=1e-5 * full.max())
    coefficients = half.support.fft(torch.from_numpy(half.voxels(ROWS[:3])))
    decoded = half.volumes(ROWS[:3])
    torch.testing.assert_close(coefficients[:, 1:], decoded[:, 1:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(coefficients[:, 0].real, decoded[:, 0].real, rtol=1e-4, atol=1e-4)


def test_downsampling_keeps_values_and_places(run) -> None:
    """A wide blob off the centre."""
    axis = torch.arange(BOX) - BOX // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    volume = 3 * torch.exp(-((x - 1).square() + y.square() + (z + 1).square()) / (2 * 2.3**2))
    generator = LinearVolumes(BOX, 0)
    generator.set_mean(volume)
    blob = replace(run, generator=generator, grid=VolumeGrid(BOX, 2.0, 1.0))
    coarse = Decoder(blob, ROWS[:1], box=8).voxels(ROWS[:1])[0]
    np.testing.assert_allclose(coarse, volume[::2, ::2, ::2].numpy(), atol=0.02 * 3)
