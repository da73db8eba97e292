"""Targeted molecular dynamics from one conformation to another, with OpenMM.

The structure-based model of :mod:`temporem.structures.two_basins` follows Langevin dynamics at a
temperature, while the restraint ``½ K (RMSD(x, last) − (1 − λ) RMSD(first, last))²``, over all
atoms after superposition, pulls it to the last conformation (Schlitter and others, 1994). λ rises
evenly from 0 to 1. Time has no meaning in such a model. All atoms have the same mass, so that time
steps can be long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import roma
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.structures import two_basins as model
from temporem.structures.molecule import Molecule
from temporem.structures.trajectory import superposed

MODEL_VERSION = 1
"""Version of the model; snapshots of an earlier version in the cache are not used."""

_MASS_DALTON = 36.0
_STEP_PICOSECONDS = 0.008
_FRICTION_PER_PICOSECOND = 1.0
_PULL = 0.9  # K, kJ/mol/Å² an atom
_SETTLING_STEPS = 500
_STEPS_PER_PULL = 10  # between two changes of λ
_FARTHEST_FROM_END_ANGSTROM = 3.0
_STILL_ANGSTROM = 1e-3
_NM = 0.1  # nanometres in an ångström; OpenMM's lengths


def pull(
    molecule: Molecule,
    end: Tensor,
    n_snapshots: int,
    *,
    steps: int,
    temperature_kelvin: float,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Pull a molecule from its conformation to another, and take snapshots.

    The same seed gives the same snapshots on the same machine.

    Args:
        molecule: the N atoms in their first conformation.
        end: the last, Å, ``(N, 3)``, superposed on the first.
        n_snapshots: number S of snapshots, evenly spaced in time.
        steps: steps of the dynamics, at least one for each snapshot.
        temperature_kelvin: temperature of the dynamics.
        seed: seed of the first velocities and of the random forces.
        progress: called with the number of snapshots taken and of all.

    Returns:
        Å, ``(S, N, 3)`` float64, superposed on the first conformation and ordered by how near they
        are to the last, the farthest first.

    Raises:
        TemporemError: OpenMM is not installed, the ends are the same, or the dynamics fails or
            stops short of the end.
    """
    mm = _openmm()
    ends = np.stack([molecule.positions_angstrom.numpy(), end.numpy()])
    if np.abs(ends[1] - ends[0]).max() < _STILL_ANGSTROM:
        raise TemporemError(f"{molecule.name}: both ends of the pull are the same")
    apart = float(_distance(ends[:1], ends[1])[0])
    system = _system(mm, model.two_basins(molecule, ends), ends)
    integrator = mm.LangevinMiddleIntegrator(
        temperature_kelvin, _FRICTION_PER_PICOSECOND, _STEP_PICOSECONDS
    )
    integrator.setRandomNumberSeed(seed + 1)  # 0 would ask for any
    # Several threads would sum forces in an order that varies.
    platform = mm.Platform.getPlatformByName("CPU")
    context = mm.Context(system, integrator, platform, {"Threads": "1"})
    snapshots = np.empty((n_snapshots, *ends[0].shape))
    try:
        _pull_to(context, 0.0, apart)
        context.setPositions(ends[0] * _NM)
        mm.LocalEnergyMinimizer.minimize(context, 10, 200)
        context.setVelocitiesToTemperature(temperature_kelvin, seed + 1)
        integrator.step(_SETTLING_STEPS)
        taken = 0
        for done in range(_STEPS_PER_PULL, steps + _STEPS_PER_PULL, _STEPS_PER_PULL):
            _pull_to(context, min(done / steps, 1.0), apart)
            integrator.step(_STEPS_PER_PULL)
            while taken < n_snapshots and done * n_snapshots >= (taken + 1) * steps:
                state = context.getState(getPositions=True)
                snapshots[taken] = state.getPositions(asNumpy=True)._value / _NM
                taken += 1
                if progress is not None:
                    progress(taken, n_snapshots)
    except mm.OpenMMException as error:
        raise TemporemError(
            f"the dynamics of {molecule.name} failed: {error}",
            hint="lower the temperature or take more steps",
        ) from error
    away = _distance(snapshots, ends[1])
    if not np.isfinite(away).all() or away.min() > _FARTHEST_FROM_END_ANGSTROM:
        raise TemporemError(
            f"{molecule.name} was pulled to {np.nanmin(away):.1f} Å (rms) from its end",
            expected=f"{_FARTHEST_FROM_END_ANGSTROM:g} Å or nearer",
            hint="take more steps",
        )
    order = np.argsort(-away, kind="stable")
    start = molecule.positions_angstrom[None]
    path = torch.cat([start, torch.from_numpy(snapshots[order])])
    return superposed(path, molecule.atomic_numbers > 1)[1:]


