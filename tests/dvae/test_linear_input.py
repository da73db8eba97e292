"""Linear encoder input: what one frame tells of the latents of a linear model, and no more."""

import math

import pytest
import torch

from helpers.networks import known_start, tiny_frames
from temporem.dvae.encoder_input import EncoderInput, encoder_input_size
from temporem.linear.dynamics import Dynamics
from temporem.linear.model import LinearParameters
from temporem.linear.solver import LinearSolver
from temporem.physics.forward import ForwardModel
from temporem.physics.padded_grid import full_grid
from temporem.physics.rotations import random_rotations, rotation_about_axis

BOX, N, Q = 16, 5, 3
MODEL = ForwardModel(BOX, 3.0)
P = len(MODEL.support)


def function_of(volumes: torch.Tensor) -> EncoderInput:
    """The input of a linear model. Weights that must not matter are not 1."""
    return EncoderInput.of_volumes(MODEL, "linear", volumes, torch.full((P,), 0.3))


@pytest.fixture
def volumes() -> torch.Tensor:
    """A mean and three components, random within the molecule, about as strong as noise."""
    generator = torch.Generator().manual_seed(0)
    inside = MODEL.support.radii.new_zeros(4, BOX, BOX, BOX)
    inside[:, 5:11, 5:11, 5:11] = 0.2 * torch.randn(4, 6, 6, 6, generator=generator)
    return inside


@pytest.fixture
def rotations() -> torch.Tensor:
    return random_rotations(N, torch.Generator().manual_seed(1))


@pytest.fixture
def ctf() -> torch.Tensor:
    """A CTF that changes sign, alike in all directions: ``(N, P)``."""
    return (0.4 * MODEL.support.radii + torch.arange(N)[:, None]).cos()


@pytest.fixture
def images() -> torch.Tensor:
    """Images of noise of variance 1: real in real space."""
    pixels = torch.randn(N, BOX, BOX, generator=torch.Generator().manual_seed(2))
    return MODEL.support.fft(pixels)


def slices_of(volumes: torch.Tensor, rotations: torch.Tensor, ctf: torch.Tensor) -> torch.Tensor:
    """CTF times the slices of some volumes, ``(N, P, K)``."""
    base = function_of(volumes).base
    return MODEL.observe(base.slices(MODEL.slice_frequencies(rotations.float())), ctf[..., None])


