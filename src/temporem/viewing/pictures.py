"""Observed frames beside what a run says that they show."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from temporem.frames.dataset import Dataset
from temporem.frames.readers import read_dataset
from temporem.frames.streaming import image_window
from temporem.physics.forward import ForwardModel
from temporem.runs.frames_table import FrameCorrections, read_corrections
from temporem.runs.run import Run, is_finished
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.model import VolumeModel

_GREYS_SD = 3.0  # from the middle of the greys to white


@dataclass(frozen=True, eq=False)
class FramePictures:
    """A frame, its reprojection and what is left, ``(D, D)`` each.

    Attributes:
        observed: corrected as the run corrected its images, with the sign that it used.
        predicted: reprojection of the run's volume in the run's pose, with CTF and displacement.
        window: soft disc in which images count, ``(D, D)``.
    """

    observed: np.ndarray
    predicted: np.ndarray
    window: np.ndarray

    @property
    def residual(self) -> np.ndarray:
        """Observed minus predicted."""
        return self.observed - self.predicted

    @property
    def correlation(self) -> float:
        """Correlation of observed and predicted pixels within the window."""
        weight = self.window / self.window.sum()
        a, b = (image - (weight * image).sum() for image in (self.observed, self.predicted))
        power = (weight * a**2).sum() * (weight * b**2).sum()
        return float((weight * a * b).sum() / max(power, 1e-300) ** 0.5)

    @property
    def greys(self) -> tuple[float, float]:
        """Half ranges of the greys: of observed and residual, and of the fainter prediction."""
        return tuple(  # type: ignore[return-value]
            max(_GREYS_SD * float(image.std()), 1e-30) for image in (self.observed, self.predicted)
        )


class FrameImages:
    """Images of the frames of a run, from its dataset.

    Args:
        run: the run; its dataset is read when the first image is asked for.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._model = ForwardModel(run.grid.box, run.grid.pixel_size_angstrom)

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset of the run.

        Raises:
            TemporemError: it has moved, or has changed.
        """
        dataset = read_dataset(self.run.config.dataset)
        self.run.require_frames_of(dataset)
        return dataset

    @cached_property
    def _window(self) -> np.ndarray:
        return image_window(self.run.grid.box, self.run.config.data.window_radius).numpy()

    def of(self, row: int) -> FramePictures:
        """The pictures of a frame, by its row.

        Raises:
            TemporemError: the dataset cannot be read.
        """
        observed = np.asarray(self.dataset.images[np.array([row])][0], dtype=np.float64)
        observed, intensity = self._corrections.corrected(observed, row)
        if self.run.config.data.invert:
            observed = -observed
        predicted = intensity * self.reprojection(row).double().numpy()
        return FramePictures(observed, predicted, self._window)

    @cached_property
    def _corrections(self) -> FrameCorrections:
        if not is_finished(self.run.path):  # they are written in the end
            return FrameCorrections(None, None, None, None)
        return read_corrections(self.run.path)

    @torch.no_grad()
    def reprojection(self, row: int) -> Tensor:
        """Noise-free image of a frame in its pose: float32 ``(D, D)``, in image units."""
        index, model = torch.tensor([row]), self._model
        pose = self.run.poses[index]
        slices = self._slices(row, pose.rotations.float())
        formed = self.dataset.formed(self.run.config.data.ctf)
        ctf = model.ctf(self._corrections.ctf(formed.ctf, row))
        image = model.observe(slices.cpu(), ctf, model.shift_phase(pose.shifts_angstrom))
        return model.support.ifft(self.run.grid.noise_scale * image)[0]

    def _slices(self, row: int, rotations: Tensor) -> Tensor:
        """Slice of a frame's volume in units of the images' noise: complex ``(1, P)``."""
        run, model = self.run, self._model
        z = run.latents_of(np.array([row]))
        generator = run.generator
        if not isinstance(generator, VolumeModel):  # a method that only decodes volumes
            single = LinearVolumes(run.grid.box, 0)
            single.set_mean(run.volume(z[0]) / run.grid.noise_scale)
            generator, z = single, z[:, :0]
        pixels = torch.arange(len(model.support.radii), device=generator.device)
        return generator.frame_slices(model, rotations.to(generator.device), pixels, z)


def grey_png(image: np.ndarray, half_range: float) -> str:
    """Draw an image with grey as its mean, as base64 of a PNG."""
    middle = float(image.mean())
    values = 127.5 + 127.5 * (image - middle) / half_range
    buffer = io.BytesIO()
    Image.fromarray(values.clip(0, 255).round().astype(np.uint8)).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
