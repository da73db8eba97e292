"""A path from one conformation to another that keeps bonds, angles, handedness and helices.

On straight lines, atoms that turn by a large angle meet in the middle, and the molecule collapses.
Here everything turns instead, in three steps.

1. *Residues turn.* For each residue, a least-squares fit gives the rotation that takes its
   neighbours from their first to their last places. It is passed through evenly,
   ``R_i(s) = exp(s ω_i)``. The vectors ω + 2πk ω/|ω| all give the same rotation; each residue takes
   the one nearest to its neighbour's, along a tree of the most similar neighbours, so that a domain
   turns one way. Positions then minimise ``Σ_ij w_ij |x_i − x_j − d_ij(s)|²``: the vectors between
   neighbours agree as well as possible with the rotations of both. This is as-rigid-as-possible
   interpolation (Alexa, Cohen-Or and Levin, 2000; Sorkine and Alexa, 2007), with one sparse
   factorisation for all s. Conformations are taken at equal distances along this path.
2. *Residues relax.* In an elastic network of neighbours (Tirion, 1996), distances change evenly
   from first to last.
3. *Atoms follow.* From a point in each residue outward along bonds, the rotation of every atom
   relative to the atom before it, that is, each torsion, changes evenly. What does not fit between
   residues relaxes. Bonds, angles (1–3 distances), signed volumes of branches and weaker springs
   between neighbours in space change evenly from first to last. Atoms that come too near are kept
   apart.

Both ends are exact, and nothing is drawn at random. Each conformation relaxes on its own, so that
side chains and loops may flip from one to the next: halfway between two of the 19 conformations of
Cas9, up to 5 % of the bonds are more than 0.1 Å too short. Frames are best at conformations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.sparse import csgraph, csr_array, diags_array, eye_array
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits
from torch import Tensor

from temporem.errors import TemporemError
from temporem.structures.bonds import bonded_pairs, branched_atoms, pairs_apart, residue_index
from temporem.structures.molecule import Molecule
from temporem.structures.relaxation import (
    Repulsion,
    Springs,
    Volumes,
    distances,
    incidence,
    relax,
    signed_volumes,
)

_LONGEST_STEP_ANGSTROM = 2.5  # rms; atoms go straight from one conformation to the next
_STEPS_MEASURED = 72
_STILL_ANGSTROM = 1e-3

# Residues: neighbours in both ends, and how they repel.
_NEIGHBOURS_ANGSTROM = 12.0
_REACH_ALONG_CHAIN = 4
_NEXT_STIFFNESS, _STEADY_STIFFNESS = 100.0, 10.0  # in a row; further along, where it is a helix
_STEADY_ANGSTROM = 0.5
_RESIDUE_RADIUS_ANGSTROM = 3.0
_TETHER = 0.3
_CENTRED = 1e-5  # so weak that it holds only parts without a neighbour in the rest

# Atoms: stiffness of bonds, angles, planes, contacts; how near others come.
_BOND, _ANGLE, _TORSION, _CONTACT, _RESIDUE = 100.0, 40.0, 5.0, 0.3, 0.3
_PLANE, _VOLUME = 100.0, 10.0
_CONTACT_ANGSTROM = 4.5
_SAME_TORSION_ANGSTROM = 0.3
_HEAVY_RADIUS_ANGSTROM, _HYDROGEN_RADIUS_ANGSTROM = 1.5, 0.9
_REPULSION = 10.0
_NAMED_POINTS = ("CA", "C4'", "C4*")  # representatives of a residue


# The minimiser's vectors are so short that threads of BLAS would only wait for one another.
@threadpool_limits.wrap(limits=1, user_api="blas")
def morph(
    molecule: Molecule,
    end: Tensor,
    n_states: int,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Make a path of conformations with about equal rms displacements between neighbours.

    Args:
        molecule: the N atoms in their first conformation.
        end: the last conformation, Å, ``(N, 3)``, superposed on the first.
        n_states: number of states wanted, ends included, 2 or more.
        progress: called with the number of conformations done and of all.

    Returns:
        Positions, Å, ``(S, N, 3)`` float64. ``S − 1`` is the least multiple of ``n_states − 1``
        for which neighbours are at most 2.5 Å apart on the path of residues.

    Raises:
        TemporemError: the ends are the same.
    """
    ends = np.stack([molecule.positions_angstrom.numpy(), end.numpy()])
    if np.abs(ends[1] - ends[0]).max() < _STILL_ANGSTROM:
        raise TemporemError(f"{molecule.name}: both ends of the morph are the same")
    residues = _Residues.of(molecule, ends)
    fine = np.linspace(0, 1, _STEPS_MEASURED + 1)
    path = np.stack([residues.turned(s) for s in fine])
    steps = np.sqrt(np.square(np.diff(path, axis=0)).sum(-1).mean(-1))
    length = np.concatenate([[0], np.cumsum(steps)])
    n = n_states - 1
    n *= math.ceil(length[-1] / (n * _LONGEST_STEP_ANGSTROM))
    at = np.interp(np.linspace(0, length[-1], n + 1), length, fine)

    atoms = _Atoms.of(molecule, ends, residues)
    conformations = [ends[0]]
    for i, s in enumerate(at[1:-1].tolist(), start=1):
        conformations.append(atoms.relaxed(s, residues.relaxed(s)))
        if progress is not None:
            progress(i, n)
    return torch.from_numpy(np.stack([*conformations, ends[1]]))


