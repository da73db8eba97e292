"""Alignment of every true state on its own, for poses that were found together with a motion.

Images do not show which part of a molecule moves: turn a conformation, and the poses of its frames
against it, and all images are the same (:mod:`temporem.physics.rigid_transform`).
A simulation has made a choice, such as the superposition of all atoms by least squares, and a
reconstruction makes another. After one alignment of all frames the difference counts as an error
of poses and volumes. Here every state is aligned by the poses of its own frames, all of one hand.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.evaluation.poses import pose_agreement
from temporem.evaluation.states import MAX_STATES, are_states
from temporem.physics.poses import Poses
from temporem.simulation.truth import Truth

_LEAST_FRAMES = 10  # in a state: fewer would be aligned by their noise


class AlignedStates:
    """The truth with the volumes of every state moved into the reference frame of its own poses.

    A :class:`temporem.volumes.source.VolumeSource`.

    Args:
        truth: truth of N frames.
        poses: poses that a method found.
        mirrored: the method's volumes are of the other hand.

    Attributes:
        angle_degrees: errors of the poses, each after its state's alignment, ``(N,)``.
        shift_angstrom: errors of the displacements, likewise, ``(N,)``.

    Raises:
        TemporemError: the truth has no states, too many of them, or some with too few frames.
    """

    def __init__(self, truth: Truth, poses: Poses, *, mirrored: bool) -> None:
        labels, self._state, counts = np.unique(
            truth.states, return_inverse=True, return_counts=True
        )
        if not are_states(truth.states) or len(labels) > MAX_STATES or counts.min() < _LEAST_FRAMES:
            raise TemporemError(
                "the true states cannot be aligned one by one: the dataset has "
                f"{len(labels)} of at least {counts.min()} frames",
                expected=f"2 to {MAX_STATES} states of {_LEAST_FRAMES} frames or more",
                hint="align all frames together",
            )
        self.angle_degrees, self.shift_angstrom = np.empty((2, truth.n_frames))
        self._truths: list[Truth] = []
        for state in range(len(labels)):
            rows = np.flatnonzero(self._state == state)
            agreement, change = pose_agreement(poses[rows], truth.poses[rows], mirrored=mirrored)
            self.angle_degrees[rows] = agreement.angle_degrees
            self.shift_angstrom[rows] = agreement.shift_angstrom
            self._truths.append(truth.placed(change.linear, change.shift_angstrom))

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Fourier coefficients of the true volumes of frames ``(B,)``: complex64 ``(B, P)``."""
        found = torch.empty(len(rows), len(self._truths[0].support), dtype=torch.complex64)
        states = self._state[rows]
        for state in np.unique(states):
            which = torch.from_numpy(states == state)
            found[which] = self._truths[state].volumes(rows[states == state])
        return found
