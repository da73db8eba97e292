"""The Fourier network: exactly Friedel-symmetric, and the same object in slices and on grids."""

import pytest
import torch

from temporem.physics.fourier import FourierSupport
from temporem.volumes.fourier_network import FourierNetwork, OctaveNetwork

BOX, Z_DIM = 12, 2


@pytest.fixture
def generator() -> FourierNetwork:
    torch.manual_seed(0)
    made = FourierNetwork(BOX, Z_DIM, width=16, depth=2, n_features=10, feature_radius=0.1)
    made.set_amplitude(torch.linspace(2.0, 0.5, BOX // 2 + 1))
    return made


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
    torch.testing.assert_close(mirrored, values.conj().resolve_conj(), rtol=0, atol=0)


def test_negative_zero_is_zero(generator: FourierNetwork, z: torch.Tensor) -> None:
    # A rotation leaves −0.0 behind, which must not choose another half space.
    k = random_frequencies()[30:]
    signed = torch.where(k == 0, -0.0, k)
    torch.testing.assert_close(generator(signed, z), generator(k, z), rtol=0, atol=0)


def test_volumes_are_those_that_frames_slice(generator: FourierNetwork, z: torch.Tensor) -> None:
    support = FourierSupport(BOX, 3)
    volumes = generator.volumes(support, z)
    assert volumes.dtype == torch.complex64
    assert volumes.shape == (3, len(support))
    slices = generator(support.frequencies.float(), z)
    torch.testing.assert_close(slices, volumes * BOX**0.5)


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


def test_is_smooth_in_frequency_away_from_the_origin(
    generator: FourierNetwork, z: torch.Tensor
) -> None:
    # No jump inside a half space, nor at integer radii, the knots of the envelope.
    direction = torch.tensor([0.6, 0.64, -0.48])
    radii = torch.linspace(0.5, 5.9, 2000)
    values = generator(radii[:, None] * direction, z)
    steps = values.diff(dim=-1).abs().max()
    assert steps < 0.05 * values.abs().max()


def test_amplitude_scales_shells(generator: FourierNetwork, z: torch.Tensor) -> None:
    k = torch.tensor([[2.0, 0, 0], [0, 2.5, 0], [5.9, 0, 0]])
    generator.set_amplitude(torch.ones(BOX // 2 + 1))
    flat = generator(k, z)
    amplitudes = torch.tensor([1.0, 1, 3, 5, 1, 1, 7])
    generator.set_amplitude(amplitudes)
    expected = torch.tensor([3.0, 4.0, 0.1 * 1 + 0.9 * 7])  # linear between integer radii
    torch.testing.assert_close(generator(k, z), flat * expected, rtol=1e-5, atol=1e-6)


def test_octaves_encode_each_axis_by_powers_of_two() -> None:
    made = OctaveNetwork(16, Z_DIM, 8)
    voxels = torch.tensor([1.0, 2.0, 4.0, 8.0])
    torch.testing.assert_close(made.positions.norm(dim=1), voxels.repeat_interleave(3) / 16)
    assert (made.positions.count_nonzero(dim=1) == 1).all()
    # Points lie on voxels, so that frequencies a box apart look alike.
    k = torch.tensor([[1.0, 0.0, 0.0], [17.0, 0.0, 0.0]])
    one, a_box_apart = made(k, torch.ones(1, Z_DIM))[0]
    torch.testing.assert_close(one, a_box_apart)


def test_octaves_keep_friedel_symmetry(z: torch.Tensor) -> None:
    torch.manual_seed(0)
    made, k = OctaveNetwork(BOX, Z_DIM, 16), random_frequencies()
    torch.testing.assert_close(made(-k, z), made(k, z).conj().resolve_conj(), rtol=0, atol=0)
