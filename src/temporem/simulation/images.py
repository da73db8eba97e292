"""Images of a simulation: exact projections of all atoms, and white noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.physics.ctf import CTFParameters
from temporem.physics.forward import ForwardModel
from temporem.physics.poses import Poses
from temporem.physics.structure_factors import structure_factors
from temporem.simulation.config import SimulationConfig
from temporem.simulation.drawing import FrameTable
from temporem.structures.molecule import Molecule
from temporem.structures.motions.base import Motion, conformations
from temporem.structures.scattering import element_index, form_factors

_ATOMS_PER_CHUNK = 2**17  # a few frames of a large molecule; bounds memory


def clean_images(
    config: SimulationConfig,
    motion: Motion,
    frames: FrameTable,
    progress: Callable[[int, int], None] | None,
) -> np.ndarray:
    """Project all frames, CTF and shift included but no noise: ``(N, D, D)`` float32."""
    return project(
        config,
        motion.molecule,
        lambda rows: conformations(motion, frames.parameters[rows]),
        frames.poses,
        frames.ctf,
        progress,
    )


def project(
    config: SimulationConfig,
    molecule: Molecule,
    positions: Callable[[slice], Tensor],
    all_poses: Poses,
    ctf: CTFParameters,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Project the atoms of a molecule: ``(N, D, D)`` float32.

    Args:
        config: box, pixel size and B-factor.
        molecule: the elements of the atoms.
        positions: atoms, Å, of some of the frames, ``(n, atoms, 3)``, or ``(atoms, 3)`` for all.
        all_poses: of the N frames.
        ctf: of the N frames.
        progress: called with the number of frames done and of all frames.
    """
    model = ForwardModel(config.box, config.pixel_size_angstrom)
    index, numbers = element_index(molecule)
    factors = form_factors(numbers, config.b_factor_angstrom2)
    n, chunk = len(all_poses), max(1, _ATOMS_PER_CHUNK // len(molecule))
    images = np.empty((n, config.box, config.box), dtype=np.float32)
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        poses = all_poses[rows]
        atoms = positions(rows) @ poses.rotations.mT
        slices = structure_factors(atoms, index, factors, model.support, config.pixel_size_angstrom)
        observed = model.observe(
            slices,
            model.ctf(ctf[rows]),
            model.shift_phase(poses.shifts_angstrom),
        )
        images[rows] = model.support.ifft(observed).numpy()
        if progress is not None:
            progress(min(start + chunk, n), n)
    return images


def add_white_noise(images: np.ndarray, variance: float, generator: torch.Generator) -> None:
    """Add Gaussian noise to images ``(N, D, D)`` in place.

    It is added in real space, so that it also fills the corners of the images' spectra, beyond
    Nyquist.
    """
    for image in images:
        image += variance**0.5 * torch.randn(image.shape, generator=generator).numpy()


class Extent(NamedTuple):
    """Extent of the atoms of a motion.

    Attributes:
        radius_angstrom: largest distance of any atom from the centre.
        largest_displacement_angstrom: largest distance of any atom between both ends.
        rms_displacement_angstrom: root mean square distance of the moving atoms between both ends.
    """

    radius_angstrom: float
    largest_displacement_angstrom: float
    rms_displacement_angstrom: float


def extent_of(motion: Motion, parameters: Tensor) -> Extent:
    """Measure a motion over the parameters ``(N, n_parameters)`` of its frames.

    Its ends are the frames with the lowest and the highest first parameter.
    """
    still = motion.molecule.positions_angstrom[~motion.moving]
    ordered = parameters[parameters[:, 0].argsort()]
    path = motion.positions(ordered[:: max(1, len(ordered) // 50)])
    end_to_end = (motion.positions(ordered[-1]) - path[0]).norm(dim=-1)
    radii = torch.cat([still, path.flatten(0, 1)]).norm(dim=-1)
    return Extent(
        float(radii.max()), float(end_to_end.max()), float(end_to_end.square().mean().sqrt())
    )


def require_fit(config: SimulationConfig, extent: Extent) -> None:
    """Raise a TemporemError if atoms reach beyond the edge of the images."""
    half_box = config.box * config.pixel_size_angstrom / 2
    if extent.radius_angstrom > half_box:
        box = 2 * int(extent.radius_angstrom / config.pixel_size_angstrom + 1)
        raise TemporemError(
            f"the molecule reaches {extent.radius_angstrom:.0f} Å from the centre, and the edge of "
            f"the box is at {half_box:.0f} Å",
            hint=f"set box to {box} or more, or a larger pixel_size_angstrom",
        )


def require_shifts_inside(config: SimulationConfig, setting: str, shifts: Tensor) -> None:
    """Raise a TemporemError if a particle's centre would be outside its image."""
    half_box = config.box * config.pixel_size_angstrom / 2
    farthest = float(shifts.abs().max())
    if farthest > half_box:
        raise TemporemError(
            f"{setting}: a particle would be {farthest:.4g} Å from the centre of its image, in x "
            f"or y, and the edge is at {half_box:.4g} Å",
            expected="particles inside their images",
            hint=f"lower {setting}, or set a larger box",
        )
