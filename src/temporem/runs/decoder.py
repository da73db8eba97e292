"""Decoding of many volumes of a run: faster than one by one, on a coarser grid on request."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from temporem.physics.fourier import FourierSupport
from temporem.runs.run import Run
from temporem.volumes.decoding import Span
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import Reconstruction


@runtime_checkable
class _Spanning(Protocol):
    """Generator that may express many volumes as combinations of a few."""

    def span(self, support: FourierSupport, z: Tensor) -> Span | None:
        """See :meth:`temporem.volumes.model.VolumeModel.span`."""
        ...


class Decoder:
    """Decodes volumes of frames of one run, or of other latents of its model.

    If the generator offers a span, only a few volumes are decoded, and the others are combinations
    of these. Within the tolerance of the span, a volume then depends on which frames are decoded
    together. :meth:`Run.volumes` gives exact volumes.

    Args:
        run: a finished run, or its model with latents of its own.
        rows: all frames or latents to decode, ``(N,)``; ask for them in this order.
        box: edge of the volumes, even. A box below the run's leaves out high frequencies.
        block: number of frames that share a span; bounds memory.
    """

    def __init__(
        self, run: Reconstruction, rows: np.ndarray, *, box: int | None = None, block: int = 2048
    ) -> None:
        self.box = box or run.grid.box
        self.pixel_size_angstrom = run.grid.pixel_size_angstrom * run.grid.box / self.box
        self._run = run
        self._rows = rows
        self._block = block
        self._position = np.full(len(run.latent_means), -1)
        self._position[rows] = np.arange(len(rows))
        self._decoded = FourierSupport(run.grid.box, 3, radius=self.box / 2)
        # Transforms are orthonormal: a constant keeps its value, and its coefficient changes.
        self._scale = (self.box / run.grid.box) ** 1.5
        self._current: tuple[int, Span | None] = (-1, None)

    @cached_property
    def support(self) -> FourierSupport:
        """The frequencies of :meth:`volumes`, on the grid of the volumes."""
        return FourierSupport(self.box, 3)

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Fourier coefficients of the volumes of frames ``(B,)``: complex64 ``(B, P)``."""
        blocks = self._position[rows] // self._block
        parts = np.split(rows, np.flatnonzero(np.diff(blocks)) + 1)
        return self._scale * torch.cat([self._volumes(part) for part in parts])

    def voxels(self, rows: np.ndarray) -> np.ndarray:
        """The volumes of frames ``(B,)`` on voxels: ``(B, d, d, d)`` (z, y, x)."""
        return self.support.ifft(self.volumes(rows)).numpy()

    def voxel_deviations(self, rows: np.ndarray) -> np.ndarray:
        """Posterior standard deviation of every voxel of frames ``(B,)``: ``(B, d, d, d)``.

        Raises:
            TemporemError: as :meth:`Run.voxel_deviations`.
        """
        return self._on_this_grid.voxel_deviations(rows)

    @cached_property
    def _on_this_grid(self) -> Run:
        """The run; for a linear model, with its volumes on the grid of the output."""
        assert isinstance(self._run, Run)  # other latents have no posterior
        generator = self._run.generator
        if not isinstance(generator, LinearVolumes) or self.box == self._run.grid.box:
            return self._run
        coefficients = self._scale * self._decoded.fft(generator.maps)
        maps = self.support.ifft(coefficients)
        coarse = LinearVolumes(self.box, len(maps) - 1).to(maps.device)
        coarse.set_maps(maps)
        return replace(self._run, generator=coarse)

    def _volumes(self, rows: np.ndarray) -> Tensor:
        """Volumes of the frames of one block, as Fourier coefficients in the run's box."""
        number = int(self._position[rows[0]]) // self._block
        if number != self._current[0]:
            self._current = number, self._span(number)
        span = self._current[1]
        if span is None:
            return self._run.volumes(rows, self._decoded)
        index = torch.from_numpy(self._position[rows] - number * self._block)
        return self._run.grid.noise_scale * span.volumes(index).cpu()

    def _span(self, number: int) -> Span | None:
        generator = self._run.generator
        if not isinstance(generator, _Spanning):
            return None
        rows = self._rows[number * self._block : (number + 1) * self._block]
        return generator.span(self._decoded, self._run.latents_of(rows))
