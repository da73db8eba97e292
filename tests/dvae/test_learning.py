"""A molecule that moves, learned: latents follow the motion and volumes move as the truth does."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr
from temporem.dvae.config import ModelConfig

from helpers.blobs import BlobMovies, simulate_blobs
from temporem.dvae.model import MovieVAE
from temporem.dvae.training import Trainer, infer_all
from temporem.frames.frames import PreparedFrames, prepare_frames
from temporem.physics.fourier import FourierSupport
from temporem.runs.config import RunConfig, TrainingConfig

MODEL = ModelConfig(
    encoder_width=64,
    encoder_depth=1,
    rnn_width=32,
    generator_width=64,
    generator_depth=2,
    generator_features=32,
)
TRAINING = {"frames_per_step": 8, "learning_rate": 2e-3, "precision": "float32", "device": "cpu"}


@dataclass(frozen=True)
class Quality:
    """How well a model has learned the motion.

    Attributes:
        spearman: ``|ρ|`` of latents and true angles, over all frames.
        motion_correlation: of ``V_t − V̄`` with the truth's, over all frames and coefficients.
    """

    spearman: float
    motion_correlation: float


def learn(blobs: BlobMovies, method: str, epochs: int, run_dir: Path) -> Quality:
    """Train on all movies and compare with the truth."""
    training = TrainingConfig(epochs=epochs, **TRAINING)
    config = RunConfig(method=method, model=MODEL, training=training)
    data = blobs.dataset
    frames = prepare_frames(
        data, config.data, MODEL.encoder_input, data.movies, torch.device("cpu")
    )
    return assess(Trainer(config, frames, data.movies, run_dir).fit(), frames, blobs)


def assess(model: MovieVAE, frames: PreparedFrames, blobs: BlobMovies) -> Quality:
    latents = infer_all(model, frames).mean
    support = FourierSupport(blobs.dataset.box, 3)
    with torch.no_grad():
        found = model.generator.volumes(support, latents)
    found, true = (v - v.mean(0) for v in (found, blobs.volumes()))
    weights = support.weights
    cross = ((found.conj() * true).real * weights).sum()
    power = (found.abs().square() * weights).sum() * (true.abs().square() * weights).sum()
    rank = spearmanr(latents[:, 0].numpy(), blobs.angles.numpy()).statistic
    return Quality(abs(float(rank)), float(cross / power.sqrt()))


@pytest.fixture(scope="module")
def blobs() -> BlobMovies:
    return simulate_blobs([8] * 30, snr=1.0)


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_toy_motion_is_learned(blobs: BlobMovies, method: str, tmp_path: Path) -> None:
    quality = learn(blobs, method, epochs=16, run_dir=tmp_path)
    assert quality.spearman > 0.93
    assert quality.motion_correlation > 0.5
