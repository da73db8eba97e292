"""Motion correlation against brute force."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.swing import blob
from temporem.evaluation.case import Batch
from temporem.evaluation.masks import WHOLE_BOX, apply_mask
from temporem.evaluation.metrics.motion import MotionAccumulator, MotionSums
from temporem.physics.fourier import FourierSupport
from temporem.physics.masks import soft_mask

BOX = 16


@pytest.fixture(scope="module")
def support():
    return FourierSupport(BOX, 3)


def brute_force_correlation(volumes, truth, drawn=slice(None)):
    """Of the frames drawn, about the means of all frames."""
    v, t = ((x - x.mean(0))[drawn] for x in (volumes, truth))
    return float((v * t).sum() / np.sqrt((v**2).sum() * (t**2).sum()))


def motion_problem(support):
    """Volumes (n, D, D, D) band-limited to the support, truth, and the movie of each frame."""
    generator = torch.Generator().manual_seed(5)
    movie = torch.tensor([0] * 5 + [1] * 3 + [2] * 6)
    truth = torch.stack(
        [20 * blob((-3, 0, 0), 1.5, BOX) + blob((3, float(y), 0), 1.5, BOX) for y in range(-7, 7)]
    )
    volumes = 0.3 * truth + 0.02 * torch.randn(truth.shape, generator=generator) + 1.0
    band = [support.ifft(support.fft(x)) for x in (volumes, truth)]
    return *band, movie


def accumulate(volumes, truth, movie, support, regions, order, batch=4):
    sums = MotionAccumulator(movie.numpy(), support, regions)
    case = SimpleNamespace(support=support, regions=regions)
    for part in order.split(batch):
        sums.add(Batch(part.numpy(), support.fft(volumes[part]), support.fft(truth[part]), case))
    return {region: MotionSums(**arrays) for region, arrays in sums.finish().items()}


def test_one_pass_equals_brute_force_whole_and_masked_for_any_choice_of_movies(support):
    volumes, truth, movie = motion_problem(support)
    mask = soft_mask(blob((3, 0, 0), 1.5, BOX).numpy() > 0.5, 2.0, 4.0)
    regions = {WHOLE_BOX: None, "particle": mask}
    order = torch.randperm(len(movie), generator=torch.Generator().manual_seed(6))
    sums = accumulate(volumes, truth, movie, support, regions, order)

    def masked(x):
        return support.ifft(apply_mask(x, mask, support)).double().numpy()

    spaces = {
        WHOLE_BOX: (volumes.double().numpy(), truth.double().numpy()),
        "particle": (masked(volumes), masked(truth)),
    }
    for name, (v, t) in spaces.items():
        assert sums[name].correlation() == pytest.approx(brute_force_correlation(v, t), abs=1e-5)
        for weights in ([1, 0, 1], [0, 2, 1], [3, 0, 0]):
            drawn = np.repeat(np.arange(len(movie)), np.array(weights)[movie])
            expected = brute_force_correlation(v, t, drawn)
            assert sums[name].correlation(weights) == pytest.approx(expected, abs=1e-5)
        both = np.isin(movie, [0, 2])
        expected = brute_force_correlation(v, t, both)
        assert sums[name].subset(np.array([0, 2])).correlation() == pytest.approx(
            expected, abs=1e-5
        )
    many = sums[WHOLE_BOX].correlation(np.array([[1, 1, 1], [1, 0, 1]]))
    assert many[0] == sums[WHOLE_BOX].correlation()
    assert many.shape == (2,)


def test_motion_correlation_ignores_scale_and_offset_and_sees_the_mean_volume_as_still(support):
    _, truth, movie = motion_problem(support)
    order, regions = torch.arange(len(movie)), {WHOLE_BOX: None}

    def correlation(volumes):
        sums = accumulate(volumes, truth, movie, support, regions, order)
        return float(sums[WHOLE_BOX].correlation())

    assert correlation(5 * truth + 3) == pytest.approx(1, abs=1e-5)
    assert correlation(-truth) == pytest.approx(-1, abs=1e-5)
    assert correlation(truth.mean(0, keepdim=True).expand_as(truth)) == 0


def test_slope_and_residual_measure_the_size_of_the_motion(support):
    """Half the motion and an error of known power across it."""
    _, truth, movie = motion_problem(support)
    regions, order = {WHOLE_BOX: None}, torch.arange(len(movie))
    u = truth - truth.mean(0)
    across = torch.randn(u.shape, generator=torch.Generator().manual_seed(7))
    across = support.ifft(support.fft(across))
    across -= across.mean(0)
    across -= u * (across * u).sum() / u.square().sum()
    across *= 0.3 * u.norm() / across.norm()
    found = accumulate(5 + 0.5 * u + across, truth, movie, support, regions, order)[WHOLE_BOX]
    assert found.slope() == pytest.approx(0.5, abs=1e-4)
    assert found.residual() == pytest.approx(0.25 + 0.09, abs=1e-4)
    still = accumulate(0 * u + 1, truth, movie, support, regions, order)[WHOLE_BOX]
    assert still.slope() == pytest.approx(0, abs=1e-6)
    assert still.residual() == pytest.approx(1, abs=1e-6)
