"""Masks, image quality, motion correlation and the movie bootstrap."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from temporem.evaluation.frames import MAX_GROUPS, Frames
from temporem.evaluation.image_quality import (
    affine_fit,
    image_quality,
    low_pass_grid,
    peak_signal_to_noise,
)
from temporem.evaluation.masks import WHOLE_BOX, MaskSettings, apply_mask, truth_masks
from temporem.evaluation.motion import MotionAccumulator
from temporem.evaluation.resampling import BootstrapSettings, MovieBootstrap
from temporem.physics.fourier import FourierSupport
from temporem.physics.masks import soft_mask

BOX = 16


@pytest.fixture(scope="module")
def support():
    return FourierSupport(BOX, 3)


def blob(centre, sigma=1.5, box=BOX):
    """A Gaussian at ``centre`` (x, y, z) from the box centre, voxels: (D, D, D)."""
    axis = torch.arange(box) - box // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    r2 = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
    return (-r2 / (2 * sigma**2)).exp()


def frames_of(movie, held_out=None):
    movie = np.asarray(movie)
    return Frames(
        rows=np.arange(len(movie)),
        movie=movie,
        particle_names=np.array([f"movie_{m}" for m in movie]),
        frame_numbers=np.arange(1, len(movie) + 1),
        held_out=np.zeros(len(movie), bool) if held_out is None else np.asarray(held_out),
    )


# --- masks


def test_particle_mask_covers_all_and_moving_mask_only_what_moves(support):
    still, arm = blob((-4, 0, 0)), [blob((4, y, 0)) for y in (-2, 0, 2)]
    truth = support.fft(torch.stack([still + a for a in arm]))
    masks = truth_masks(truth.split(2), support, MaskSettings(dilation=1, soft_edge=2))
    centre = BOX // 2
    assert masks.particle[centre, centre, centre - 4] == 1
    assert masks.particle[centre, centre, centre + 4] == 1
    assert masks.moving[centre, centre, centre - 4] == 0
    assert masks.moving[centre, centre + 2, centre + 4] == 1
    assert masks.particle[0, 0, 0] == masks.moving[0, 0, 0] == 0
    assert list(masks.regions()) == [WHOLE_BOX, "particle", "moving"]


def test_masks_are_thresholds_of_the_mean_and_of_the_deviation(support):
    truth = torch.stack([2 * blob((-3, 0, 0)) + blob((4, y, 1)) for y in (-3, -2, 0, 1, 3)]) + 0.5
    volumes = support.ifft(support.fft(truth)).numpy()
    settings = MaskSettings(smoothing=0.0, density_threshold=0.4, motion_threshold=0.3)
    masks = truth_masks(support.fft(truth).split(2), support, settings)
    mean, deviation = volumes.mean(0), volumes.std(0)
    torch.testing.assert_close(masks.particle, soft_mask(mean > 0.4 * mean.max(), 2.0, 4.0))
    assert masks.moving is not None
    torch.testing.assert_close(masks.moving, soft_mask(deviation > 0.3 * deviation.max(), 2.0, 4.0))


def test_smoothing_adds_to_the_width_of_a_blob(support):
    settings = MaskSettings(smoothing=2.0, density_threshold=0.1, dilation=0.0, soft_edge=0.0)
    mask = truth_masks([support.fft(blob((0, 0, 0)))[None]], support, settings).particle
    # σ = √(1.5² + 2²) = 2.5 falls to a tenth at 2.5 · √(2 ln 10) = 5.4.
    assert mask[8, 8, 8:].tolist() == [1] * 6 + [0] * 2


def test_masks_do_not_depend_on_how_the_frames_are_batched_or_scaled(support):
    truth = support.fft(torch.stack([blob((4, y, 0)) for y in (-2, -1, 1, 2)]))
    whole = truth_masks([truth], support, MaskSettings())
    pieces = truth_masks((100 * truth).split(1), support, MaskSettings())
    torch.testing.assert_close(whole.particle, pieces.particle)
    torch.testing.assert_close(whole.moving, pieces.moving)


def test_truth_that_stands_still_has_no_moving_region(support):
    truth = support.fft(blob((0, 0, 0))).expand(4, -1)
    masks = truth_masks([truth], support, MaskSettings())
    assert masks.moving is None
    assert list(masks.regions()) == [WHOLE_BOX, "particle"]


# --- PSNR and SSIM


def test_affine_change_of_the_volume_changes_neither_psnr_nor_ssim(support):
    generator = torch.Generator().manual_seed(0)
    truth = torch.stack([blob((3, 1, 0)), blob((0, -2, 1))])
    noisy = truth + 0.1 * torch.randn(truth.shape, generator=generator)
    grid = low_pass_grid(support, 0.75)
    plain = image_quality(support.fft(noisy), support.fft(truth), grid)
    changed = image_quality(support.fft(-4 * noisy + 7), support.fft(truth), grid)
    np.testing.assert_allclose(changed, plain, rtol=1e-4)
    both = image_quality(support.fft(9 * noisy), support.fft(9 * truth), grid)
    np.testing.assert_allclose(both, plain, rtol=1e-4)
    noisier = truth + 0.3 * torch.randn(truth.shape, generator=generator)
    worse = image_quality(support.fft(noisier), support.fft(truth), grid)
    assert (worse[0] < plain[0] - 3).all()
    assert (worse[1] < plain[1]).all()


def test_affine_fit_is_least_squares():
    rng = np.random.default_rng(1)
    volume, target = rng.normal(size=(2, 5, 5, 5))
    design = np.stack([volume.ravel(), np.ones(125)], axis=1)
    expected = design @ np.linalg.lstsq(design, target.ravel(), rcond=None)[0]
    np.testing.assert_allclose(affine_fit(volume, target).ravel(), expected, atol=1e-12)
    np.testing.assert_allclose(affine_fit(np.ones((5, 5, 5)), target), target.mean())


def test_psnr_agrees_with_scikit_image_and_stays_finite():
    a, b = np.random.default_rng(2).normal(size=(2, 6, 6, 6))
    assert peak_signal_to_noise(a, b, 3.0) == pytest.approx(
        peak_signal_noise_ratio(b, a, data_range=3.0)
    )
    assert 100 < peak_signal_to_noise(a, a, 3.0) < 150


def test_what_lies_beyond_the_low_pass_does_not_count(support):
    grid = low_pass_grid(support, 0.75)
    assert grid.box == 12
    truth = support.fft(blob((1, 0, 0))[None])
    beyond = torch.randn(len(support), generator=torch.Generator().manual_seed(3)) + 0j
    psnr, ssim = image_quality(truth + 10 * beyond * (support.radii >= 6), truth, grid)
    assert psnr[0] > 100
    assert ssim[0] == pytest.approx(1, abs=1e-6)
    psnr, _ = image_quality(truth + 10 * beyond * (support.radii >= 5.9), truth, grid)
    assert psnr[0] < 60


def test_low_pass_grid_samples_the_band_limited_volume(support):
    # Half of Nyquist: every second voxel, of a volume without anything above it.
    grid = low_pass_grid(support, 0.5)
    volume = support.ifft(support.fft(blob((1, 2, 0))) * (support.radii < 4))
    coarse = grid.ifft(support.fft(volume)[: len(grid)]) * (8 / 16) ** 1.5
    torch.testing.assert_close(coarse, volume[::2, ::2, ::2], atol=1e-6, rtol=1e-4)


# --- motion correlation


def brute_force_correlation(volumes, truth, drawn=slice(None)):
    """Of the frames drawn, about the means of all frames."""
    v, t = ((x - x.mean(0))[drawn] for x in (volumes, truth))
    return float((v * t).sum() / np.sqrt((v**2).sum() * (t**2).sum()))


def motion_problem(support):
    """Volumes (n, D, D, D) band-limited to the support, truth, and the movie of each frame."""
    generator = torch.Generator().manual_seed(5)
    movie = torch.tensor([0] * 5 + [1] * 3 + [2] * 6)
    truth = torch.stack([20 * blob((-3, 0, 0)) + blob((3, float(y), 0)) for y in range(-7, 7)])
    volumes = 0.3 * truth + 0.02 * torch.randn(truth.shape, generator=generator) + 1.0
    band = [support.ifft(support.fft(x)) for x in (volumes, truth)]
    return *band, movie


def accumulate(volumes, truth, movie, support, regions, order, batch=4):
    sums = MotionAccumulator(int(movie.max()) + 1, support, regions)
    for part in order.split(batch):
        v, t = volumes[part], truth[part]
        pairs = {
            name: tuple(
                support.fft(x) if mask is None else apply_mask(x, mask, support) for x in (v, t)
            )
            for name, mask in regions.items()
        }
        sums.update(movie[part], pairs)
    return sums.finish()


def test_one_pass_equals_brute_force_whole_and_masked_for_any_choice_of_movies(support):
    volumes, truth, movie = motion_problem(support)
    mask = soft_mask(blob((3, 0, 0)).numpy() > 0.5, 2.0, 4.0)
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


# --- resampling


def test_bootstrap_interval_of_a_mean_has_the_width_of_the_normal_approximation():
    rng = np.random.default_rng(7)
    per_movie = rng.normal(size=200)
    movie = np.repeat(np.arange(200), 5)
    # Frames of one movie repeat each other: the interval must not shrink with their number.
    bootstrap = MovieBootstrap(movie, BootstrapSettings(samples=4000))
    low, high = bootstrap.interval(bootstrap.means(per_movie[movie]))
    half_width = 1.96 * per_movie.std() / math.sqrt(200)
    assert high - low == pytest.approx(2 * half_width, rel=0.1)
    assert low < per_movie.mean() < high


def test_bootstrap_means_weigh_frames_not_movies():
    movie = np.array([4, 4, 4, 9])
    bootstrap = MovieBootstrap(movie, BootstrapSettings(samples=50))
    values = np.array([[1.0, 10.0], [2.0, 10.0], [3.0, 10.0], [8.0, 10.0]])
    for weights, mean in zip(bootstrap.weights, bootstrap.means(values), strict=True):
        expected = (weights[0] * 6 + weights[1] * 8) / (weights[0] * 3 + weights[1])
        assert mean.tolist() == pytest.approx([expected, 10.0])


def test_one_movie_has_no_interval():
    bootstrap = MovieBootstrap(np.zeros(5), BootstrapSettings(samples=10))
    assert np.isnan(bootstrap.interval(bootstrap.means(np.arange(5.0)))).all()


def test_groups_are_whole_movies_and_keep_held_out_movies_apart():
    few = frames_of([7, 7, 3, 3, 5], held_out=[False, False, True, True, False])
    assert few.groups.tolist() == [1, 1, 2, 2, 0]
    movie = np.repeat(np.arange(350), 2)
    many = frames_of(movie, held_out=movie % 10 == 0)
    groups = many.groups
    assert len(np.unique(groups)) == groups.max() + 1 == MAX_GROUPS + 35
    assert not np.isin(groups[many.held_out], groups[~many.held_out]).any()
    for m in range(350):
        assert len(np.unique(groups[movie == m])) == 1
    assert np.bincount(groups).max() <= 2 * math.ceil(315 / MAX_GROUPS)


def test_frames_refuse_a_row_that_occurs_twice():
    with pytest.raises(ValueError, match="twice"):
        Frames(
            rows=np.array([0, 0]),
            movie=np.zeros(2, int),
            particle_names=np.array(["a", "a"]),
            frame_numbers=np.array([1, 2]),
            held_out=np.zeros(2, bool),
        )
