"""Order of magnitude of the time that a method takes."""

from __future__ import annotations

from temporem.frames.dataset import Dataset
from temporem.physics.forward import ForwardModel

# Processor seconds to begin with, and for every Fourier pixel of the data, with the settings that
# a method has by itself. From toy-free and cas9-free, 0.2 and 2.8 million pixels, on one core.
_SECONDS = {
    "homogeneous": (1.0, 0.4e-6),
    "linear": (5.0, 13e-6),
    "static": (14.0, 28e-6),
    "clock": (22.0, 37e-6),
    "tempor": (22.0, 37e-6),
}


def expected_seconds(method: str, dataset: Dataset) -> float | None:
    """Estimate the processor seconds of a run with known poses; None for an unknown method."""
    if method not in _SECONDS:
        return None
    model = ForwardModel(dataset.box, dataset.pixel_size_angstrom)
    start, each = _SECONDS[method]
    return start + each * dataset.n_frames * len(model.support)
