"""A small built-in protein of ideal helices and strands, with an arm that can swing.

Chain A is a compact body without symmetry: a bundle of helices with a sheet on one side and one
corner missing. Chain B is the arm, a pair of helices that stands on the body and leans to one side.
A helix across the top of the body, along y, is the hinge. The line through two of its Cα atoms,
five turns apart, is parallel to y within 2°, and turning the arm about this line swings it from −x
to +x. Bond lengths, angles and torsions are those of proteins (Engh and Huber, 1991). Loops are
left out, and extended side chains of neighbours run through each other.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import roma
import torch
from torch import Tensor

from temporem.physics.rotations import rotation_about_axis
from temporem.structures.molecule import Molecule

_HELIX, _STRAND = (-57.8, -47.0), (-119.0, 114.0)  # backbone torsions φ and ψ, degrees; ω is 180

# Unbranched side chains from Cβ on, and the length of every atom's bond, Å.
_SIDE_CHAINS = (
    (("CB", 1.53), ("CG", 1.52), ("CD", 1.52), ("CE", 1.52), ("NZ", 1.49)),  # lysine
    (("CB", 1.53), ("CG", 1.52), ("SD", 1.80), ("CE", 1.79)),  # methionine
    (("CB", 1.53), ("OG", 1.42)),  # serine
)
_ATOMIC_NUMBERS = {"C": 6, "N": 7, "O": 8, "S": 16}


class _Piece(NamedTuple):
    """A helix or strand: its backbone torsions, residues, middle (Å) and direction."""

    torsions: tuple[float, float]
    n_residues: int
    middle: tuple[float, float, float]
    direction: tuple[float, float, float]


_HINGE = _Piece(_HELIX, 21, (0.0, 0.0, 16.0), (0.0, 1.0, 0.0))
_LEAN = (-0.5, 0.0, 0.866)  # of the arm at angle 0, 30° from upright
_ARM = tuple(
    _Piece(_HELIX, 24, (24.5 * _LEAN[0], y, 16.0 + 24.5 * _LEAN[2]), direction)
    for y, direction in ((-5.0, _LEAN), (5.0, (-_LEAN[0], 0.0, -_LEAN[2])))
)
# Helices of the bundle: residues, x and y. All start at the same floor.
_BUNDLE = (
    *((16, -10.0, -18.0), (20, 0.0, -18.0), (18, 10.0, -18.0)),
    *((18, -15.0, -9.0), (14, -5.0, -9.0), (15, 5.0, -9.0), (20, 15.0, -9.0)),
    *((14, -20.0, 0.0), (19, -10.0, 0.0), (14, 0.0, 0.0), (17, 10.0, 0.0), (22, 20.0, 0.0)),
    *((21, -15.0, 9.0), (15, -5.0, 9.0), (14, 5.0, 9.0)),
    *((17, -10.0, 18.0), (12, 0.0, 18.0)),
)
_FLOOR = -17.0
_SHEET = tuple(
    _Piece(_STRAND, 9, (13.0 + 0.3 * i, 8.0 + 4.8 * i, -3.0), (0.0, 0.0, (-1.0) ** i))
    for i in range(5)
)


@cache
def toy_molecule() -> Molecule:
    """Build the toy protein: about 3,100 atoms, 50 Å across, with an arm of 40 Å, centred."""
    bundle = tuple(
        _Piece(_HELIX, n, (x, y, _FLOOR + 0.75 * n), (0.0, 0.0, (-1.0) ** i))
        for i, (n, x, y) in enumerate(_BUNDLE)
    )
    positions: list[Tensor] = []
    names: list[str] = []
    chains: list[str] = []
    residues: list[int] = []
    for chain, pieces in {"A": (_HINGE, *bundle, *_SHEET), "B": _ARM}.items():
        residue = 0
        for piece in pieces:
            for atoms in _build(piece, first_residue=residue + 1):
                residue += 1
                positions += atoms.values()
                names += atoms
                chains += [chain] * len(atoms)
                residues += [residue] * len(atoms)
    return Molecule(
        name="toy",
        positions_angstrom=torch.stack(positions),
        atomic_numbers=torch.tensor([_ATOMIC_NUMBERS[name[0]] for name in names]),
        chains=np.array(chains),
        residue_numbers=np.array(residues),
        atom_names=np.array(names),
    ).centred()


def _build(piece: _Piece, first_residue: int) -> list[dict[str, Tensor]]:
    """Build the residues of a piece in their place: atoms by name, Å, of each."""
    residues = _backbone(piece.torsions, piece.n_residues)
    for i, atoms in enumerate(residues, start=first_residue):
        _add_side_chain(atoms, _SIDE_CHAINS[i % len(_SIDE_CHAINS)])
    axis, point = _screw_axis(residues)
    direction = torch.tensor(piece.direction, dtype=torch.float64)
    turn = _rotation_between(axis, direction / direction.norm())
    # Loops are left out, so that only the middle of the axis matters.
    along = torch.stack([atoms["CA"] for atoms in residues]).mean(0) - point
    middle = point + (along @ axis) * axis
    shift = torch.tensor(piece.middle, dtype=torch.float64)
    return [
        {name: turn @ (position - middle) + shift for name, position in atoms.items()}
        for atoms in residues
    ]


def _backbone(torsions: tuple[float, float], n_residues: int) -> list[dict[str, Tensor]]:
    """Build N, Cα, C and O of residues with the bond lengths and angles of Engh and Huber."""
    phi, psi = torsions
    n = torch.zeros(3, dtype=torch.float64)
    ca = torch.tensor([1.458, 0.0, 0.0], dtype=torch.float64)
    c = _place(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), n, ca, 1.525, 111.0, phi)
    residues = []
    for _ in range(n_residues):
        o = _place(n, ca, c, 1.231, 120.1, psi + 180.0)
        residues.append({"N": n, "CA": ca, "C": c, "O": o})
        next_n = _place(n, ca, c, 1.329, 117.2, psi)
        next_ca = _place(ca, c, next_n, 1.458, 121.7, 180.0)
        n, ca, c = next_n, next_ca, _place(c, next_n, next_ca, 1.525, 111.0, phi)
    return residues


def _add_side_chain(atoms: dict[str, Tensor], side_chain: tuple[tuple[str, float], ...]) -> None:
    """Add a fully extended side chain to the backbone of one residue."""
    # Cβ is 122.5° from C about the bond N-Cα, on the side that makes an L-amino acid.
    chain = [atoms["C"], atoms["N"], atoms["CA"]]
    torsion = -122.5
    for name, length in side_chain:
        atoms[name] = _place(chain[-3], chain[-2], chain[-1], length, 110.5, torsion)
        chain.append(atoms[name])
        if name == "CB":
            chain = [atoms["N"], atoms["CA"], atoms["CB"]]
        torsion = 180.0


def _place(
    a: Tensor, b: Tensor, c: Tensor, length: float, angle_degrees: float, torsion_degrees: float
) -> Tensor:
    """Place an atom d at a distance from c, with the angle b-c-d and the torsion a-b-c-d."""
    angle, torsion = math.radians(angle_degrees), math.radians(torsion_degrees)
    forward = (c - b) / (c - b).norm()
    normal = torch.linalg.cross(b - a, forward)
    normal = normal / normal.norm()
    side = torch.linalg.cross(normal, forward)
    across = math.cos(torsion) * side + math.sin(torsion) * normal
    return c + length * (math.sin(angle) * across - math.cos(angle) * forward)


def _screw_axis(residues: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """Direction ``(3,)`` and a point ``(3,)`` of the axis that takes each residue to the next."""
    axes = [_local_axes(atoms) for atoms in residues[:2]]
    rotation = axes[1] @ axes[0].T
    start, end = residues[0]["CA"], residues[1]["CA"]
    axis = roma.rotmat_to_rotvec(rotation)
    axis = axis / axis.norm()
    axis = axis * torch.sign((residues[-1]["CA"] - start) @ axis)
    # A point p of the axis only slides along it: R (p − start) + end − p is parallel to the axis.
    slide = end - rotation @ start
    slide = slide - (slide @ axis) * axis
    point = torch.linalg.pinv(torch.eye(3, dtype=torch.float64) - rotation) @ slide
    return axis, point


def _local_axes(atoms: dict[str, Tensor]) -> Tensor:
    """Axes that turn with a residue, in columns."""
    x = atoms["C"] - atoms["CA"]
    x = x / x.norm()
    z = torch.linalg.cross(x, atoms["N"] - atoms["CA"])
    z = z / z.norm()
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=1)


def _rotation_between(start: Tensor, end: Tensor) -> Tensor:
    """Shortest rotation from one unit vector to another, which must not be its opposite."""
    cross = torch.linalg.cross(start, end)
    return rotation_about_axis(cross, torch.atan2(cross.norm(), start @ end))