def _openmm() -> Any:
    try:
        import openmm  # optional
    except ImportError as error:
        raise TemporemError(
            "molecules are pulled with OpenMM, which is not installed",
            hint="pip install 'temporem[md]'",
        ) from error
    return openmm


def _distance(snapshots: np.ndarray, end: np.ndarray) -> np.ndarray:
    """RMSD after superposition, Å, of ``(S, N, 3)`` from ``(N, 3)``: ``(S,)``."""
    x, y = torch.from_numpy(snapshots), torch.from_numpy(end).expand(snapshots.shape)
    rotation, shift = roma.rigid_points_registration(x, y)
    off = x @ rotation.mT + shift[:, None] - y
    return off.square().sum(-1).mean(-1).sqrt().numpy()


def _pull_to(context: Any, progress: float, apart_angstrom: float) -> None:
    context.setParameter("progress", progress)
    context.setParameter("target", (1 - progress) * apart_angstrom * _NM)


def _system(mm: Any, terms: model.TwoBasins, ends: np.ndarray) -> Any:
    """Build the model and the restraint in OpenMM's units: nm, kJ/mol, ps, dalton."""
    n = ends.shape[1]
    system = mm.System()
    for _ in range(n):
        system.addParticle(_MASS_DALTON)
    for force in (_springs(mm, terms), _impropers(mm, terms), _contacts(mm, terms.contacts)):
        system.addForce(force)
    system.addForce(_repulsion(mm, terms, n))

    distance = mm.RMSDForce((ends[1] * _NM).tolist(), list(range(n)))
    pull = mm.CustomCVForce("0.5*stiffness*(rmsd - target)^2")
    pull.addCollectiveVariable("rmsd", distance)
    pull.addGlobalParameter("stiffness", _PULL * n / _NM**2)
    pull.addGlobalParameter("target", 0.0)
    system.addForce(pull)
    return system


def _springs(mm: Any, terms: model.TwoBasins) -> Any:
    force = mm.CustomBondForce("0.5*k*(r - first - progress*change)^2")
    force.addGlobalParameter("progress", 0.0)
    for name in ("k", "first", "change"):
        force.addPerBondParameter(name)
    first, last = terms.lengths.T * _NM
    values = np.stack([terms.stiffness / _NM**2, first, last - first], axis=1)
    for pair, row in zip(terms.springs.tolist(), values.tolist(), strict=True):
        force.addBond(*pair, row)
    return force


def _impropers(mm: Any, terms: model.TwoBasins) -> Any:
    force = mm.CustomTorsionForce(f"{model.IMPROPER}*(1 - cos(theta - theta0))")
    force.addPerTorsionParameter("theta0")
    for atoms, angle in zip(terms.impropers.tolist(), terms.dihedrals.tolist(), strict=True):
        force.addTorsion(*atoms, [angle])
    return force


def _contacts(mm: Any, contacts: model.Contacts) -> Any:
    width = model.CONTACT_WIDTH_ANGSTROM * _NM
    force = mm.CustomBondForce(
        f"{model.CONTACT}*(weight + progress*gain)*x2/(1 + x2);"
        f"x2 = ((r - first - progress*change)/{width})^2"
    )
    force.addGlobalParameter("progress", 0.0)
    for name in ("weight", "gain", "first", "change"):
        force.addPerBondParameter(name)
    first, last = contacts.lengths.T * _NM
    weight, later = contacts.weights.T
    values = np.stack([weight, later - weight, first, last - first], axis=1)
    for pair, row in zip(contacts.pairs.tolist(), values.tolist(), strict=True):
        force.addBond(*pair, row)
    return force


def _repulsion(mm: Any, terms: model.TwoBasins, n_atoms: int) -> Any:
    sigma = model.REPULSION_ANGSTROM * _NM
    force = mm.CustomNonbondedForce(f"{model.REPULSION}*(1 - (r/{sigma})^2)^2")
    force.setNonbondedMethod(force.CutoffNonPeriodic)
    force.setCutoffDistance(sigma)
    for _ in range(n_atoms):
        force.addParticle([])
    for pair in terms.excluded.tolist():
        force.addExclusion(*pair)
    return force
