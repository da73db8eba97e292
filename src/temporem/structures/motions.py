"""How a molecule changes its conformation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.io.npz import NpzFile
from temporem.physics.rotations import rotation_about_axis
from temporem.structures.molecule import Molecule

_STILL_ANGSTROM = 1e-3
_LAST_ELEMENT = 98  # with a known form factor
_FARTHEST_NEIGHBOURS_ANGSTROM = 5.0


class Motion(Protocol):
    """Conformations of a molecule along one or more parameters.

    Attributes:
        kind: name of the motion in configurations and files.
        parameter_names: with units, such as ``angle_degrees``.
        molecule: all N atoms; those that never move are where this has them.
        moving: atoms that ever move, bool ``(N,)``.
    """

    kind: ClassVar[str]
    parameter_names: ClassVar[tuple[str, ...]]

    @property
    def molecule(self) -> Molecule: ...

    @property
    def moving(self) -> Tensor: ...

    def positions(self, parameters: Tensor) -> Tensor:
        """Moving atoms, Å, of conformations ``(..., n_parameters)``: ``(..., N_moving, 3)``."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """What :func:`write_motion` keeps beside the molecule; the class takes it as keywords."""
        ...


@dataclass(frozen=True)
class Hinge:
    """A rigid part that turns about an axis, ``x ↦ R(angle)(x − p) + p``.

    Attributes:
        molecule: the atoms at angle 0.
        moving: atoms of the part, bool ``(N,)``.
        axis_point: a point p on the axis, Å, ``(3,)`` float64.
        axis_direction: the axis; positive angles are right-handed about it, ``(3,)`` float64.
    """

    kind: ClassVar[str] = "hinge"
    parameter_names: ClassVar[tuple[str, ...]] = ("angle_degrees",)

    molecule: Molecule
    moving: Tensor
    axis_point: Tensor
    axis_direction: Tensor

    def positions(self, parameters: Tensor) -> Tensor:
        """Moving atoms, Å, at angles ``(..., 1)`` in degrees: ``(..., N_moving, 3)``."""
        angle = torch.deg2rad(parameters[..., 0].to(self.axis_direction))
        axis = self.axis_direction.expand(*angle.shape, 3)
        rotation = rotation_about_axis(axis, angle)
        arm = self.molecule.positions_angstrom[self.moving] - self.axis_point
        return arm @ rotation.mT + self.axis_point

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "moving": self.moving.numpy(),
            "axis_point": self.axis_point.numpy(),
            "axis_direction": self.axis_direction.numpy(),
        }


def hinge_about_atoms(molecule: Molecule, moving: list[str], axis: tuple[str, str]) -> Hinge:
    """A hinge of the atoms that selections name, about the line from one atom to another.

    Selections are those of :meth:`Molecule.find`.

    Raises:
        TemporemError: a selection is bad, an end of the axis is not one atom, or both are the same.
    """
    ends = []
    for selection in axis:
        found = molecule.find(selection)
        if found.sum() != 1:
            raise TemporemError(
                f"axis: '{selection}' matches {int(found.sum())} atoms of {molecule.name}",
                expected="one atom, such as A/81/CA",
            )
        ends.append(molecule.positions_angstrom[found][0])
    direction = ends[1] - ends[0]
    if direction.norm() == 0:
        raise TemporemError(f"axis: {' and '.join(axis)} are the same point", expected="two atoms")
    mask = torch.stack([molecule.find(selection) for selection in moving]).any(0)
    return Hinge(molecule, mask, axis_point=ends[0], axis_direction=direction / direction.norm())


@dataclass(frozen=True)
class Trajectory:
    """Snapshots in a row, with straight lines between neighbours.

    Progress goes from 0 at the first snapshot to 1 at the last and measures the length of the path,
    summed in root mean square displacement from snapshot to snapshot, so that it passes snapshots
    at the pace at which the molecule moves, however they are spaced. Thermal jitter counts: evenly
    spaced snapshots of a simulation have nearly their numbers as progress (for the transition of
    adenylate kinase, 98 snapshots 0.42 to 0.58 Å apart in heavy atoms, to 0.013). Beyond either end
    the molecule stays.

    A straight line between two conformations shortens what turns, but neighbours are close. In that
    transition bonds of heavy atoms are off by 0.015 Å rms halfway between snapshots, 0.3 % of them
    by more than 0.1 Å, in side chains that flip; in the snapshots themselves they vary by 0.04 Å.

    The conformations of a morph count evenly instead: they are about equally far apart already.

    Attributes:
        molecule: the atoms at progress 0.
        moving: atoms that move, bool ``(N,)``.
        snapshots_angstrom: moving atoms in each snapshot, ``(S, N_moving, 3)`` float32.
        progress: where on the path each snapshot is, from 0 to 1, ascending, ``(S,)`` float64.
    """

    kind: ClassVar[str] = "trajectory"
    parameter_names: ClassVar[tuple[str, ...]] = ("progress",)

    molecule: Molecule
    moving: Tensor
    snapshots_angstrom: Tensor
    progress: Tensor

    def positions(self, parameters: Tensor) -> Tensor:
        """Moving atoms, Å, at progress ``(..., 1)``: ``(..., N_moving, 3)`` float64."""
        at = parameters[..., 0].to(self.progress).clamp(0, 1).contiguous()
        after = torch.searchsorted(self.progress, at, right=True).clamp(1, len(self.progress) - 1)
        start, end = self.progress[after - 1], self.progress[after]
        # Only the last two snapshots, where they are the same, have nothing between them.
        weight = (at - start) / (end - start).clamp(min=torch.finfo(at.dtype).tiny)
        before_it, after_it = (self.snapshots_angstrom[i].double() for i in (after - 1, after))
        return torch.lerp(before_it, after_it, weight[..., None, None])

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "moving": self.moving.numpy(),
            "snapshots_angstrom": self.snapshots_angstrom.numpy(),
            "progress": self.progress.numpy(),
        }


def trajectory_through(
    molecule: Molecule, snapshots: Tensor, *, evenly: bool = False
) -> Trajectory:
    """The motion of a molecule through snapshots, Å, ``(S, N, 3)``, which are superposed already.

    Args:
        molecule: the N atoms.
        snapshots: their positions, in order.
        evenly: progress counts snapshots instead of the length of the path, so that frames can be
            those of the snapshots exactly.

    Raises:
        TemporemError: there are fewer than two snapshots, they are all the same, or neighbours are
            so far apart that lines between them say nothing.
    """
    if len(snapshots) < 2:
        raise TemporemError(
            f"the trajectory of {molecule.name} has {len(snapshots)} snapshot(s)",
            expected="two or more",
        )
    rounded = snapshots.float()  # what is written is what is simulated
    moving = (rounded - rounded[0]).norm(dim=-1).amax(0) > _STILL_ANGSTROM
    path = rounded[:, moving].double()
    steps = path.diff(dim=0).square().sum(-1).mean(-1).sqrt()
    if not moving.any():
        raise TemporemError(f"the snapshots of {molecule.name} are all the same")
    if steps.max() > _FARTHEST_NEIGHBOURS_ANGSTROM:
        first = int(steps.argmax()) + 1
        raise TemporemError(
            f"snapshots {first} and {first + 1} of {molecule.name} are {steps.max():.1f} Å apart "
            "(rms, superposed)",
            expected=f"neighbours within {_FARTHEST_NEIGHBOURS_ANGSTROM:g} Å",
            hint="make molecules whole where a periodic boundary cuts them, or keep more snapshots",
        )
    if evenly:
        steps = torch.ones_like(steps)
    progress = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    return Trajectory(
        replace(molecule, positions_angstrom=rounded[0].double()),
        moving=moving,
        snapshots_angstrom=rounded[:, moving],
        progress=progress / progress[-1],
    )


def conformations(motion: Motion, parameters: Tensor) -> Tensor:
    """All atoms, Å, of conformations ``(..., n_parameters)``: ``(..., N, 3)``."""
    moved = motion.positions(parameters)
    positions = motion.molecule.positions_angstrom.expand(*parameters.shape[:-1], -1, 3).clone()
    positions[..., motion.moving, :] = moved
    return positions


_MOTIONS: dict[str, type] = {motion.kind: motion for motion in (Hinge, Trajectory)}
_MOLECULE_FILE, _MOTION_FILE = "molecule.npz", "motion.npz"


def write_motion(directory: Path, motion: Motion) -> None:
    """Keep a motion in ``molecule.npz`` and ``motion.npz``, exactly (no pickle)."""
    m = motion.molecule
    np.savez_compressed(
        directory / _MOLECULE_FILE,
        name=np.array(m.name),
        positions_angstrom=m.positions_angstrom.numpy(),
        atomic_numbers=m.atomic_numbers.numpy(),
        chains=m.chains,
        residue_numbers=m.residue_numbers,
        atom_names=m.atom_names,
    )
    arrays = {"kind": np.array(motion.kind), **motion.arrays()}
    np.savez_compressed(directory / _MOTION_FILE, **arrays)  # type: ignore[arg-type]


def read_motion(directory: Path) -> Motion:
    """Read what :func:`write_motion` wrote.

    Raises:
        TemporemError: a file is missing or not what :func:`write_motion` writes.
    """
    molecule = _molecule(_file(directory / _MOLECULE_FILE))
    arrays = _file(directory / _MOTION_FILE)
    kind = str(arrays.take("kind", "U"))
    if kind not in _MOTIONS:
        raise TemporemError(
            f"{arrays.path} holds a motion of kind '{kind}', which this version does not know",
            expected=" or ".join(_MOTIONS),
            hint="simulate the data again",
        )
    return _hinge(molecule, arrays) if kind == Hinge.kind else _trajectory(molecule, arrays)


def _file(path: Path) -> NpzFile:
    return NpzFile(path, what="the truth of a simulated dataset", hint="simulate the data again")


def _tensor(arrays: NpzFile, name: str, dtype: str, *shape: int | None) -> Tensor:
    """Numbers of a type, in this machine's form."""
    array = arrays.take(name, np.dtype(dtype).kind, *shape)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise arrays.refusal(name, "not finite everywhere", "finite numbers")
    return torch.from_numpy(array.astype(dtype, copy=False))


