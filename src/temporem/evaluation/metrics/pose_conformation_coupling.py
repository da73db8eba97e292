"""Coupling of conformation and pose, for runs that found both from the same images.

A motion of a part may be taken for a turn of the whole, and a view for a conformation. So this
metric measures how well latents predict the error of a pose, and the true pose itself, for movies
that the regression has not seen. It also measures the turn that all frames of a true state have in
common. Ideally, every R² is at or below 0 and every common turn within its noise.

The error of a pose is the rotation vector e of ``R = R_true exp([e]×)`` after the alignment of
:mod:`temporem.evaluation.poses`: the turn of the molecule, in its own frame, beyond the true one. A
turn that goes with the conformation is the same e in whatever direction the molecule is seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import Tensor

from temporem.evaluation.case import Case
from temporem.evaluation.evaluation import Arrays, Evaluation
from temporem.evaluation.metrics.latents import FOLDS
from temporem.evaluation.metrics.metric import NO_PLACE, Metric, Ready, Score
from temporem.evaluation.principal_axes import principal_axes
from temporem.evaluation.sample import Sample, Statistic
from temporem.evaluation.states import can_be_measured
from temporem.physics.rotations import vector_of_rotation
from temporem.poses.alignment import TOLERANCE_DEGREES

DEGREE = 3
"""Degree of the polynomials of the latents."""

_BEYOND_CHANCE = 3  # times the length of a common turn by chance
_R2 = (
    f"R² of the prediction of {{}} for unseen movies ({FOLDS} folds) by ridge regression on "
    f"polynomials of degree {DEGREE} of the ranks of the latents' principal axes."
)


class PoseConformationMetric(Metric):
    """Coupling of poses and conformations."""

    name = "pose_conformation_coupling"
    title = "Coupling of pose and conformation"
    scores = (
        Score(
            "error_r2",
            "Pose error predicted by latents, R²",
            _R2.format(
                "the pose error, the rotation vector e of R = R_true exp([e]×) in frames within "
                f"{TOLERANCE_DEGREES:g}°,"
            ),
            direction=-1,
        ),
        Score(
            "pose_r2",
            "True pose predicted by latents, R²",
            _R2.format("the nine entries of the true rotation matrix"),
            direction=-1,
        ),
        Score(
            "view_r2",
            "True view predicted by latents, R²",
            _R2.format("the entries of v vᵀ, v the direction in which the molecule was seen,"),
            direction=-1,
        ),
        Score(
            "systematic_degrees",
            "Turn common to a state",
            "Root mean square over states of |ē|, ē the mean of e over the frames of a state.",
            unit="°",
            direction=-1,
            digits=2,
        ),
        Score(
            "chance_degrees",
            "Turn common to a state, by chance",
            "Root mean square over states of √(Σ|e − ē|² / (n (n − 1))), the length of ē without a "
            "common turn.",
            unit="°",
            direction=0,
            digits=2,
        ),
    )
    arrays: ClassVar = {
        "n_close": ("iu",),
        "error_r2": ("f",),
        "pose_r2": ("f",),
        "view_r2": ("f",),
        "state": ("iu", "states"),
        "state_n_frames": ("iu", "states"),
        "state_n_close": ("iu", "states"),
        "state_median": ("f", "states"),
        "state_low": ("f", "states"),
        "state_high": ("f", "states"),
        "state_turn": ("f", "states", 3),
        "state_chance": ("f", "states"),
    }
    of_frames = False

    def begin(self, case: Case) -> Ready | None:
        """Measure where poses were found."""
        known, poses = case.known, case.known.poses
        if poses is None:
            return None
        coupling = pose_conformation_coupling(
            poses.rotations, poses.true_rotations, case.frames.movie, known.latents, known.states
        )
        return Ready({NO_PLACE: asdict(coupling)})

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """The numbers as they are: their spread over movies is not known."""
        coupling = PoseConformationCoupling(**arrays)
        return {
            score.name: Statistic(float(getattr(coupling, score.name))) for score in self.scores
        }

    def details(self, arrays: Arrays, sample: Sample) -> dict[str, Any]:
        """Frames whose errors are small enough for a mean, and the pose errors of every state."""
        names = [name for name in arrays if name.startswith("state")]
        return {"n_close": int(arrays["n_close"])} | {n: arrays[n].tolist() for n in names}

    def cautions(self, evaluation: Evaluation) -> list[str]:
        """Report a common turn beyond chance, which one alignment of all frames counts as error."""
        coupling = coupling_of(evaluation)
        if coupling is None:
            return []
        if evaluation.settings.align == "states":
            return [
                "each true state is aligned on its own, which forgives a turn that its frames have "
                "in common."
            ]
        turn, chance = coupling.systematic_degrees, coupling.chance_degrees
        if not turn > _BEYOND_CHANCE * chance:  # NaN without states
            return []
        return [
            f"frames of a state are turned by {turn:.1f}° in common (by chance {chance:.1f}°): a "
            "motion taken for poses, or another choice of the part that stays still. "
            "`temporem evaluate --align states` tells what remains without it."
        ]


COUPLING = PoseConformationMetric()


@dataclass(frozen=True, eq=False)
class PoseConformationCoupling:
    """Coupling of conformation and pose; R² is NaN if unknown.

    Pose errors of K states are in degrees; K is 0 without true states, or with too many.

    Attributes:
        n_close: frames whose pose is within the tolerance of the true one; only they count in
            ``error_r2`` and in the turns of states.
        error_r2: R² of the latents' prediction of pose errors; NaN without latents, with a single
            movie, or with fewer than two movies whose frames are close.
        pose_r2: R² of their prediction of the true rotation matrix.
        view_r2: R² of their prediction of the viewing direction, whichever end it is seen from.
        state: labels, ascending, ``(K,)``.
        state_n_frames: frames of each state, ``(K,)``.
        state_n_close: those of them that are close, ``(K,)``.
        state_low, state_median, state_high: quartiles of the angle over all its frames, ``(K,)``.
        state_turn: mean error rotation vector of the close frames, in the molecule's frame,
            ``(K, 3)``; NaN without any.
        state_chance: root mean square length of this mean without a common turn, ``(K,)``; NaN
            with fewer than two close frames.
    """

    n_close: np.ndarray
    error_r2: np.ndarray
    pose_r2: np.ndarray
    view_r2: np.ndarray
    state: np.ndarray
    state_n_frames: np.ndarray
    state_n_close: np.ndarray
    state_low: np.ndarray
    state_median: np.ndarray
    state_high: np.ndarray
    state_turn: np.ndarray
    state_chance: np.ndarray

    @property
    def state_systematic(self) -> np.ndarray:
        """Length of each state's common turn, ``(K,)``."""
        return np.linalg.norm(self.state_turn, axis=1)

    @property
    def systematic_degrees(self) -> float:
        """Root mean square over states of their common turn; NaN without states."""
        return _root_mean_square(self.state_systematic)

    @property
    def chance_degrees(self) -> float:
        """Root mean square over states of their common turn by chance; NaN without states."""
        return _root_mean_square(self.state_chance)


