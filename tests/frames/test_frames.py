"""Preparation of images: unit noise, centred, upright, and the same in any order of rows."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from helpers.blobs import simulate_blobs
from temporem.distributed import ProcessGroup
from temporem.errors import TemporemError
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.pixel_sample import PixelSample
from temporem.physics.poses import Poses

CPU = torch.device("cpu")


def prepare(dataset, settings=None, movies=None) -> Frames:
    return prepare_frames(dataset, settings or DataSettings(), movies or dataset.movies, CPU)


@pytest.fixture(scope="module")
def blobs():
    return simulate_blobs([4, 5, 3, 4], shift_sd_angstrom=6.0)


@pytest.mark.parametrize("sd", [0.02, 30.0])
def test_noise_has_unit_variance_in_every_shell(blobs, sd):
    n = 3000
    generator = torch.Generator().manual_seed(0)
    noise = sd * torch.randn(n, 16, 16, generator=generator)
    one = torch.ones(n, dtype=torch.float64)
    dataset = replace(
        blobs.dataset,
        images=noise.numpy(),
        poses=Poses.identity(n),
        ctf=type(blobs.dataset.ctf)(*(v * one for v in (1e4, 1e4, 0, 300, 2.7, 0.1, 0))),
        frame_numbers=np.tile(np.arange(1, 11), n // 10),
        times_seconds=np.full(n, np.nan),
        movies=list(np.arange(n).reshape(-1, 10)),
    )
    frames = prepare(dataset)
    power = frames.forward_model.support.shell_means(frames.source.images.abs().square().mean(0))
    torch.testing.assert_close(power[:7], torch.ones(7), rtol=0.08, atol=0)
    torch.testing.assert_close(power[2:6], torch.ones(4), rtol=0.04, atol=0)
    # Less than σ, for the window has cut part of the noise away.
    assert 0.5 * sd < frames.statistics.noise_scale < 0.9 * sd
    # A background is not noise.
    brighter = prepare(replace(dataset, images=dataset.images + 10 * sd))
    assert brighter.statistics.noise_scale == pytest.approx(frames.statistics.noise_scale, rel=1e-3)


def test_scale_of_images_cancels(blobs):
    louder = replace(blobs.dataset, images=7 * blobs.dataset.images)
    one, other = prepare(blobs.dataset), prepare(louder)
    torch.testing.assert_close(other.source.images, one.source.images, rtol=1e-4, atol=1e-4)
    assert other.statistics.noise_scale == pytest.approx(7 * one.statistics.noise_scale)


def test_invert_flips_the_sign(blobs):
    dark = replace(blobs.dataset, images=-blobs.dataset.images)
    frames, inverted = prepare(blobs.dataset), prepare(dark, DataSettings(invert=True))
    assert inverted.source.images.equal(frames.source.images)
    assert prepare(dark).source.images.equal(-frames.source.images)


def test_shifts_are_undone():
    """A copy displaced by whole pixels, and said to be so, gives the same centred images."""
    still = simulate_blobs([4, 4], snr=1e6).dataset
    pixel = still.pixel_size_angstrom
    shifts = pixel * torch.tensor([[2, 0], [0, 2], [-1, 1], [0, 0]] * 2, dtype=torch.float64)
    model = ForwardModel(still.box, pixel)
    support = model.support
    moved = support.ifft(support.fft(torch.from_numpy(still.images)) * model.shift_phase(shifts))
    # The x axis is the last: +2 pixels in x go two columns to the right.
    plain = support.ifft(support.fft(torch.from_numpy(still.images)))
    torch.testing.assert_close(moved[0], plain[0].roll(2, -1), rtol=0, atol=1e-5)
    displaced = replace(
        still, images=moved.numpy(), poses=replace(still.poses, shifts_angstrom=shifts)
    )
    as_they_are = DataSettings(corrections=False)
    one, other = prepare(still, as_they_are), prepare(displaced, as_they_are)
    # Measured in the corners of the images as they come.
    ratio = other.statistics.noise_scale / one.statistics.noise_scale
    difference = (ratio * other.source.images - one.source.images).norm() / one.source.images.norm()
    assert difference < 1e-3
    ignored = prepare(displaced.with_poses(still.poses), as_they_are)
    assert (
        ratio * ignored.source.images - one.source.images
    ).norm() / one.source.images.norm() > 0.3


def test_poses_and_ctf_are_those_of_the_dataset(blobs):
    frames = prepare(blobs.dataset)
    torch.testing.assert_close(frames.rotations, blobs.dataset.poses.rotations.float())
    assert frames.source.ctf.equal(frames.forward_model.ctf(blobs.dataset.ctf))
    assert all(a is b for a, b in zip(frames.movies, blobs.dataset.movies, strict=True))


def test_images_are_the_datasets_where_the_window_is_open():
    """Divided by the noise scale, the signal is what the forward model makes of the truth."""
    blobs = simulate_blobs([5, 5], snr=50.0, shift_sd_angstrom=4.0)
    frames = prepare(blobs.dataset, DataSettings(window_radius=1.0))
    support = frames.forward_model.support
    pixels = torch.from_numpy(blobs.dataset.images)
    centring = frames.forward_model.shift_phase(-blobs.dataset.poses.shifts_angstrom)
    centred = support.ifft(support.fft(pixels) * centring)
    found = support.ifft(frames.source.images) * frames.statistics.noise_scale
    torch.testing.assert_close(found[:, 6:11, 6:11], centred[:, 6:11, 6:11], rtol=0.02, atol=0.2)


def test_order_of_rows_does_not_matter(blobs):
    order = np.random.default_rng(0).permutation(blobs.dataset.n_frames)
    frames, shuffled = prepare(blobs.dataset), prepare(blobs.take(order).dataset)
    torch.testing.assert_close(shuffled.source.images, frames.source.images[order])
    found, expected = shuffled.statistics, frames.statistics
    torch.testing.assert_close(found.mean_volume.volume, expected.mean_volume.volume)
    torch.testing.assert_close(found.mean_volume.half_fsc, expected.mean_volume.half_fsc)
    torch.testing.assert_close(found.signal_power, expected.signal_power)
    batch, other = (f.batch(f.movies[1:3]) for f in (frames, shuffled))
    torch.testing.assert_close(other.images, batch.images)
    assert other.lengths.tolist() == batch.lengths.tolist() == [5, 3]


def test_batch_holds_the_frames_of_its_movies_in_order(blobs):
    frames = prepare(blobs.dataset)
    batch = frames.batch([frames.movies[2], frames.movies[0]])
    rows = [9, 10, 11, 0, 1, 2, 3]
    assert batch.rows.tolist() == rows
    assert batch.images.equal(frames.source.images[rows])
    assert batch.ctf.equal(frames.source.ctf[rows])
    assert batch.rotations.equal(frames.rotations[rows])
    assert batch.lengths.tolist() == [3, 4]
    some = PixelSample(torch.tensor([0, 5, 2]), torch.tensor([1.0, 2.0, 4.0]))
    assert batch.at(some).images.equal(batch.images[:, [0, 5, 2]])
    assert batch.at(some).ctf.equal(batch.ctf[:, [0, 5, 2]])
    assert batch.at(some).pixels is some


def test_mean_volume_is_the_mean_of_the_true_volumes():
    blobs = simulate_blobs([8] * 25, snr=5.0, shift_sd_angstrom=4.0)
    frames = prepare(blobs.dataset)
    support = FourierSupport(16, 3)
    truth = support.ifft(blobs.volumes().mean(0))
    found = frames.statistics.mean_volume.volume * frames.statistics.noise_scale
    correlation = (found * truth).sum() / (found.norm() * truth.norm())
    assert correlation > 0.95
    slope = (found * truth).sum() / truth.square().sum()
    assert slope.item() == pytest.approx(1, abs=0.1)


def test_held_out_movies_do_not_enter_the_mean_volume(blobs):
    training = blobs.dataset.movies[:3]
    held_out = blobs.dataset.movies[3]
    images = blobs.dataset.images.copy()
    images[held_out, 5:12, 5:12] *= -3  # corners, and so the noise, stay as they are
    spoiled = replace(blobs.dataset, images=images)
    before = prepare(blobs.dataset, movies=training)
    after = prepare(spoiled, movies=training)
    assert not torch.allclose(after.source.images[held_out], before.source.images[held_out])
    mean = before.statistics.mean_volume.volume
    torch.testing.assert_close(after.statistics.mean_volume.volume, mean)
    everything = prepare(spoiled).statistics.mean_volume.volume
    assert not torch.allclose(everything, mean, rtol=0.05)


def test_masked_images_are_refused(blobs):
    images = blobs.dataset.images.copy()
    images[:, torch.arange(16), :] *= 0
    with pytest.raises(TemporemError, match=r"constant in their corners.*extract particles"):
        prepare(replace(blobs.dataset, images=images))


@pytest.mark.parametrize("memory_gb", [0.0, 1.0])
def test_cropped_frames_are_the_same_images_at_lower_frequencies(blobs, memory_gb):
    frames = prepare(blobs.dataset, DataSettings(memory_gb=memory_gb))
    small = frames.cropped(10, 1.0)
    model, coarse = frames.forward_model, small.forward_model
    assert coarse.box == 10
    assert coarse.pixel_size_angstrom * 10 == model.pixel_size_angstrom * model.box
    assert small.source.in_memory
    assert not frames.cropped(10, 0.0).source.in_memory or memory_gb
    rows = np.array([3, 0, 11])
    n = len(coarse.support)
    assert coarse.support.frequencies.equal(model.support.frequencies[:n])
    for images, whole in zip(small.source.take(rows), frames.source.take(rows, n), strict=True):
        assert images.equal(whole)
    # CTF and centred images are what the coarse forward model says of the coarse mean volume.
    ctf = coarse.ctf(blobs.dataset.ctf[torch.from_numpy(rows)])
    torch.testing.assert_close(small.source.take(rows)[1], ctf, rtol=1e-4, atol=1e-4)
    mean, volume = FourierSupport(10, 3), FourierSupport(16, 3, 5)
    torch.testing.assert_close(
        10**0.5 * mean.fft(small.statistics.mean_volume.volume),
        16**0.5 * volume.fft(frames.statistics.mean_volume.volume),
    )
    assert frames.cropped(16, 1.0) is frames


def test_movies_are_held_out_or_for_training(blobs):
    movies = blobs.dataset.movies
    frames = prepare(blobs.dataset, movies=[movies[2], movies[0]])
    assert [m[0] for m in frames.training] == [9, 0]
    assert [m[0] for m in frames.held_out] == [4, 12]
    assert prepare(blobs.dataset).held_out == []


def test_without_poses_there_is_no_mean_volume_and_all_else_is_the_same(blobs):
    posed = prepare(blobs.dataset)
    bare = prepare_frames(blobs.dataset, DataSettings(), blobs.dataset.movies, CPU, posed=False)
    assert not bare.statistics.mean_volume.volume.any()
    assert bare.statistics.signal_power.equal(posed.statistics.signal_power)
    assert bare.source.images.equal(posed.source.images)


# --- blocks of movies ---


@pytest.mark.parametrize("per_block", [1, 6, 13, 1000])
def test_blocks_hold_whole_movies_and_every_row_once(blobs, per_block):
    frames = prepare(blobs.dataset)
    frames = replace(frames, block_samples=per_block * len(frames.forward_model.support))
    movies = frames.movies[::-1]
    blocks = list(frames.blocks(movies))
    found = []
    for block in blocks:
        bounds = [0, *block.lengths.cumsum(0).tolist()]
        found += [block.rows[a:b].tolist() for a, b in pairwise(bounds)]
        assert len(block.rows) <= max(per_block, int(block.lengths.max()))
        assert block.images.equal(frames.source.images[block.rows])
        assert block.interval_index.equal(frames.interval_index[block.rows])
    assert found == [movie.tolist() for movie in movies]
    for block, following in pairwise(blocks):
        assert len(block.rows) + int(following.lengths[0]) > per_block
    assert list(frames.blocks([])) == []


def test_every_block_is_counted_in_fourier_pixels(blobs):
    counted = []
    frames = prepare(blobs.dataset)
    frames = replace(frames, block_samples=200, on_samples=counted.append)
    passed = [block.images.numel() for block in frames.blocks(frames.movies, 30)]
    assert counted == passed
    assert sum(counted) == 30 * len(frames)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_processes_share_every_movie_once(blobs, n):
    """Whatever movies a pass is over, a process goes through its own of them."""
    frames = prepare(blobs.dataset)
    seen = []
    for rank in range(n):
        mine = replace(frames, processes=ProcessGroup(rank, n))
        passes = [
            [row for block in mine.blocks(movies) for row in block.rows.tolist()]
            for movies in (frames.movies, frames.movies[::2])
        ]
        assert set(passes[1]) <= set(passes[0])
        seen += passes[0]
    assert sorted(seen) == list(range(len(frames)))
