"""Surfaces of volumes as compact bytes that a browser draws as they are.

A mesh is little-endian, every section begins at a multiple of four bytes::

    magic      4 bytes  "TMM1"
    counts     uint32 × 2    vertices V, triangles F
    origin     float32       Å of position 0 on every axis, the same for x, y and z
    step       float32       Å between neighbouring positions
    positions  uint16 × 4V   x, y, z and the amplitude of motion (0 … 65535 is 0 … 1)
    normals    int8 × 4V     x, y, z and 0; 127 is 1
    triangles  uint16 or uint32 × 3F    uint16 if V is at most 65536; padded to four bytes

Positions are relative to the centre of rotation, voxel ``D // 2``, in the axes of the MRC file: x
runs along columns, y along rows and z along sections. So the hand is that of the file.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from temporem.report.render import find_surface, sample_at

MAGIC = b"TMM1"
_HEADER = struct.Struct("<4sIIff")
_STEPS = 2**16 - 1  # of a position
_SHORT = 2**16  # vertices that indices of two bytes count
_FINE = 48  # steps across the box below which triangles become visible


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed surface of V vertices and F triangles, counter-clockwise from outside.

    Attributes:
        positions_angstrom: x, y, z from the centre of rotation, Å, ``(V, 3)``.
        normals: unit vectors outwards, ``(V, 3)``.
        amplitude: how much the density moves there, 0 … 1, ``(V,)``.
        triangles: vertices of each, ``(F, 3)``.
        half_width_angstrom: no position is farther from the centre on any axis.
    """

    positions_angstrom: np.ndarray
    normals: np.ndarray
    amplitude: np.ndarray
    triangles: np.ndarray
    half_width_angstrom: float

    def to_bytes(self) -> bytes:
        """Write the mesh in the format of this module.

        Positions are rounded to 65536 steps: by at most half a step, 1/131070 of the width.
        """
        n = len(self.positions_angstrom)
        origin, step = -self.half_width_angstrom, 2 * self.half_width_angstrom / _STEPS
        places = np.empty((n, 4), "<u2")
        places[:, :3] = ((self.positions_angstrom - origin) / step).round().clip(0, _STEPS)
        places[:, 3] = (self.amplitude * _STEPS).round().clip(0, _STEPS)
        normals = np.zeros((n, 4), np.int8)
        normals[:, :3] = (127 * self.normals).round()
        index = self.triangles.astype("<u2" if n <= _SHORT else "<u4").tobytes()
        header = _HEADER.pack(MAGIC, n, len(self.triangles), origin, step)
        padding = bytes(-len(index) % 4)
        return b"".join([header, places.tobytes(), normals.tobytes(), index, padding])

    @classmethod
    def from_bytes(cls, data: bytes) -> Mesh:
        """Read a mesh that :meth:`to_bytes` wrote."""
        magic, n, n_triangles, origin, step = _HEADER.unpack_from(data)
        assert magic == MAGIC
        at = _HEADER.size
        places = np.frombuffer(data, "<u2", 4 * n, at).reshape(n, 4).astype(np.float64)
        normals = np.frombuffer(data, np.int8, 4 * n, at + 8 * n).reshape(n, 4)
        kind = "<u2" if n <= _SHORT else "<u4"
        index = np.frombuffer(data, kind, 3 * n_triangles, at + 12 * n).reshape(-1, 3)
        return cls(
            positions_angstrom=origin + step * places[:, :3],
            normals=normals[:, :3] / 127,
            amplitude=places[:, 3] / _STEPS,
            triangles=index.astype(np.int64),
            half_width_angstrom=-origin,
        )


def surface_mesh(
    volume: np.ndarray, level: float, pixel_size_angstrom: float, amplitude: np.ndarray
) -> Mesh:
    """Find the surface at which a volume has a level; closed at the edge of the box.

    Args:
        volume: ``(D, D, D)`` (z, y, x).
        level: density of the surface; a mesh without vertices where no voxel exceeds it.
        pixel_size_angstrom: edge of a voxel, Å.
        amplitude: motion of every voxel, 0 … 1, ``(D, D, D)``.
    """
    box = len(volume)
    vertices, faces, normals = find_surface(volume, level, steps=math.ceil(_FINE / box))
    return Mesh(
        positions_angstrom=(vertices[:, ::-1] - box // 2) * pixel_size_angstrom,
        normals=normals[:, ::-1],
        amplitude=sample_at(amplitude, vertices) if len(vertices) else np.zeros(0),
        triangles=faces,  # clockwise in (z, y, x), so counter-clockwise in (x, y, z)
        half_width_angstrom=(box / 2 + 1) * pixel_size_angstrom,
    )
