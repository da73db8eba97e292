"""The table of the frames of a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from temporem.frames.readers import read_dataset
from temporem.runs.frames_table import read_frame_table, write_frame_table


@pytest.mark.parametrize("spread", ["none", "variances", "covariances"])
def test_latents_come_back_with_the_spread_that_a_method_has(spread, tiny_dataset, tmp_path):
    data = read_dataset(tiny_dataset)
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(data.n_frames, 2, generator=generator)
    root = torch.randn(data.n_frames, 2, 2, generator=generator)
    covariances = root @ root.mT
    variances = covariances.diagonal(dim1=-2, dim2=-1)
    given = {"none": None, "variances": variances, "covariances": covariances}[spread]
    held_out = np.arange(data.n_frames) < 3
    write_frame_table(
        tmp_path, data, held_out, mean=mean, covariance=given, found=None, corrections={}
    )
    table = read_frame_table(tmp_path, 2, covariance=spread == "covariances")
    np.testing.assert_allclose(table.mean, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(table.held_out, held_out)
    if spread == "covariances":
        np.testing.assert_allclose(table.covariance, covariances, rtol=1e-4, atol=1e-5)
