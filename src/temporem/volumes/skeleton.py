"""A skeleton of nodes that moves a cloud of points, as rigidly as its neighbours allow."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

_PARENTS = 4  # nodes that move a point
_NEIGHBOURS = 6  # of a node
_LEAST_WEIGHT = 1e-4


class Skeleton(nn.Module):
    """M nodes with a rotation and a translation each; points follow their nearest four.

    The deformation graph of Sumner, Schmid and Pauly (2007).

    Args:
        points: number N of points.
        nodes: number M of nodes.
    """

    nodes: Tensor
    weights: Tensor
    edges: Tensor

    def __init__(self, points: int, nodes: int) -> None:
        super().__init__()
        neighbours = min(_NEIGHBOURS, nodes - 1)
        self.register_buffer("nodes", torch.zeros(nodes, 3))
        self.register_buffer("weights", torch.zeros(points, nodes))
        self.register_buffer("edges", torch.zeros(2, nodes * neighbours, dtype=torch.long))

    def resize(self, points: int) -> None:
        """Have another number of points, which are still to be tied."""
        self.weights = self.weights.new_zeros(points, len(self.nodes))

    def set_points(self, points: np.ndarray) -> None:
        """Spread the nodes evenly over points ``(N, 3)``, and tie each point to the nearest."""
        from scipy.spatial import cKDTree  # as in _rotations

        m = len(self.nodes)
        nodes = points[_spread(points, m)]
        tree = cKDTree(nodes)
        near = min(_PARENTS, m - 1)
        distance, parents = tree.query(points, near + 1)
        # Weights vanish at the first node that is left out, so that they change continuously.
        closeness = 1 - distance[:, :near] / np.maximum(distance[:, near:], 1e-9)
        closeness = np.maximum(closeness, _LEAST_WEIGHT) ** 2
        weights = np.zeros((len(points), m), dtype=np.float32)
        rows = np.arange(len(points))[:, None]
        weights[rows, parents[:, :near]] = closeness / closeness.sum(1, keepdims=True)
        others = tree.query(nodes, self.edges.shape[1] // m + 1)[1][:, 1:]
        ends = np.stack([np.repeat(np.arange(m), others.shape[1]), others.ravel()])
        self.nodes.copy_(torch.from_numpy(nodes))
        self.weights.copy_(torch.from_numpy(weights))
        self.edges.copy_(torch.from_numpy(ends))

    def moved(self, points: Tensor, turns: Tensor, shifts: Tensor) -> Tensor:
        """Move points ``(N, 3)`` by turns and shifts of the nodes.

        Args:
            points: where the points are at rest.
            turns: rotation vectors, ``(B, M, 3)``, radians.
            shifts: ``(B, M, 3)``.

        Returns:
            ``(B, N, 3)``.
        """
        rotations = _rotations(turns)
        offsets = self.nodes + shifts - (rotations @ self.nodes[..., None])[..., 0]
        affine = torch.cat([rotations, offsets[..., None]], dim=-1)  # (B, M, 3, 4)
        # One product moves all points in all frames: weight times point, by node and axis.
        points = torch.cat([points, points.new_ones(len(points), 1)], dim=1)
        tied = (self.weights[..., None] * points[:, None]).flatten(1)
        moved = tied @ affine.permute(1, 3, 0, 2).reshape(tied.shape[1], -1)
        return moved.unflatten(1, (len(turns), 3)).transpose(0, 1)

    def strain(self, turns: Tensor, shifts: Tensor) -> Tensor:
        """Mean square strain of the edges between nodes, 0 for rigid motion: ``(B,)``.

        How far the transform of a node misplaces its neighbour, over the length of the edge
        (as rigid as possible; Sorkine and Alexa 2007).
        """
        one, other = self.edges
        edge = self.nodes[other] - self.nodes[one]
        turned = (_rotations(turns)[:, one] @ edge[..., None])[..., 0]
        missed = turned - edge + shifts[:, one] - shifts[:, other]
        length = edge.square().sum(-1).mean().clamp(min=1e-9)
        return missed.square().sum(-1).mean(-1) / length


def _rotations(turns: Tensor) -> Tensor:
    """Rotations ``(..., 3, 3)`` of rotation vectors."""
    # It takes a second to import, and settings import this module for the generators' names.
    from temporem.physics.rotations import rotation_of_vector

    return rotation_of_vector(turns)


def _spread(points: np.ndarray, n: int) -> np.ndarray:
    """Choose n points far from one another, beginning at the middle (Gonzalez 1985)."""
    chosen = [int(((points - points.mean(0)) ** 2).sum(1).argmin())]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < n:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen)