@dataclass(frozen=True)
class _Residues:
    """M residues, each represented by one of its atoms.

    Attributes:
        atoms: index of the atom that represents each, ``(M,)``.
        ends: its first and last positions, Å, ``(2, M, 3)``.
        pairs: neighbours, ``(n, 2)``.
        stiffness: stiffness of the springs between neighbours, ``(n,)``.
        turns: rotation vectors ω, ``(M, 3)``.
    """

    atoms: np.ndarray
    ends: np.ndarray
    pairs: np.ndarray
    stiffness: np.ndarray
    turns: np.ndarray

    @classmethod
    def of(cls, molecule: Molecule, ends: np.ndarray) -> _Residues:
        atoms = _points(molecule)
        first, last = points = ends[:, atoms]
        pairs = cKDTree(first).query_pairs(_NEIGHBOURS_ANGSTROM, output_type="ndarray")
        pairs = pairs[distances(last, pairs) < _NEIGHBOURS_ANGSTROM]
        next_, along = _along_chain(molecule, ends)
        pairs = np.unique(np.sort(np.concatenate([pairs, along]), axis=1), axis=0)
        changed = distances(first, pairs) - distances(last, pairs)
        stiffness = 1 / (1 + changed**2)
        code = pairs @ [len(atoms), 1]
        in_a_row, near = (np.isin(code, linked @ [len(atoms), 1]) for linked in (next_, along))
        stiffness[near & (abs(changed) < _STEADY_ANGSTROM)] = _STEADY_STIFFNESS
        stiffness[in_a_row] = _NEXT_STIFFNESS
        rotations = _rotations(points, pairs)
        turns = _one_way(rotations.as_rotvec(), pairs)
        return cls(atoms, points, pairs, stiffness, turns)

    @cached_property
    def _weights(self) -> np.ndarray:
        first, last = (distances(end, self.pairs) for end in self.ends)
        return 1 / (1 + (first - last) ** 2)

    @cached_property
    def _difference(self) -> csr_array:
        return incidence(self.pairs, len(self.atoms))

    @cached_property
    def _solve(self) -> Callable[[np.ndarray], np.ndarray]:
        laplacian = self._difference.T @ diags_array(self._weights) @ self._difference
        return splu((laplacian + _CENTRED * eye_array(len(self.atoms))).tocsc()).solve

    def rotations(self, s: float) -> Rotation:
        """R_i(s)."""
        return Rotation.from_rotvec(s * self.turns)

    def turned(self, s: float) -> np.ndarray:
        """Positions at s, step 1: ``(M, 3)``."""
        first, last = self._difference @ self.ends[0], self._difference @ self.ends[1]
        wanted = np.zeros_like(first)
        for side in self.pairs.T:
            back = self.rotations(1)[side].inv().apply(last)
            wanted += self.rotations(s)[side].apply((1 - s) * first + s * back) / 2
        straight = (1 - s) * self.ends[0] + s * self.ends[1]
        pull = self._difference.T @ (self._weights[:, None] * wanted)
        return self._solve(pull + _CENTRED * straight)

    def relaxed(self, s: float) -> np.ndarray:
        """Positions at s, step 2: ``(M, 3)``."""
        first, last = (distances(end, self.pairs) for end in self.ends)
        springs = Springs(self.pairs, (1 - s) * first + s * last, self.stiffness)
        held = self.pairs[self.stiffness >= _STEADY_STIFFNESS]
        radii = np.full(len(self.atoms), _RESIDUE_RADIUS_ANGSTROM)
        repulsion = Repulsion(radii, self.ends, held, _REPULSION)
        return relax(self.turned(s), springs, repulsion, tether=_TETHER, rounds=2, iterations=100)


