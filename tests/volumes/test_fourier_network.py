"""The Fourier generator: exactly Friedel-symmetric, and one object on frames and on grids."""

import pytest
import torch
from torch import nn

from temporem.physics.fourier import FourierSupport
from temporem.volumes.fourier_network import FourierNetwork
from temporem.volumes.latent_curve import LatentCurve

BOX, Z_DIM = 12, 2


def make_generator(base_components: int | None) -> FourierNetwork:
    torch.manual_seed(0)
    generator = FourierNetwork(
        BOX,
        Z_DIM,
        width=16,
        depth=2,
        n_features=10,
        feature_radius=0.1,
        base_components=base_components,
    )
    generator.set_envelope(torch.linspace(2.0, 0.5, BOX // 2 + 1))
    if generator.base is not None:
        generator.base.set_maps(torch.randn_like(generator.base.maps))
    if isinstance(generator.coordinates, LatentCurve):
        nn.init.normal_(generator.coordinates.bend.last.weight)
    return generator


@pytest.fixture(
    params=[None, 0, Z_DIM, Z_DIM + 3],
    ids=["network", "and-mean", "and-linear-model", "and-larger-linear-model"],
)
def generator(request: pytest.FixtureRequest) -> FourierNetwork:
    return make_generator(request.param)


@pytest.fixture
def z() -> torch.Tensor:
    return torch.randn(3, Z_DIM, generator=torch.Generator().manual_seed(1))


def random_frequencies() -> torch.Tensor:
    """Points inside Nyquist: anywhere, on the plane kx = 0, and on the line kx = ky = 0."""
    k = 6 * torch.rand(90, 3, generator=torch.Generator().manual_seed(2)) - 3
    k[30:60, 0] = 0
    k[60:, :2] = 0
    return k


def test_friedel_symmetry_is_exact_everywhere(generator: FourierNetwork, z: torch.Tensor) -> None:
    k = random_frequencies()
    values, mirrored = generator(k, z), generator(-k, z)
    assert values.shape == (3, 90)
    assert values.abs().min() > 0
    tolerance = 0 if generator.base is None else 1e-5  # of the interpolated mean
    torch.testing.assert_close(mirrored, values.conj().resolve_conj(), rtol=0, atol=tolerance)


def test_negative_zero_is_zero(z: torch.Tensor) -> None:
    # A rotation leaves −0.0 behind, which must not choose another half space.
    generator = make_generator(None)
    k = random_frequencies()[30:]
    signed = torch.where(k == 0, -0.0, k)
    torch.testing.assert_close(generator(signed, z), generator(k, z), rtol=0, atol=0)


def test_volumes_are_what_frames_slice(z: torch.Tensor) -> None:
    generator, support = make_generator(None), FourierSupport(BOX, 3)
    volumes = generator.volumes(support, z)
    assert volumes.dtype == torch.complex64
    assert volumes.shape == (3, len(support))
    slices = generator(support.frequencies.float(), z)
    torch.testing.assert_close(slices, volumes * BOX**0.5)


@pytest.mark.parametrize("components", [0, Z_DIM, Z_DIM + 3])
def test_volumes_add_the_base_without_interpolating_it(z: torch.Tensor, components: int) -> None:
    generator, support = make_generator(components), FourierSupport(BOX, 3)
    assert generator.base is not None
    base = generator.base.volumes(support, generator.coordinates(z))
    network = generator.volumes(support, z) - base
    generator.base.set_mean(torch.zeros(BOX, BOX, BOX))
    torch.testing.assert_close(generator.volumes(support, z), network)


def test_volume_of_every_frame_is_computed_as_if_alone(
    generator: FourierNetwork, z: torch.Tensor
) -> None:
    support = FourierSupport(BOX, 3)
    together = generator.volumes(support, z)
    alone = torch.cat([generator.volumes(support, one[None]) for one in z])
    torch.testing.assert_close(together, alone)
    assert not torch.allclose(together[0], together[1], rtol=1e-2)  # z matters


def test_frequencies_may_differ_from_frame_to_frame(
    generator: FourierNetwork, z: torch.Tensor
) -> None:
    k = random_frequencies().view(3, 30, 3)
    together = generator(k, z)
    for i in range(3):
        torch.testing.assert_close(together[i], generator(k[i], z[i]))


def test_is_smooth_in_frequency_away_from_the_origin(z: torch.Tensor) -> None:
    # No jump inside a half space, at the envelope's knots (integer radii) least of all.
    generator = make_generator(None)
    direction = torch.tensor([0.6, 0.64, -0.48])
    radii = torch.linspace(0.5, 5.9, 2000)
    values = generator(radii[:, None] * direction, z)
    steps = values.diff(dim=-1).abs().max()
    assert steps < 0.05 * values.abs().max()


def test_envelope_scales_shells(z: torch.Tensor) -> None:
    generator = make_generator(None)
    k = torch.tensor([[2.0, 0, 0], [0, 2.5, 0], [5.9, 0, 0]])
    generator.set_envelope(torch.ones(BOX // 2 + 1))
    flat = generator(k, z)
    amplitudes = torch.tensor([1.0, 1, 3, 5, 1, 1, 7])
    generator.set_envelope(amplitudes)
    expected = torch.tensor([3.0, 4.0, 0.1 * 1 + 0.9 * 7])  # linear between integer radii
    torch.testing.assert_close(generator(k, z), flat * expected, rtol=1e-5, atol=1e-6)


def test_masks_multiply_mean_and_changes(generator: FourierNetwork, z: torch.Tensor) -> None:
    support = FourierSupport(BOX, 3)
    if generator.base is not None:  # white maps have power beyond the transform
        within = support.ifft(generator.base.coefficients(support))
        generator.base.set_maps(within)
    before = support.ifft(generator.volumes(support, z))
    axis = torch.arange(BOX) - BOX // 2
    square = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    solvent, moving = torch.exp(-square / 18.0), torch.exp(-square / 8.0)
    generator.set_masks(solvent, moving)
    masked = generator.volumes(support, z)
    differing = support.ifft(masked[1:]) - support.ifft(masked[:1])
    expected = support.ifft(support.fft(moving * (before[1:] - before[:1])))
    torch.testing.assert_close(differing, expected, rtol=0, atol=1e-5)
    if generator.base is not None:
        torch.testing.assert_close(generator.base.mean, solvent * within[0])
