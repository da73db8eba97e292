"""State and result of a fit of the linear model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from temporem.io.state import Parts
from temporem.linear.dynamics import Dynamics
from temporem.linear.model import LinearParameters, Posterior
from temporem.volumes.source import Reconstruction

_LATER = ("halves", "noise", "precision", "volumes")


@dataclass(frozen=True)
class LinearState:
    """A fit of the linear model after one of its steps.

    Attributes:
        done: steps done: 1 after the fit at low resolution, 2 after the half sets, then one more
            for every iteration with all movies.
        finished: no step is left.
        seconds: time that the steps took.
        posterior: latents of all N frames.
        dynamics: dynamics of the latents.
        masks: solvent and moving mask, ``(2, D, D, D)``.
        agreement: agreement of separate halves of the movies on the components, see
            :class:`HalfAgreement`; None with too few movies.
        halves: μ and components of the half sets, ``(2, q + 1, D, D, D)``; None before step 2.
        noise: σ² at integer radii, ``(n_shells,)``; None before step 2.
        precision: prior precision of volumes, ``(n_shells, q + 1)``; None before step 2.
        volumes: μ and components, ``(q + 1, D, D, D)``; None before step 3.
        record: numbers of the step for the log; None in a state that was stored.
    """

    kind: ClassVar[str] = "linear"
    sound: ClassVar[bool] = True

    done: int
    finished: bool
    seconds: float
    posterior: Posterior
    dynamics: Dynamics
    masks: Tensor
    agreement: Mapping[str, Any] | None = None
    halves: Tensor | None = None
    noise: Tensor | None = None
    precision: Tensor | None = None
    volumes: Tensor | None = None
    record: Mapping[str, Any] | None = None

    @property
    def q(self) -> int:
        """Number of components."""
        return self.dynamics.q

    def contiguous(self) -> LinearState:
        """The state with contiguous tensors, as after reading.

        The last bits of products depend on the order in memory.
        """
        posterior = (self.posterior.mean, self.posterior.covariance, self.posterior.lag)
        later = {name: getattr(self, name) for name in _LATER}
        return replace(
            self,
            posterior=Posterior(*(tensor.contiguous() for tensor in posterior)),
            dynamics=replace(
                self.dynamics,
                rotation=self.dynamics.rotation.contiguous(),
                decay=self.dynamics.decay.contiguous(),
            ),
            masks=self.masks.contiguous(),
            **{name: tensor.contiguous() for name, tensor in later.items() if tensor is not None},
        )

    def parts(self) -> Parts:
        """The state as tensors and a document."""
        tensors = {**vars(self.posterior), "masks": self.masks}
        tensors |= dynamics_tensors(self.dynamics)
        later = {name: getattr(self, name) for name in _LATER}
        tensors |= {name: tensor for name, tensor in later.items() if tensor is not None}
        document = {
            "done": self.done,
            "finished": self.finished,
            "seconds": self.seconds,
            "q": self.q,
            "temporal": self.dynamics.temporal,
            "agreement": self.agreement,
        }
        return Parts(self.kind, tensors, document)

    @classmethod
    def from_parts(cls, parts: Parts, *, n_frames: int, box: int) -> LinearState:
        """Restore a stored state.

        Raises:
            TemporemError: a part is missing or does not fit these frames.
        """
        parts.require_kind(cls.kind)
        n, q, double = n_frames, parts.integer("q", least=1, most=64), torch.float64
        done = parts.integer("done", least=1)
        n_shells = box // 2 + 1  # of the grid of all frequencies below Nyquist
        shapes = {
            "halves": (2, q + 1, box, box, box),
            "noise": (n_shells,),
            "precision": (n_shells, q + 1),
            "volumes": (q + 1, box, box, box),
        }
        needed = _LATER if done > 2 else _LATER[:3] if done == 2 else ()
        later: dict[str, Any] = {
            name: parts.tensor(name, *shapes[name], dtype=torch.float32) for name in needed
        }
        return cls(
            done=done,
            finished=parts.flag("finished"),
            seconds=parts.number("seconds", least=0),
            posterior=Posterior(
                parts.tensor("mean", n, q, dtype=double),
                parts.tensor("covariance", n, q, q, dtype=double),
                parts.tensor("lag", n, q, q, dtype=double),
            ),
            dynamics=stored_dynamics(parts, q, temporal=parts.flag("temporal")),
            masks=parts.tensor("masks", 2, box, box, box, dtype=torch.float32),
            agreement=_agreement(parts, q),
            **later,
        )


def dynamics_tensors(dynamics: Dynamics) -> dict[str, Tensor]:
    """Tensors of dynamics by the names under which they are stored."""
    return {"rotation": dynamics.rotation, "decay": dynamics.decay}


def stored_dynamics(parts: Parts, q: int, *, temporal: bool) -> Dynamics:
    """Dynamics of q latents that were stored by :func:`dynamics_tensors`.

    Raises:
        TemporemError: a tensor is missing or has another shape.
    """
    rotation, decay = (
        parts.tensor(name, q, q, dtype=torch.float64) for name in ("rotation", "decay")
    )
    return Dynamics(rotation, decay, temporal)


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearFit(Reconstruction):
    """A fitted linear model, in the principal axes of its components.

    Attributes:
        parameters: volumes on the full grid, dynamics, noise.
        latents: posterior of all N frames, held out or not; ``latents.mean[0]`` is the first
            frame's.
        halves: μ and components of the half sets, ``(2, q + 1, D, D, D)``.
        masks: solvent and moving mask, ``(2, D, D, D)``.
        agreement: agreement of separate halves of the movies on the components.
        log: records of the steps.

    Example:
        >>> fit = tm.fit_linear(tm.read_dataset("movies"), components=2)
        >>> fit.latents.mean.shape
        torch.Size([1000, 2])
        >>> one_end = fit.volume(fit.latents.mean.amin(0))
    """

    parameters: LinearParameters
    latents: Posterior
    halves: Tensor
    masks: Tensor
    agreement: Mapping[str, Any] | None = None
    log: tuple[Mapping[str, Any], ...] = ()

    @property
    def latent_covariance(self) -> np.ndarray:
        """Posterior covariance of the latents, ``(N, q, q)``."""
        return self.latents.covariance.numpy()


def _agreement(parts: Parts, q: int) -> Mapping[str, Any] | None:
    """Check how halves of the movies agree: lists of one number for each component."""
    agreement = parts.document.get("agreement")
    if agreement is None:
        return None
    if not isinstance(agreement, dict):
        raise parts.damaged(f"agreement is {str(agreement)[:40]}")
    found = replace(parts, document=agreement)
    found.integer("components_found", most=q)
    for name in ("correlations", "chance", "chance_sd"):
        values = agreement.get(name)
        if not isinstance(values, list) or len(values) != q:
            raise parts.damaged(f"{name} is {str(values)[:40]}")
        for value in values:
            replace(parts, document={name: value}).number(name)
    return agreement