@dataclass(frozen=True)
class _Atoms:
    """All N atoms, attached to the atoms that represent residues.

    Attributes:
        ends: first and last positions, Å, ``(2, N, 3)``.
        residues: the residues.
        parent: the atom before each on the path of bonds from its residue's representative.
        depth: number of bonds on that path, ``(N,)``.
        rotations: rotation of each atom and its bonded neighbours from first to last.
        pairs: atoms with a spring between them, ``(n, 2)``.
        stiffness: stiffness of the springs, ``(n,)``.
        branches: atoms, each with three others that are bonded to it, ``(n, 4)``.
        bonds_apart: pairs up to three bonds apart, ``(n, 2)``.
        radii: radius below which atoms repel each other, Å, ``(N,)``.
    """

    ends: np.ndarray
    residues: _Residues
    parent: np.ndarray
    depth: np.ndarray
    rotations: Rotation
    pairs: np.ndarray
    stiffness: np.ndarray
    branches: np.ndarray
    bonds_apart: np.ndarray
    radii: np.ndarray

    @classmethod
    def of(cls, molecule: Molecule, ends: np.ndarray, residues: _Residues) -> _Atoms:
        n = len(molecule)
        bonds = bonded_pairs(molecule, *ends)
        angles, torsions = (pairs_apart(bonds, n, k) for k in (2, 3))
        bonds_apart = np.concatenate([bonds, angles, torsions])
        parent, depth = _outward(molecule, bonds, residues.atoms)
        stars = _rotations(ends, bonds)
        # One bond does not determine a rotation: such an atom turns with the atom before it.
        turned = np.where(np.bincount(bonds.ravel(), minlength=n) < 2, parent, np.arange(n))
        pairs, stiffness = _springs(ends, residues, bonds, angles, torsions)
        hydrogen = molecule.atomic_numbers.numpy() == 1
        return cls(
            ends=ends,
            residues=residues,
            parent=parent,
            depth=depth,
            rotations=stars[turned],
            pairs=pairs,
            stiffness=stiffness,
            branches=branched_atoms(bonds, n),
            bonds_apart=bonds_apart,
            radii=np.where(hydrogen, _HYDROGEN_RADIUS_ANGSTROM, _HEAVY_RADIUS_ANGSTROM),
        )

    def hung(self, s: float, points: np.ndarray) -> np.ndarray:
        """Positions at s before they relax, ``(N, 3)``, from those of the residues."""
        at = self.residues.atoms
        positions = np.zeros_like(self.ends[0])
        axes = np.zeros((len(positions), 3, 3))
        positions[at] = points
        own = (self.residues.rotations(1).inv() * self.rotations[at]).as_rotvec()
        axes[at] = (self.residues.rotations(s) * Rotation.from_rotvec(s * own)).as_matrix()
        for depth in range(1, self.depth.max() + 1):
            atoms = np.flatnonzero(self.depth == depth)
            before = self.parent[atoms]
            first, last = self.ends[:, atoms] - self.ends[:, before]
            bond = (1 - s) * first + s * self.rotations[before].inv().apply(last)
            positions[atoms] = positions[before] + np.einsum("nij,nj->ni", axes[before], bond)
            turn = (self.rotations[before].inv() * self.rotations[atoms]).as_rotvec()
            axes[atoms] = axes[before] @ Rotation.from_rotvec(s * turn).as_matrix()
        return positions

    def relaxed(self, s: float, points: np.ndarray) -> np.ndarray:
        """Positions at s, step 3: ``(N, 3)``."""
        first, last = (distances(end, self.pairs) for end in self.ends)
        kept = [signed_volumes(end, self.branches) for end in self.ends]
        return relax(
            self.hung(s, points),
            Springs(self.pairs, (1 - s) * first + s * last, self.stiffness),
            Repulsion(self.radii, self.ends, self.bonds_apart, _REPULSION),
            volumes=Volumes(self.branches, (1 - s) * kept[0] + s * kept[1], _VOLUME),
            rounds=2,
            iterations=100,
        )


def _points(molecule: Molecule) -> np.ndarray:
    """Atom that represents each residue: Cα, C4′, or else its first."""
    residue = residue_index(molecule)
    points = np.searchsorted(residue, np.arange(residue[-1] + 1))
    for name in reversed(_NAMED_POINTS):
        named = np.flatnonzero(molecule.atom_names == name)
        points[residue[named]] = named
    return points