def unpacked(inputs: torch.Tensor, q: int = Q) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and covariances of the latents, float64."""
    mean, spread = inputs.double().tensor_split([q], dim=1)
    factor = spread.new_zeros(len(inputs), q, q)
    row, column = torch.tril_indices(q, q)
    factor[:, row, column] = spread
    return mean, factor @ factor.mT


def test_it_is_the_posterior_that_all_pixels_of_an_image_give(
    volumes, rotations, ctf, images
) -> None:
    """Dense regression in real space, with noise of variance 1 and the prior N(0, 1)."""
    inputs = function_of(volumes)(images, ctf, rotations.float())
    assert inputs.dtype == torch.float32
    assert inputs.shape == (N, encoder_input_size(MODEL, "linear", Q)) == (N, 3 + 6)
    mean, covariance = unpacked(inputs)
    slices = slices_of(volumes, rotations, ctf).movedim(-1, 1)
    pixels = MODEL.support.ifft(slices).flatten(2).double()
    seen = MODEL.support.ifft(images).flatten(1).double() - pixels[:, 0]
    for i in range(N):
        design = pixels[i, 1:].T
        expected = torch.linalg.inv(design.T @ design + torch.eye(Q, dtype=torch.float64))
        torch.testing.assert_close(covariance[i], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mean[i], expected @ design.T @ seen[i], rtol=1e-4, atol=1e-4)
        # An image tells something, not all.
        assert 0.01 < float(expected.diagonal().min()) < 0.9


def test_it_is_the_posterior_of_the_linear_model_without_dynamics() -> None:
    encoded, start = tiny_frames(), known_start()
    frames, n = encoded.frames, len(tiny_frames())
    model, grid = frames.forward_model, full_grid(12, torch.device("cpu"))
    solver = LinearSolver(model, grid, torch.ones(12, 12, 12), frames.intervals, n)
    one = torch.ones(grid.n_shells)
    parameters = LinearParameters(
        volumes=start.volumes,
        dynamics=Dynamics.initial(2, temporal=False),
        noise=one,
        precision=one[:, None].expand(-1, 3),
    )
    sums = solver.expect(parameters, frames.blocks(frames.movies), gradient=False)
    function = EncoderInput.of_volumes(
        model, "linear", start.volumes, frames.statistics.signal_weight
    )
    batch = frames.batch(frames.movies)
    ctf = batch.ctf.clone()
    ctf[:, solver.n_pixels :] = 0  # the last ones are beyond the solver's grid
    mean, covariance = unpacked(function(batch.images, ctf, batch.rotations), q=2)
    torch.testing.assert_close(mean, sums.posterior.mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(covariance, sums.posterior.covariance, rtol=1e-4, atol=1e-5)


def test_the_latents_of_clean_images_are_found(volumes, rotations, ctf) -> None:
    """Strong components leave the prior no say."""
    volumes[1:] *= 30
    latents = torch.randn(N, Q, generator=torch.Generator().manual_seed(3))
    slices = slices_of(volumes, rotations, ctf)
    clean = slices[..., 0] + (slices[..., 1:] * latents[:, None]).sum(-1)
    mean, covariance = unpacked(function_of(volumes)(clean, ctf, rotations.float()))
    torch.testing.assert_close(mean.float(), latents, rtol=0.02, atol=0.02)
    assert float(covariance.diagonal(dim1=1, dim2=2).max()) < 0.01


def test_a_projection_of_the_mean_volume_has_mean_0(volumes, rotations, ctf, images) -> None:
    slices = slices_of(volumes, rotations, ctf)
    function = function_of(volumes)
    found = function(slices[..., 0], ctf, rotations.float())
    assert (found[:, :Q] == 0).all()
    fixed = found[:, -function.n_fixed :]
    assert fixed.shape == (N, 6)
    assert fixed.equal(function(images, ctf, rotations.float())[:, Q:])
    assert (found[:, Q:].abs() > 1e-4).any()


def test_a_frame_that_tells_nothing_leaves_the_prior(volumes, rotations, images) -> None:
    mean, covariance = unpacked(function_of(volumes)(images, torch.zeros(N, P), rotations.float()))
    assert (mean == 0).all()
    assert covariance.equal(torch.eye(Q, dtype=torch.float64).expand(N, Q, Q))


def test_it_is_the_same_however_the_image_is_turned(volumes, rotations, ctf) -> None:
    """Turning the camera about its own axis shows nothing new of the molecule."""
    beam = torch.tensor([0.0, 0, 1], dtype=torch.float64)
    quarter = rotation_about_axis(beam, torch.tensor(math.pi / 2, dtype=torch.float64))
    # Something else than the model: it need not be explained by it.
    other = torch.randn(1, BOX, BOX, BOX, generator=torch.Generator().manual_seed(4))
    straight, turned = (
        function_of(volumes)(slices_of(other, r, ctf)[..., 0], ctf, r.float())
        for r in (rotations, quarter @ rotations)
    )
    assert float(straight[:, :Q].abs().min()) > 1e-3
    torch.testing.assert_close(turned, straight, rtol=1e-3, atol=1e-4)


def test_frames_are_independent_and_signs_of_the_ctf_cancel(
    volumes, rotations, ctf, images
) -> None:
    function, r = function_of(volumes), rotations.float()
    whole = function(images, ctf, r)
    torch.testing.assert_close(function(images[2:3], ctf[2:3], r[2:3]), whole[2:3])
    torch.testing.assert_close(function(-images, -ctf, r), whole)


def test_frequencies_beyond_those_of_a_warm_start_are_not_used() -> None:
    model = ForwardModel(80, 1.0)
    function = EncoderInput.of_volumes(
        model, "linear", torch.zeros(2, 80, 80, 80), torch.ones(len(model.support))
    )
    assert float(model.support.radii[: function.n_pixels].max()) <= 32
    assert float(model.support.radii[function.n_pixels :].min()) > 32
