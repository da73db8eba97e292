"""Preparation of images: unit noise, centred, upright, and the same in any order of rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.blobs import simulate_blobs
from temporem.errors import TemporemError
from temporem.frames.frames import PreparedFrames, prepare_frames
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.poses import Poses
from temporem.runs.config import DataConfig

CPU = torch.device("cpu")


def prepare(dataset, config=None, encoder_input="image", movies=None) -> PreparedFrames:
    config = config or DataConfig()
    return prepare_frames(dataset, config, encoder_input, movies or dataset.movies, CPU)


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
    assert 0.5 * sd < frames.noise_scale < 0.9 * sd
    # A background is not noise.
    brighter = prepare(replace(dataset, images=dataset.images + 10 * sd))
    assert brighter.noise_scale == pytest.approx(frames.noise_scale, rel=1e-3)


def test_scale_of_images_cancels(blobs):
    louder = replace(blobs.dataset, images=7 * blobs.dataset.images)
    one, other = prepare(blobs.dataset), prepare(louder)
    torch.testing.assert_close(other.source.images, one.source.images, rtol=1e-4, atol=1e-4)
    assert other.noise_scale == pytest.approx(7 * one.noise_scale)


def test_invert_flips_the_sign(blobs):
    dark = replace(blobs.dataset, images=-blobs.dataset.images)
    frames, inverted = prepare(blobs.dataset), prepare(dark, DataConfig(invert=True))
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
    one, other = prepare(still), prepare(displaced)
    ratio = other.noise_scale / one.noise_scale  # measured in corners of the images as they come
    difference = (ratio * other.source.images - one.source.images).norm() / one.source.images.norm()
    assert difference < 1e-3
    ignored = prepare(displaced.with_poses(still.poses))
    assert (
        ratio * ignored.source.images - one.source.images
    ).norm() / one.source.images.norm() > 0.3


def test_poses_and_contrast_are_the_datasets(blobs):
    frames = prepare(blobs.dataset)
    torch.testing.assert_close(frames.rotations, blobs.dataset.poses.rotations.float())
    assert frames.source.ctf.equal(frames.forward_model.ctf(blobs.dataset.ctf))
    assert all(a is b for a, b in zip(frames.movies, blobs.dataset.movies, strict=True))


def test_images_are_the_datasets_where_the_window_is_open():
    """Divided by the noise scale, the signal is what the forward model makes of the truth."""
    blobs = simulate_blobs([5, 5], snr=50.0, shift_sd_angstrom=4.0)
    frames = prepare(blobs.dataset, DataConfig(window_radius=1.0))
    support = frames.forward_model.support
    pixels = torch.from_numpy(blobs.dataset.images)
    centring = frames.forward_model.shift_phase(-blobs.dataset.poses.shifts_angstrom)
    centred = support.ifft(support.fft(pixels) * centring)
    found = support.ifft(frames.source.images) * frames.noise_scale
    torch.testing.assert_close(found[:, 6:11, 6:11], centred[:, 6:11, 6:11], rtol=0.02, atol=0.2)


@pytest.mark.parametrize("encoder_input", ["image", "back-projection"])
def test_order_of_rows_does_not_matter(blobs, encoder_input):
    order = np.random.default_rng(0).permutation(blobs.dataset.n_frames)
    frames = prepare(blobs.dataset, encoder_input=encoder_input)
    shuffled = prepare(blobs.take(order).dataset, encoder_input=encoder_input)
    torch.testing.assert_close(shuffled.source.images, frames.source.images[order])
    torch.testing.assert_close(
        shuffled.encoder_input, frames.encoder_input[order], rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(shuffled.mean_volume.volume, frames.mean_volume.volume)
    torch.testing.assert_close(shuffled.mean_volume.half_fsc, frames.mean_volume.half_fsc)
    torch.testing.assert_close(shuffled.signal_power, frames.signal_power)
    batch, other = (f.batch(f.movies[1:3]) for f in (frames, shuffled))
    torch.testing.assert_close(other.images, batch.images)
    assert other.lengths.tolist() == batch.lengths.tolist() == [5, 3]


def test_batch_holds_the_frames_of_its_movies_in_order(blobs):
    frames = prepare(blobs.dataset)
    batch = frames.batch([frames.movies[2], frames.movies[0]])
    rows = [9, 10, 11, 0, 1, 2, 3]
    for name, values in {**vars(frames.source), **vars(frames)}.items():
        if name in ("images", "ctf", "rotations", "encoder_input"):
            assert getattr(batch, name).equal(values[rows])
    assert batch.lengths.tolist() == [3, 4]


def test_mean_volume_is_the_mean_of_the_true_volumes():
    blobs = simulate_blobs([8] * 25, snr=5.0, shift_sd_angstrom=4.0)
    frames = prepare(blobs.dataset)
    support = FourierSupport(16, 3)
    truth = support.ifft(blobs.volumes().mean(0))
    found = frames.mean_volume.volume * frames.noise_scale
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
    torch.testing.assert_close(after.mean_volume.volume, before.mean_volume.volume)
    everything = prepare(spoiled)
    assert not torch.allclose(everything.mean_volume.volume, before.mean_volume.volume, rtol=0.05)


def test_masked_images_are_refused(blobs):
    images = blobs.dataset.images.copy()
    images[:, torch.arange(16), :] *= 0
    with pytest.raises(TemporemError, match=r"constant in their corners.*extract particles"):
        prepare(replace(blobs.dataset, images=images))


@pytest.mark.parametrize("memory_gb", [0.0, 1.0])
def test_cropped_frames_are_the_same_images_at_lower_frequencies(blobs, memory_gb):
    config = DataConfig(memory_gb=memory_gb)
    frames = prepare(blobs.dataset, config)
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
        10**0.5 * mean.fft(small.mean_volume.volume),
        16**0.5 * volume.fft(frames.mean_volume.volume),
    )
    assert frames.cropped(16, 1.0) is frames
