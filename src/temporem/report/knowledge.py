"""Quantities that a finished run already holds, made ready for a report. No truth is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from temporem.checks.views import Coverage, measure_coverage
from temporem.errors import TemporemError
from temporem.evaluation.principal_axes import principal_axes
from temporem.frames.dataset import Dataset
from temporem.frames.streaming import open_frames
from temporem.physics.fourier import FourierSupport
from temporem.report.content import Ends, Residuals
from temporem.runs.export import ExportOptions
from temporem.runs.half_runs import has_half_runs
from temporem.runs.latent_points import component_points
from temporem.runs.local_resolution import half_set_resolutions
from temporem.runs.motion import summary
from temporem.runs.run import Run
from temporem.volumes.cloud import CloudVolumes
from temporem.volumes.cloud_motion import find_motion
from temporem.volumes.model import VolumeModel

_PATH = 7  # volumes along the motion
_PATH_ENDS = (0.03, 0.97)  # quantiles of the frames
_MOST_ENDS = 3
_LEAST_SHARE = 0.02  # of the variance; less is not worth a picture
_RESIDUAL_FRAMES = 200
_MOST_EDGE = 64  # voxels, of maps of local resolution
_BLOCK = 16  # frames at a time
_MOST_PIXELS = 2**31  # of a dataset; to measure the noise of more takes minutes
_LOW_PASS = 0.35  # of Nyquist, to see a molecule in a noisy frame


def path_rows(run: Run) -> np.ndarray | None:
    """Choose frames spread over the motion, in the order of the first principal axis."""
    if run.latents is None:
        return None
    axes = principal_axes(run.latents)
    if not axes.shape[1]:
        return None
    place = axes[:, 0]
    low, high = np.quantile(place, _PATH_ENDS)
    wanted = np.linspace(low, high, _PATH)
    rows = [int(np.abs(place - value).argmin()) for value in wanted]
    return np.array(list(dict.fromkeys(rows)))


def ends_of(run: Run) -> list[Ends]:
    """Decode both ends of the main axes of a run's latents."""
    if run.latents is None:
        return []
    axes = principal_axes(run.latents)
    shares = axes.var(axis=0) / max(float(axes.var(axis=0).sum()), 1e-30)
    found = []
    for index, share in enumerate(shares[:_MOST_ENDS]):
        if share < _LEAST_SHARE:
            break
        points = component_points(run, f"PC{index + 1}:2")
        low, high = (run.volume(torch.from_numpy(z)).numpy() for z in points.z)
        found.append(Ends(f"Axis {index + 1}", float(share), low, high))
    return found


def half_fsc_of(run: Run, log: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Half-set FSC curves that the run logged, by what was compared.

    Components of a linear model come after its mean. Their halves share the latents they begin
    with, so that they agree at low resolution whatever they show.
    """
    curves: dict[str, np.ndarray] = {}
    if run.facts.half_fsc is not None:
        curves["mean"] = np.array(run.facts.half_fsc)
    n_shells = run.grid.box // 2
    for record in log:
        if record.get("part") != "linear" or record.get("stage") != "halves":
            continue
        mean, *components = (np.array(curve, dtype=np.float64) for curve in record["half_fsc"])
        curves["mean"] = mean
        curves |= {f"component {j}": curve for j, curve in enumerate(components, start=1)}
    return {name: curve for name, curve in curves.items() if 2 <= len(curve) <= n_shells + 1}


def local_resolution_of(run: Run) -> dict[str, np.ndarray]:
    """Measure to which resolution half sets agree about every voxel, by what was compared."""
    if not has_half_runs(run.path):
        return {}
    return half_set_resolutions(run, ExportOptions(downsample=min(run.grid.box, _MOST_EDGE)))


def coverage_of(run: Run) -> Coverage:
    """Measure how the views of the frames fill Fourier space."""
    return measure_coverage(run.poses.rotations)


def cloud_motion_of(run: Run) -> Mapping[str, Any] | None:
    """Measure bodies and hinges of a run with a cloud; None for other generators."""
    if not isinstance(run.generator, CloudVolumes) or not run.latent_means.shape[1]:
        return None
    return summary(find_motion(run))


def residuals_of(run: Run, dataset: Dataset, shown: np.ndarray) -> Residuals | None:
    """Compare frames with the projections of their volumes, in units of the noise.

    Frames are centred and windowed as methods see them.

    Args:
        run: a finished run.
        dataset: its movies.
        shown: rows of the frames to draw.
    """
    generator = run.generator
    pixels_in_all = dataset.n_frames * dataset.box**2
    if not isinstance(generator, VolumeModel) or pixels_in_all > _MOST_PIXELS:
        return None
    try:
        frames = open_frames(dataset.with_poses(run.poses), run.config.data)
    except TemporemError:  # images that can no longer be read do not keep a report from its rest
        return None
    model = frames.forward_model
    support = model.support
    chosen = np.linspace(0, run.n_frames - 1, min(run.n_frames, _RESIDUAL_FRAMES))
    rows = np.unique(np.concatenate([shown, chosen.round().astype(np.int64)]))
    power = torch.zeros(2, len(support), dtype=torch.float64)
    observed, predicted = [], []
    low = torch.exp(-0.5 * (support.radii / (_LOW_PASS * model.box / 2)) ** 2)
    device = run.latent_means.device
    pixels = torch.arange(len(support), device=device)
    for block in np.array_split(rows, -(-len(rows) // _BLOCK)):
        images, ctf = (part.cpu() for part in frames.take(block))
        rotations = run.poses.rotations[torch.from_numpy(block)].float().to(device)
        with torch.no_grad():
            z = run.latents_of(block).to(device)
            slices = generator.frame_slices(model, rotations, pixels, z).cpu()
        projections = model.observe(slices, ctf)
        for index, part in enumerate((images, images - projections)):
            power[index] += part.abs().square().double().sum(0)
        drawn = torch.from_numpy(np.isin(block, shown))
        if not drawn.any():
            continue
        observed += list(support.ifft(images[drawn] * low).numpy())
        predicted += list(support.ifft(projections[drawn] * low).numpy())
    spectra = _shells(support, power / len(rows))
    return Residuals(
        observed=np.array(observed),
        predicted=np.array(predicted),
        labels=[f"frame {run.frame_numbers[row]}" for row in np.sort(shown)],
        shells=np.arange(spectra.shape[1]) / (model.box * model.pixel_size_angstrom),
        image_power=spectra[0],
        residual_power=spectra[1],
        n_frames=len(rows),
    )


def _shells(support: FourierSupport, power: torch.Tensor) -> np.ndarray:
    return support.shell_means(power).numpy()