def _along_chain(molecule: Molecule, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs ``(n, 2)`` of residues in a row, and of those up to one turn of a helix apart.

    Pairs with a gap in the chain between them are left out.
    """
    residue = residue_index(molecule)
    n = residue[-1] + 1
    bonds = residue[bonded_pairs(molecule, *ends)]
    linked = np.zeros(n, dtype=bool)  # to the next
    linked[bonds[bonds[:, 1] == bonds[:, 0] + 1, 0]] = True
    pairs, whole = [], np.ones(n, dtype=bool)
    for apart in range(1, _REACH_ALONG_CHAIN + 1):
        whole = whole[: n - apart] & linked[apart - 1 : n - 1]
        first = np.flatnonzero(whole)
        pairs.append(np.stack([first, first + apart], axis=1))
    return pairs[0], np.concatenate(pairs)


def _rotations(ends: np.ndarray, pairs: np.ndarray) -> Rotation:
    """Rotation of each point's neighbours about it from first to last, by least squares."""
    first, last = ends[:, pairs[:, 1]] - ends[:, pairs[:, 0]]
    outer = np.einsum("ni,nj->nij", last, first)
    covariance = np.zeros((ends.shape[1], 3, 3))
    for side in pairs.T:  # a pair is the same product seen from either side
        np.add.at(covariance, side, outer)
    u, _, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    return Rotation.from_matrix(u @ vt)


def _one_way(turns: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Add full turns to rotation vectors ``(M, 3)`` so that those of neighbours are alike."""
    rotations, n = Rotation.from_rotvec(turns), len(turns)
    apart = (rotations[pairs[:, 0]].inv() * rotations[pairs[:, 1]]).magnitude()
    # A sparse graph takes an entry of zero for no edge.
    graph = csr_array((np.asarray(apart) + 1e-6, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    tree: Any = csgraph.minimum_spanning_tree(graph)
    turns, done = turns.copy(), np.zeros(n, dtype=bool)
    for root in np.argsort(np.linalg.norm(turns, axis=1), kind="stable"):
        if done[root]:
            continue
        order, before = csgraph.breadth_first_order(tree, root, directed=False)
        done[order] = True
        for i in order[1:]:
            angle = np.linalg.norm(turns[i])
            axis = turns[i] / max(angle, 1e-12)
            turns[i] += axis * 2 * np.pi * np.round((turns[before[i]] @ axis - angle) / (2 * np.pi))
    return turns


def _outward(
    molecule: Molecule, bonds: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Atom before each on the path of bonds from its residue's representative, and its length.

    Atoms that no bond of the residue reaches, as in models with missing atoms, are attached to the
    representative.
    """
    residue, n = residue_index(molecule), len(molecule)
    parent, depth = points[residue], np.ones(n, dtype=np.int64)
    depth[points] = 0
    reached = np.zeros(n, dtype=bool)
    reached[points] = True
    within = bonds[residue[bonds[:, 0]] == residue[bonds[:, 1]]]
    either = np.concatenate([within, within[:, ::-1]])
    for k in range(1, n):
        step = either[reached[either[:, 0]] & ~reached[either[:, 1]]]
        if not len(step):
            break
        parent[step[:, 1]], depth[step[:, 1]], reached[step[:, 1]] = step[:, 0], k, True
    return parent, depth


def _springs(
    ends: np.ndarray,
    residues: _Residues,
    bonds: np.ndarray,
    angles: np.ndarray,
    torsions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Springs between atoms: pairs ``(n, 2)``, and stiffness ``(n,)``."""
    n = ends.shape[1]
    change = abs(distances(ends[0], torsions) - distances(ends[1], torsions))
    contacts = cKDTree(ends[0]).query_pairs(_CONTACT_ANGSTROM, output_type="ndarray")
    contacts = np.unique(np.sort(contacts, axis=1), axis=0)
    contacts = contacts[distances(ends[1], contacts) < _CONTACT_ANGSTROM]
    bonded = np.concatenate([bonds, angles, torsions])
    contacts = contacts[~np.isin(contacts @ [n, 1], bonded @ [n, 1])]
    network = residues.atoms[residues.pairs]
    # Representatives of residues in a row are three bonds apart; the bond between hardly turns.
    planes = network[residues.stiffness == _NEXT_STIFFNESS]
    weight = np.minimum(residues.stiffness, _STEADY_STIFFNESS)
    groups = (
        (bonds, _BOND),
        (angles, _ANGLE),
        (torsions[change < _SAME_TORSION_ANGSTROM], _TORSION),
        (planes, _PLANE),
        (contacts, _CONTACT),
        (network, _RESIDUE * weight),
    )
    pairs = np.concatenate([pairs for pairs, _ in groups])
    stiffness = np.concatenate([np.broadcast_to(k, len(pairs)) for pairs, k in groups])
    return pairs, stiffness
