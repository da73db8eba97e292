"""The warm start: volumes, masks and latents of a linear model in the scale of a network."""

from dataclasses import replace

import pytest
import torch

from helpers.networks import tiny_frames
from temporem.dvae.warm_start import warm_start_from, warm_start_settings
from temporem.errors import TemporemError
from temporem.frames.frames import Frames
from temporem.linear.dynamics import Dynamics
from temporem.linear.fit import linear_states
from temporem.linear.masks import enlarged
from temporem.linear.model import LinearParameters, Posterior
from temporem.linear.settings import LinearSettings
from temporem.linear.state import LinearFit
from temporem.physics.fourier import FourierSupport
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import VolumeGrid


def frames() -> Frames:
    """Frames of which the last two movies are held out."""
    whole = tiny_frames(snr=10.0).frames
    return replace(whole, training=whole.movies[:6])


def linear_fit(box: int, q: int = 3) -> LinearFit:
    """A linear model with random volumes and latents, of very different spread."""
    random = torch.Generator().manual_seed(0)
    support = FourierSupport(box, 3)
    white = torch.randn(q + 1, box, box, box, generator=random)
    volumes = support.ifft(support.fft(white))  # without the corners of Fourier space
    latents = torch.randn(32, q, generator=random, dtype=torch.float64)
    latents *= torch.tensor([5.0, 1.0, 0.1, 2.0][:q])
    covariance = torch.diag_embed(0.2 * torch.rand(32, q, generator=random, dtype=torch.float64))
    one = torch.eye(q, dtype=torch.float64)
    return LinearFit(
        grid=VolumeGrid(box, 1.0, 1.0),
        generator=LinearVolumes(box, q),
        latent_means=latents.float(),
        parameters=LinearParameters(
            volumes, Dynamics(one, one, temporal=True), torch.ones(1), torch.ones(1, q + 1)
        ),
        latents=Posterior(latents, covariance, torch.zeros_like(covariance)),
        halves=torch.zeros(2, q + 1, box, box, box),
        masks=torch.rand(2, box, box, box, generator=random),
    )


def test_as_many_latents_as_components_are_those_of_the_linear_model_with_unit_spread() -> None:
    fit, given = linear_fit(12), frames()
    start = warm_start_from(fit, given, 3)
    training, held_out = slice(0, 24), slice(24, 32)
    torch.testing.assert_close(start.mean[training].std(0), torch.ones(3))
    assert (start.mean[held_out] == 0).all()
    assert (start.variance[held_out] == 1).all()
    spread = fit.latents.mean[training].std(0)
    expected = fit.latents.covariance.diagonal(dim1=1, dim2=2)[training] / spread.square()
    torch.testing.assert_close(start.variance[training], expected.float())
    # Volumes of latents are what they were.
    before = torch.einsum(
        "nj,jzyx->nzyx", fit.latents.mean[training].float(), fit.parameters.volumes[1:]
    )
    scaled = (fit.latents.mean[training] / spread).float()
    after = torch.einsum("nj,jzyx->nzyx", scaled, start.volumes[1:])
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    assert start.volumes[0].equal(fit.parameters.volumes[0])
    assert start.moving.equal(fit.masks[1])
    assert start.components == 3


def test_linear_model_of_a_smaller_box_leaves_detail_to_the_mean() -> None:
    fit, given = linear_fit(8), frames()
    start = warm_start_from(fit, given, 2)
    torch.testing.assert_close(start.moving, enlarged(fit.masks[1], 12))
    coarse, fine = FourierSupport(8, 3), FourierSupport(12, 3)
    n = len(coarse)
    low = fine.fft(start.volumes)[:, :n] * 12**0.5
    expected = coarse.fft(fit.parameters.volumes) * 8**0.5
    spread = fit.latents.mean[:24].std(0).float()
    torch.testing.assert_close(low[0], expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(low[1:], expected[1:] * spread[:, None], rtol=1e-4, atol=1e-4)
    masked = given.statistics.mean_volume.volume * enlarged(fit.masks[0], 12)
    detail = fine.fft(torch.stack([start.volumes[0], masked]))[:, n:]
    torch.testing.assert_close(detail[0], detail[1], rtol=1e-4, atol=1e-4)
    assert detail[0].abs().max() > 1e-3
    assert fine.fft(start.volumes[1:])[:, n:].abs().max() < 1e-5


def test_latents_that_do_not_vary_stay_finite() -> None:
    fit = linear_fit(12)
    still = replace(fit.latents, mean=torch.zeros(32, 3, dtype=torch.float64))
    start = warm_start_from(replace(fit, latents=still), frames(), 1)
    assert start.mean.isfinite().all()
    assert start.volumes.isfinite().all()


def test_fit_that_does_not_suit_is_refused() -> None:
    with pytest.raises(TemporemError, match=r"has 3 components, but z_dim is 4.*components=4"):
        warm_start_from(linear_fit(12), frames(), 4)
    fit = linear_fit(12)
    fewer = Posterior(*(value[:30] for value in vars(fit.latents).values()))
    with pytest.raises(TemporemError, match="has 30 frames, the dataset 32"):
        warm_start_from(replace(fit, latents=fewer), frames(), 1)


def test_only_tempor_starts_from_dynamics() -> None:
    settings = LinearSettings(components=3, iterations=7)
    for method in ("static", "tempor"):
        found = warm_start_settings(settings, method)
        assert (found.components, found.iterations) == (3, 7)
        assert found.temporal == (method == "tempor")


def test_start_has_a_component_for_every_latent() -> None:
    first = next(linear_states(frames(), LinearSettings(iterations=1), least=2))
    assert first.q == 2
