"""The volumes of many frames of a run, faster than one by one, and coarser on wish."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from temporem.physics.fourier import FourierSupport
from temporem.runs.run_files import Generator, Run
from temporem.volumes.decoding import Span
from temporem.volumes.fourier_network import FourierNetwork
from temporem.volumes.linear_volumes import LinearVolumes

_BLOCK = 2048  # frames that are compared with each other; bounds memory


class Decoder:
    """Volumes of frames of one run that is to give many of them.

    Those of a network are combinations of a few decoded ones where these suffice (see
    :meth:`FourierGenerator.span`), so they depend on which frames are decoded, within its
    tolerance; :meth:`Run.volumes` gives them exactly.

    Args:
        run: a finished run.
        rows: the frames, ``(N,)``; best asked for in this order.
        box: edge of the volumes, even; a smaller one than the run's leaves out high frequencies.
    """

    def __init__(self, run: Run, rows: np.ndarray, *, box: int | None = None) -> None:
        self.box = box or run.grid.box
        self.pixel_size_angstrom = run.grid.pixel_size_angstrom * run.grid.box / self.box
        self._run = run
        self._rows = rows
        self._position = np.full(run.n_frames, -1)
        self._position[rows] = np.arange(len(rows))
        self._decoded = FourierSupport(run.grid.box, 3, radius=self.box / 2)
        # Transforms are orthonormal: a constant keeps its value, not its coefficient.
        self._scale = (self.box / run.grid.box) ** 1.5
        self._block: tuple[int, Span | None] = (-1, None)

    @cached_property
    def support(self) -> FourierSupport:
        """The frequencies of :meth:`volumes`: those decoded, on the grid of the volumes."""
        return FourierSupport(self.box, 3)

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Fourier coefficients of the volumes of frames ``(B,)``: complex64 ``(B, P)``."""
        blocks = self._position[rows] // _BLOCK
        parts = np.split(rows, np.flatnonzero(np.diff(blocks)) + 1)
        return self._scale * torch.cat([self._volumes(part) for part in parts])

    def voxels(self, rows: np.ndarray) -> np.ndarray:
        """The volumes of frames ``(B,)`` on voxels: ``(B, d, d, d)`` (z, y, x)."""
        return self.support.ifft(self.volumes(rows)).numpy()

    def voxel_deviations(self, rows: np.ndarray) -> np.ndarray:
        """As :meth:`Run.voxel_deviations`, of these volumes: ``(B, d, d, d)``."""
        return replace(self._run, generator=self._maps).voxel_deviations(rows)

    @cached_property
    def _maps(self) -> Generator:
        """The generator; of a linear model, with its maps on the grid of the volumes."""
        generator = self._run.generator
        if not isinstance(generator, LinearVolumes) or self.box == self._run.grid.box:
            return generator
        coefficients = self._scale * self._decoded.fft(generator.maps)
        maps = self.support.ifft(coefficients)
        coarse = LinearVolumes(self.box, len(maps) - 1).to(maps.device)
        coarse.set_maps(maps)
        return coarse

    def _volumes(self, rows: np.ndarray) -> Tensor:
        """Volumes of frames of one block, in the transform of the run's box."""
        block = int(self._position[rows[0]]) // _BLOCK
        if block != self._block[0]:
            self._block = block, self._span(block)
        span = self._block[1]
        if span is None:
            return self._run.volumes(rows, self._decoded)
        index = torch.from_numpy(self._position[rows] - block * _BLOCK)
        return self._run.grid.noise_scale * span.volumes(index).cpu()

    def _span(self, block: int) -> Span | None:
        if not isinstance(self._run.generator, FourierNetwork):
            return None
        rows = self._rows[block * _BLOCK : (block + 1) * _BLOCK]
        return self._run.generator.span(self._decoded, self._run.latents_of(rows))
