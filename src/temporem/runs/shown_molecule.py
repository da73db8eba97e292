"""Do images show the molecule of a run, and how strongly?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.frames.frames import Frames
from temporem.physics.padded_grid import full_grid
from temporem.runs.run import Run

_SIGNIFICANT = 5.0  # standard errors by which images fit better in their own poses
_LEAST_GAIN = 0.3  # and fraction of what the volume promises, in given poses
_TURN = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # 90° about x


@dataclass(frozen=True)
class MeanFit:
    """Fit of the mean volume of a run to images.

    Attributes:
        factor: least-squares factor of its projections, each in its pose and with its CTF.
        turned: the factor if all poses were turned by 90°.
        error: standard error of both.
    """

    factor: float
    turned: float
    error: float

    @property
    def is_telling(self) -> bool:
        """True if a molecule that is there would show by more than chance."""
        return 2 * _SIGNIFICANT * 2**0.5 * self.error < 1.0

    def require_molecule(self, run: Run, *, found: bool) -> None:
        """Raise a TemporemError if the images do not show the molecule.

        Args:
            run: the run.
            found: poses were found in the run's volumes, and the fit is one of frequencies that
                the search did not use. Else the poses are those of the dataset.
        """
        gain = self.factor - self.turned
        # In other poses a mean volume fits too, as one blob fits another.
        promised = 0.0 if found else _LEAST_GAIN * (1 - self.turned)
        if gain >= max(_SIGNIFICANT * 2**0.5 * self.error, promised):
            return
        where = "in the poses that were found" if found else "in their poses"
        other = "" if found else ", and --poses estimate if their poses have another frame"
        raise TemporemError(
            f"the images do not show the molecule of {run.path}: its mean volume fits them with "
            f"the factor {self.factor:.2g} ± {self.error:.1g} {where}, and with "
            f"{self.turned:.2g} if these are turned by 90°",
            expected="a factor near 1, and a much smaller one in other poses",
            hint="look at them with temporem check; pass --invert if they have the other sign"
            + other,
        )


def fit_mean(run: Run, frames: Frames, low: float, high: float) -> MeanFit:
    """Fit the mean volume of a run to frames, between two frequencies in cycles per box."""
    model = frames.forward_model
    grid = full_grid(model.box, frames.device)
    rows = grid.from_volumes(mean_volume(run).to(frames.device)[None])
    n = int((model.support.radii < high).sum())
    inside = model.support.radii[:n] >= low
    weights = (model.support.weights[:n] * inside).to(frames.device)
    turn = _TURN.to(frames.device)
    products, powers = [0.0, 0.0], [1e-12, 1e-12]
    for batch in frames.blocks(frames.movies, n):
        for i, rotations in enumerate((batch.rotations, turn @ batch.rotations)):
            points = model.slice_frequencies(rotations, slice(0, n))
            slices = grid.extract(rows, grid.corners(points)).view(len(batch.rows), n)
            expected = model.observe(slices, batch.ctf)
            products[i] += float((weights * (batch.images.conj() * expected).real).sum())
            powers[i] += float((weights * expected.abs().square()).sum())
    error = (frames.statistics.independent_share * powers[0]) ** -0.5
    return MeanFit(products[0] / powers[0], products[1] / powers[1], error)


def mean_volume(run: Run) -> Tensor:
    """Volume of a run at the mean of its latents, ``(D, D, D)``, in units of the images' noise."""
    return run.volume(run.latent_means.mean(0)) / run.grid.noise_scale