def coupling_of(evaluation: Evaluation) -> PoseConformationCoupling | None:
    """The coupling that an evaluation has measured; None where poses are the true ones."""
    arrays = evaluation[COUPLING.name].get(NO_PLACE)
    return None if arrays is None else PoseConformationCoupling(**arrays)


def pose_conformation_coupling(
    rotations: Tensor,
    true_rotations: Tensor,
    movie: np.ndarray,
    latents: np.ndarray | None = None,
    states: np.ndarray | None = None,
) -> PoseConformationCoupling:
    """Measure how well conformations and poses of n frames predict one another.

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
    error_r2 = pose_r2 = view_r2 = math.nan
    if latents is not None and len(np.unique(movie)) > 1:
        view = true_rotations[:, 2].numpy()  # the beam's axis, in the molecule's frame
        pose_r2 = predicted_r2(latents, movie, true_rotations.flatten(1).numpy())
        view_r2 = predicted_r2(latents, movie, (view[:, :, None] * view[:, None]).reshape(-1, 9))
        if len(np.unique(movie[close])) > 1:
            error_r2 = predicted_r2(latents[close], movie[close], error[close])
    labels = np.array([], dtype=np.int64)
    if states is not None and can_be_measured(states):
        labels = np.unique(states)
    columns = [_state(angle, error, close, states == label) for label in labels]
    by_name: dict[str, np.ndarray] = {
        f"state_{name}": np.array([column[name] for column in columns], dtype=kind).reshape(shape)
        for name, (kind, shape) in _STATE_COLUMNS.items()
    }
    return PoseConformationCoupling(
        n_close=close.sum(),
        error_r2=np.array(error_r2),
        pose_r2=np.array(pose_r2),
        view_r2=np.array(view_r2),
        state=labels.astype(np.int64),
        **by_name,
    )


def predicted_r2(latents: np.ndarray, movie: np.ndarray, target: np.ndarray) -> float:
    """R² of the prediction of a target ``(n, d)`` from latents ``(n, q)``, in unseen movies.

    Latents enter by their ranks, so no outlier lies where polynomials diverge. The total is the
    variance of all components of the target together.
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


_STATE_COLUMNS: dict[str, tuple[type, tuple[int, ...]]] = {
    **dict.fromkeys(("n_frames", "n_close"), (np.int64, (-1,))),
    **dict.fromkeys(("low", "median", "high", "chance"), (np.float64, (-1,))),
    "turn": (np.float64, (-1, 3)),
}


def _state(
    angle: np.ndarray, error: np.ndarray, close: np.ndarray, part: np.ndarray
) -> dict[str, Any]:
    low, median, high = np.quantile(angle[part], [0.25, 0.5, 0.75])
    near = error[part & close]
    n = len(near)
    turn = near.mean(axis=0) if n else np.full(3, np.nan)
    scatter = np.square(near - turn).sum() / (n * (n - 1)) if n > 1 else np.nan
    return {
        "n_frames": part.sum(),
        "n_close": n,
        "low": low,
        "median": median,
        "high": high,
        "turn": turn,
        "chance": scatter**0.5,
    }


def _root_mean_square(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.square(known).mean())) if len(known) else math.nan
