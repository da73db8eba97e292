"""Every true state in a frame of its own: for poses that were found together with a motion.

Which part of a molecule moves and which stays, images do not say: turn a conformation and, against
it, the poses of its frames, and all images are the same (:mod:`temporem.physics.pose_frames`). A
simulation has made a choice, such as the superposition of all atoms by least squares, and a
reconstruction makes another. After one alignment of all frames the difference counts as an error
of poses and volumes; here every state is aligned by the poses of its own frames, all of one hand.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.analysis.poses import align_poses
from temporem.analysis.states import MAX_STATES, are_states
from temporem.data.truth import Truth
from temporem.errors import TemporemError
from temporem.physics.pose_frames import FrameChange
from temporem.physics.rotations import geodesic_degrees

_LEAST_FRAMES = 10  # of a state: fewer are aligned by their noise


class AlignedStates:
    """The truth with the volumes of every state moved into the frame of its own poses.

    A :class:`temporem.analysis.source.VolumeSource`.

    Args:
        truth: of a dataset of N frames.
        rotations: that a method found, ``(N, 3, 3)``.
        shifts_angstrom: displacements that it found, ``(N, 2)``.
        mirrored: whether the method's volumes are of the other hand.

    Raises:
        TemporemError: the truth has no states, too many of them, or some with too few frames.
    """

    def __init__(
        self, truth: Truth, rotations: Tensor, shifts_angstrom: Tensor, *, mirrored: bool
    ) -> None:
        labels, self.state, counts = np.unique(
            truth.states, return_inverse=True, return_counts=True
        )
        if not are_states(truth.states) or len(labels) > MAX_STATES or counts.min() < _LEAST_FRAMES:
            raise TemporemError(
                "states cannot be aligned each by itself: the dataset has "
                f"{len(labels)} of at least {counts.min()} frames",
                expected=f"2 to {MAX_STATES} states of {_LEAST_FRAMES} frames or more",
                hint="align all frames together",
            )
        self.changes: list[FrameChange] = []
        self.angle_degrees = np.empty(truth.n_frames)
        self.shift_angstrom = np.empty(truth.n_frames)
        for state in range(len(labels)):
            rows = np.flatnonzero(self.state == state)
            found, shifts = rotations[rows], shifts_angstrom[rows]
            true = truth.rotations[rows], truth.shifts_angstrom[rows]
            change, _ = align_poses(found, shifts, *true, mirrored=mirrored)
            self.changes.append(change)
            self.angle_degrees[rows] = geodesic_degrees(change.rotations(found), true[0])
            self.shift_angstrom[rows] = (change.shifts(found, shifts) - true[1]).norm(dim=-1)
        self._truths = [truth.placed(c.linear, c.shift_angstrom) for c in self.changes]

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Fourier coefficients of the true volumes of frames ``(B,)``: complex64 ``(B, P)``."""
        parts = [
            (where, self._truths[state].volumes(rows[where]))
            for state in np.unique(self.state[rows])
            for where in (np.flatnonzero(self.state[rows] == state),)
        ]
        volumes = parts[0][1].new_empty(len(rows), parts[0][1].shape[1])
        for where, part in parts:
            volumes[torch.from_numpy(where)] = part
        return volumes
