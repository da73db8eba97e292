"""What conformation and pose take from one another, where both were found from the same images.

A motion of a part may be taken for a turn of the whole, and a view for a conformation. So it is
asked how well latents predict the error of a pose, and the true pose itself, of movies that the
regression has not seen, and how large the turn is that all frames of a true state have in common.
Nothing of the sort is what one wants: every R² at or below 0, every common turn within its noise.

The error of a pose is the rotation vector e of ``R = R_true exp([e]×)`` after the alignment of
:mod:`temporem.evaluation.poses`: by what the molecule, in its own frame, is turned too far. A turn
that goes with the conformation is the same e in whatever direction the molecule is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import Tensor

from temporem.evaluation.latents import FOLDS, principal_axes
from temporem.evaluation.states import MAX_STATES, are_states
from temporem.physics.rotations import vector_of_rotation
from temporem.poses.alignment import TOLERANCE_DEGREES

DEGREE = 3
"""Of the polynomials of the latents."""

DEFINITIONS = {
    "r2": (
        f"cross-validated over movies ({FOLDS} folds); ridge regression on polynomials of degree "
        f"{DEGREE} of the ranks of the latent's principal axes, all components of the target in one"
    ),
    "error": (
        "rotation vector e of R = R_true exp([e]x) after the alignment, of frames within "
        f"{TOLERANCE_DEGREES:g} degrees"
    ),
    "pose": "entries of the true rotation matrix",
    "view": "entries of v v^T, v the direction in which the molecule was seen",
    "systematic_degrees": "length of the mean of e over a state's frames; root mean square over "
    "states",
    "chance_degrees": "what it would be for errors with no mean, from their spread",
}


@dataclass(frozen=True)
class StateCoupling:
    """Pose errors of the frames of one true state, degrees.

    Attributes:
        state: its label.
        n_frames: frames in it.
        n_close: those of them whose error is small enough for a mean.
        median: median angle of all.
        low: first quartile.
        high: third quartile.
        turn: mean error rotation vector of those close, in the molecule's frame; NaN without any.
        chance: length that this mean would have on average (root mean square) without a turn in
            common; NaN with fewer than two.
    """

    state: int
    n_frames: int
    n_close: int
    median: float
    low: float
    high: float
    turn: tuple[float, float, float]
    chance: float

    @property
    def systematic(self) -> float:
        """Length of the turn in common."""
        return float(np.linalg.norm(self.turn))


@dataclass(frozen=True)
class PoseConformationCoupling:
    """How conformation and pose depend on one another.

    Attributes:
        n_close: frames whose pose is within the tolerance of the true one; only they have a part
            in ``error_r2`` and in the turns of states.
        error_r2: R² of the latents' prediction of pose errors; None without latents, with a single
            movie, or with fewer than two movies whose frames are close.
        pose_r2: R² of their prediction of the true rotation matrix.
        view_r2: R² of their prediction of the viewing direction, whichever end it is seen from.
        states: by true state, ascending; empty where there are none, or too many.
    """

    n_close: int
    error_r2: float | None
    pose_r2: float | None
    view_r2: float | None
    states: tuple[StateCoupling, ...]

    @property
    def systematic_degrees(self) -> float:
        """Root mean square over states of their common turn; NaN without states."""
        return _root_mean_square([state.systematic for state in self.states])

    @property
    def chance_degrees(self) -> float:
        """What it would be without any."""
        return _root_mean_square([state.chance for state in self.states])


def pose_conformation_coupling(
    rotations: Tensor,
    true_rotations: Tensor,
    movie: np.ndarray,
    latents: np.ndarray | None = None,
    states: np.ndarray | None = None,
) -> PoseConformationCoupling:
    """Measure what conformations and poses of n frames say of one another.

    Args:
        rotations: as found, aligned with the true ones, ``(n, 3, 3)``.
        true_rotations: ``(n, 3, 3)``.
        movie: movie of every frame, ``(n,)``.
        latents: ``(n, q)``, finite; None for a method without.
        states: true states, integers ``(n,)``.
    """
    error = np.rad2deg(vector_of_rotation(true_rotations.mT @ rotations).numpy())
    angle = np.linalg.norm(error, axis=1)
    close = angle < TOLERANCE_DEGREES
    error_r2 = pose_r2 = view_r2 = None
    if latents is not None and len(np.unique(movie)) > 1:
        view = true_rotations[:, 2].numpy()  # the beam's axis, in the molecule's frame
        pose_r2 = predicted_r2(latents, movie, true_rotations.flatten(1).numpy())
        view_r2 = predicted_r2(latents, movie, (view[:, :, None] * view[:, None]).reshape(-1, 9))
        if len(np.unique(movie[close])) > 1:
            error_r2 = predicted_r2(latents[close], movie[close], error[close])
    parts: list[StateCoupling] = []
    if states is not None and are_states(states) and len(np.unique(states)) <= MAX_STATES:
        parts = [_state(int(s), angle, error, close, states == s) for s in np.unique(states)]
    return PoseConformationCoupling(int(close.sum()), error_r2, pose_r2, view_r2, tuple(parts))


def predicted_r2(latents: np.ndarray, movie: np.ndarray, target: np.ndarray) -> float:
    """R² of the prediction of a target ``(n, d)`` from latents ``(n, q)``, in unseen movies.

    Ranks stand for the latents, so that none of them lies far out where polynomials run off. The
    total is the variance of all components of the target together.
    """
    axes = principal_axes(latents)
    residual = target - target.mean(axis=0)
    total = np.square(residual).sum()
    if total == 0 or axes.shape[1] == 0:
        return 0.0
    ranks = 2 * rankdata(axes, axis=0) / len(axes) - 1
    model = make_pipeline(
        PolynomialFeatures(DEGREE, include_bias=False),
        StandardScaler(),
        RidgeCV(np.logspace(-3, 4, 15)),
    )
    folds = GroupKFold(min(FOLDS, len(np.unique(movie))))
    predicted = cross_val_predict(model, ranks, target, groups=movie, cv=folds)
    return float(1 - np.square(target - predicted).sum() / total)


def _state(
    label: int, angle: np.ndarray, error: np.ndarray, close: np.ndarray, part: np.ndarray
) -> StateCoupling:
    low, median, high = np.quantile(angle[part], [0.25, 0.5, 0.75])
    near = error[part & close]
    n = len(near)
    turn = near.mean(axis=0) if n else np.full(3, np.nan)
    scatter = np.square(near - turn).sum() / (n * (n - 1)) if n > 1 else np.nan
    x, y, z = turn.tolist()
    return StateCoupling(
        state=label,
        n_frames=int(part.sum()),
        n_close=n,
        median=float(median),
        low=float(low),
        high=float(high),
        turn=(x, y, z),
        chance=float(scatter**0.5),
    )


def _root_mean_square(values: list[float]) -> float:
    known = np.array([value for value in values if np.isfinite(value)])
    return float(np.sqrt(np.square(known).mean())) if len(known) else float("nan")
