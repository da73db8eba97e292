"""Truth of the images that were cut from simulated fields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from temporem.extraction.scores import match
from temporem.io.positions import Positions
from temporem.physics.poses import Poses
from temporem.simulation.field_truth import FieldTruth
from temporem.simulation.truth import Truth


def true_positions(known: FieldTruth) -> Positions:
    """Places of the particles of simulated fields."""
    return Positions(
        movies=known.fields,
        tracks=np.asarray(known.truth.particle_names),
        frames=known.truth.frame_numbers,
        places=known.positions,
    )


def truth_of_images(
    known: FieldTruth,
    found: Positions,
    particle_names: Sequence[str],
    *,
    box: int,
    pixel_size_angstrom: float,
    radius: float,
) -> Truth:
    """Truth of each image: that of the nearest particle; not known where none is near.

    Args:
        known: truth of the fields.
        found: place of the particle of each image, the centre of that image, ``(N,)``.
        particle_names: names of the tracks in the dataset, ``(N,)``.
        box: edge of the images.
        pixel_size_angstrom: of the images.
        radius: largest distance of a particle, pixels of the field.
    """
    row = match(found, true_positions(known), radius)
    truth = known.truth
    field_pixel = truth.config.pixel_size_angstrom
    shifts = torch.from_numpy(known.positions[row] - found.places) * field_pixel
    config = truth.config.model_copy(
        update={"box": box, "pixel_size_angstrom": pixel_size_angstrom}
    )
    return Truth(
        config=config,
        motion=truth.motion,
        noise_variance=truth.noise_variance,
        states=truth.states[row],
        parameters=truth.parameters[torch.from_numpy(row)],
        poses=Poses(truth.poses.rotations[torch.from_numpy(row)], shifts),
        times_seconds=truth.times_seconds[row],
        particle_names=list(particle_names),
        frame_numbers=found.frames,
        known=row >= 0,
    )
