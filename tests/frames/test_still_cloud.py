"""A cloud that does not move: the volume of noisy frames of a molecule that is still."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from helpers.bad_input import refuse
from helpers.blobs import simulate_blobs
from helpers.commands import TINY_TRAINING, settings, succeed
from temporem.frames.frames import prepare_frames
from temporem.frames.settings import DataSettings
from temporem.frames.still_cloud import fit_still_clouds
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import area_under_curve, fourier_shell_correlation
from temporem.runs.run import load_run
from temporem.volumes.still_cloud import StillCloud

BOX = 16


def test_slice_is_the_transform_of_the_projection() -> None:
    torch.manual_seed(0)
    cloud = StillCloud(30)
    cloud.place(2 * torch.randn(30, 3), torch.full((30,), 0.5), 1.1)
    model, support = ForwardModel(BOX, 4.0), FourierSupport(BOX, 3)
    volume = cloud.volume(support)
    assert volume.sum() == pytest.approx(15, rel=1e-4)
    with torch.no_grad():
        (one,) = cloud.slices(model, torch.eye(3)[None], len(model.support))
    projection = model.support.ifft(one[None])[0]
    torch.testing.assert_close(projection, volume.sum(0), rtol=1e-3, atol=1e-3)


def test_cloud_is_sharper_than_the_mean_volume() -> None:
    """Of noisy frames; its half sets are of other frames, and agree."""
    blobs = simulate_blobs([5] * 16, snr=0.2, arc_degrees=0.0)
    data = blobs.dataset
    frames = prepare_frames(data, DataSettings(), data.movies, torch.device("cpu"))
    fitted = fit_still_clouds(frames, 64)
    support = FourierSupport(BOX, 3)
    truth = blobs.volumes()[0]

    def area(volume: torch.Tensor) -> float:
        curve = fourier_shell_correlation(support.fft(volume), truth, support)
        return float(area_under_curve(curve[: BOX // 2].numpy()))

    mean = frames.statistics.mean_volume
    assert area(fitted.found.volume) > area(mean.volume) + 0.02
    one, other = fitted.found.half_volumes
    assert not torch.allclose(one, other)
    assert fitted.found.half_fsc.shape == mean.half_fsc.shape
    assert fitted.found.half_fsc[1:4].min() > 0.8
    again = fit_still_clouds(frames, 64)
    torch.testing.assert_close(again.found.volume, fitted.found.volume, rtol=0, atol=0)


@pytest.mark.integration
def test_run_has_the_cloud(tiny_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--method", "homogeneous", "--generator", "cloud", *settings(TINY_TRAINING))
    succeed("reconstruct", tiny_dataset, "-o", run, *options)
    loaded = load_run(run)
    assert isinstance(loaded.generator, StillCloud)
    with mrcfile.open(run / "mean.mrc") as file:
        volume = loaded.volume(torch.zeros(0)).numpy()
        np.testing.assert_allclose(file.data, volume, rtol=1e-4, atol=1e-5 * volume.max())
    assert volume.shape == (BOX, BOX, BOX)
    message = refuse(tmp_path, "motion", run, "-o", tmp_path / "motion")
    assert "--method homogeneous" in message
