"""A generator from outside the package: registered in one line, it is trained like any other."""
# ruff: noqa: E402

# [docs:begin]
import torch
from torch import Tensor, nn

import temporem as tm
from temporem.dvae.settings import NetworkSettings
from temporem.volumes.model import VolumeModel


class Blobs(VolumeModel):
    """Gaussian blobs that move with the latents: ``V̂(k; z) = Σ_j w_j g(k) exp(−2πi k·x_j(z))``.

    Args:
        box: edge length D, voxels.
        z_dim: latent dimension q.
        width: number of blobs.
    """

    def __init__(self, box: int, z_dim: int, width: int) -> None:
        super().__init__(box, z_dim)
        self.positions = nn.Parameter(0.12 * torch.randn(width, 3))  # box lengths
        self.motion = nn.Linear(z_dim, 3 * width, bias=False)
        self.log_weights = nn.Parameter(torch.zeros(width))
        self.log_radius = nn.Parameter(torch.tensor(0.05).log())
        self.register_buffer("amplitude", torch.ones(()))

    def set_amplitude(self, amplitudes: Tensor) -> None:
        """Begin with blobs that add up to the amplitude of the data at the lowest frequency."""
        self.amplitude.copy_(amplitudes[0] / len(self.log_weights))

    def forward(self, frequencies: Tensor, z: Tensor) -> Tensor:
        """See :meth:`VolumeModel.forward`; values obey ``V̂(−k) = conj V̂(k)``."""
        positions = self.positions + 0.1 * self.motion(z).unflatten(-1, (-1, 3))
        phase = -2 * torch.pi * frequencies @ positions.mT  # (..., P, blobs)
        radius = 2 * torch.pi * self.log_radius.exp() * frequencies.norm(dim=-1)
        weights = self.amplitude * self.log_weights.exp()
        waves = torch.polar(weights.expand_as(phase), phase).sum(-1)
        return (-0.5 * radius.square()).exp() * waves


tm.register_generator("blobs", Blobs)

network = NetworkSettings(generator="blobs", generator_width=8, z_dim=1, encoder_width=64)
# [docs:end]

from functools import cache

import numpy as np
import pytest
from scipy.stats import spearmanr

from helpers.blobs import BlobMovies, simulate_blobs
from helpers.networks import assert_same_parts, encoded_of, train
from temporem.dvae.settings import TrainingSettings
from temporem.dvae.state import load_generator
from temporem.physics.fourier import FourierSupport


@cache
def movies() -> BlobMovies:
    return simulate_blobs([8] * 12, snr=5.0)


def training_of(**changes: object) -> TrainingSettings:
    settings = {"start": "none", "epochs": 20, "frames_per_step": 8, "learning_rate": 2e-2}
    settings |= {"random_clips": False}
    return TrainingSettings(**{**settings, **changes})


@pytest.mark.integration
@pytest.mark.parametrize("fit_network", [tm.fit_static, tm.fit_tempor])
def test_toy_generator_learns_the_molecule_and_its_motion(fit_network) -> None:
    fit = fit_network(movies().dataset, network=network, training=training_of(), device="cpu")
    assert isinstance(fit.generator, Blobs)
    found, true = (fit.support.ifft(v) for v in (fit.volumes(range(96)), movies().volumes()))
    correlation = np.corrcoef(found.flatten().numpy(), true.flatten().numpy())[0, 1]
    assert correlation > 0.8
    rank = spearmanr(fit.latents.mean[:, 0].numpy(), movies().angles.numpy()).statistic
    assert abs(rank) > 0.6


@pytest.mark.integration
def test_toy_generator_refines_a_linear_model_goes_on_and_is_loaded() -> None:
    encoded, training = encoded_of(movies(), network), training_of(start="linear", epochs=2)
    start = tm.fit_linear(movies().dataset, components=2, iterations=1, device="cpu")
    fit = tm.fit_tempor(
        movies().dataset, start=start, network=network, training=training, device="cpu"
    )
    assert isinstance(fit.generator.change, Blobs)
    assert fit.volume(fit.latents.mean[0]).isfinite().all()
    whole = train(encoded, "static", network, training_of(epochs=2), keep=(5,))
    resumed = train(encoded, "static", network, training_of(epochs=2), stored=whole.parts[5])
    assert_same_parts(resumed.last, whole.last)
    loaded = load_generator(whole.last, network, 16, torch.device("cpu"))
    support, z = FourierSupport(16, 3), torch.zeros(1, 1)
    assert loaded.volumes(support, z).equal(whole.model.generator.volumes(support, z))
