"""Probes of a trained network: does it look at the images, or does it count frames?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from temporem.device import choose_device
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.infer import infer_latents
from temporem.dvae.model import MovieVAE
from temporem.dvae.stages import finds_latents_on_grid
from temporem.frames.dataset import Dataset
from temporem.frames.frames import prepare_frames
from temporem.io.checkpoint import load_checkpoint
from temporem.runs import names
from temporem.runs.config import RunConfig
from temporem.runs.held_out import movies_of_run
from temporem.runs.methods import find_method
from temporem.runs.methods.network import Network
from temporem.runs.run import Run
from temporem.volumes.generators import generator_kind

BLANK, SHUFFLED = "blank", "shuffled"

_ORDER = 2**31  # seed of an order that no run trains in: seeds of runs are smaller


def can_be_probed(config: RunConfig) -> bool:
    """True if the network of a run sees images, and the run keeps all that it needs for that.

    A table of poses begins where a search ended, and a run does not keep that place. Latents on a
    grid cannot count frames: without images, all of a movie are alike.
    """
    method = find_method(config.method)
    if not isinstance(method, Network) or not method.sees_images:
        return False
    generator, q = generator_kind(config.model.generator), config.model.z_dim
    table = config.learned_poses == "table"
    if finds_latents_on_grid(method.kind, config.training, generator, q, table):
        return False
    return not (config.searches_poses and table)


def probe_latents(run: Run, dataset: Dataset) -> dict[str, np.ndarray]:
    """Infer the latents of all N frames once more, with something taken from the encoder.

    Args:
        run: a run that :func:`can_be_probed`.
        dataset: the movies that it was made from.

    Returns:
        Posterior means ``(N, q)`` by probe, in the order of the dataset's rows. ``blank``: all
        images are the projection of the mean volume in their poses. ``shuffled``: the frames of
        every movie come in a random order.
    """
    model, encoded = trained_network(run, dataset)
    frames = encoded.frames
    shuffled, _ = movies_of_run(dataset, run.config)
    probes = {
        BLANK: encoded.without_images(),
        SHUFFLED: replace(encoded, frames=frames.in_order_of(shuffled.shuffled(_ORDER))),
    }
    return {name: infer_latents(model, seen).mean.cpu().numpy() for name, seen in probes.items()}


def trained_network(run: Run, dataset: Dataset) -> tuple[MovieVAE, EncodedFrames]:
    """Load the network of a run, and prepare the frames as it saw them in the end."""
    config, method = run.config, find_method(run.config.method)
    assert isinstance(method, Network)
    if config.searches_poses:
        dataset = dataset.with_poses(run.poses)
    movies, training = movies_of_run(dataset, config)
    frames = prepare_frames(movies, config.data, training, choose_device("auto"))
    return method.trained(load_checkpoint(run.path / names.MODEL), config, movies, frames)
