"""Probes of a trained network: does it look at the images, or does it count frames?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from temporem.device import choose_device
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.infer import final_latents
from temporem.dvae.model import MovieVAE
from temporem.dvae.state import base_volumes
from temporem.frames.dataset import Dataset
from temporem.frames.frames import prepare_frames
from temporem.io.checkpoint import load_checkpoint
from temporem.runs import names
from temporem.runs.config import RunConfig
from temporem.runs.held_out import movies_of_run
from temporem.runs.methods import find_method
from temporem.runs.methods.network import Network
from temporem.runs.run import Run

BLANK, SHUFFLED = "blank", "shuffled"

_ORDER = 2**31  # seed of an order that no run trains in: seeds of runs are smaller


def can_be_probed(config: RunConfig) -> bool:
    """True if the network of a run sees images, and the run keeps all that it needs for that.

    A table of poses begins where a search ended, and a run does not keep that place.
    """
    method = find_method(config.method)
    searched = config.searches_poses and config.learned_poses == "table"
    return isinstance(method, Network) and method.sees_images and not searched


def probe_latents(run: Run, dataset: Dataset) -> dict[str, np.ndarray]:
    """Find the latents of all N frames once more, with something taken away.

    Args:
        run: a run that :func:`can_be_probed`.
        dataset: the movies that it was made from.

    Returns:
        Posterior means ``(N, q)`` by probe, in the order of the dataset's rows. ``blank``: all
        images are the projection of the mean volume in their poses. ``shuffled``: the frames of
        every movie come in a random order.
    """
    model, encoded = trained_network(run, dataset)
    training = find_network(run.config).training(run.config)
    frames = encoded.frames
    shuffled, _ = movies_of_run(dataset, run.config)
    probes = {
        BLANK: encoded.without_images(),
        SHUFFLED: replace(encoded, frames=frames.in_order_of(shuffled.shuffled(_ORDER))),
    }
    return {
        name: final_latents(model, seen, training).mean.cpu().numpy()
        for name, seen in probes.items()
    }


def trained_network(run: Run, dataset: Dataset) -> tuple[MovieVAE, EncodedFrames]:
    """Load the network of a run, and prepare the frames as it saw them in the end."""
    config, method = run.config, find_network(run.config)
    if config.searches_poses:
        dataset = dataset.with_poses(run.poses)
    elif config.poses.source == "estimate":
        dataset = dataset.without_poses()
    movies, training = movies_of_run(dataset, config)
    posed = method.needs_poses(config)
    frames = prepare_frames(movies, config.data, training, choose_device("auto"), posed=posed)
    model = load_checkpoint(run.path / names.MODEL)
    base = base_volumes(model, frames.forward_model.box)
    encoded = method.encode(config, movies, frames, base)
    return method.load_network(model, config, encoded), encoded


def find_network(config: RunConfig) -> Network:
    """Look up the method of a run of a network."""
    method = find_method(config.method)
    assert isinstance(method, Network)
    return method