def _molecule(arrays: NpzFile) -> Molecule:
    positions = _tensor(arrays, "positions_angstrom", "f8", None, 3)
    n = len(positions)
    numbers = _tensor(arrays, "atomic_numbers", "i8", n)
    if n == 0 or numbers.min() < 1 or numbers.max() > _LAST_ELEMENT:
        found = f"{numbers.min()} to {numbers.max()}" if n else "empty"
        raise arrays.refusal("atomic_numbers", found, f"numbers from 1 to {_LAST_ELEMENT}")
    return Molecule(
        name=str(arrays.take("name", "U")),
        positions_angstrom=positions,
        atomic_numbers=numbers,
        chains=arrays.take("chains", "U", n),
        residue_numbers=_tensor(arrays, "residue_numbers", "i8", n).numpy(),
        atom_names=arrays.take("atom_names", "U", n),
    )


def _hinge(molecule: Molecule, arrays: NpzFile) -> Hinge:
    return Hinge(
        molecule,
        moving=_tensor(arrays, "moving", "?", len(molecule)),
        axis_point=_tensor(arrays, "axis_point", "f8", 3),
        axis_direction=_tensor(arrays, "axis_direction", "f8", 3),
    )


def _trajectory(molecule: Molecule, arrays: NpzFile) -> Trajectory:
    moving = _tensor(arrays, "moving", "?", len(molecule))
    snapshots = _tensor(arrays, "snapshots_angstrom", "f4", None, int(moving.sum()), 3)
    progress = _tensor(arrays, "progress", "f8", len(snapshots))
    if len(progress) < 2 or (progress.diff() < 0).any():
        raise arrays.refusal("progress", "no path", "two or more numbers in ascending order")
    return Trajectory(molecule, moving, snapshots, progress)
