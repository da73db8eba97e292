"""A network that infers poses from images, and its training on images of known volumes."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from helpers.blobs import simulate_blobs
from helpers.networks import assert_same_parts
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.io.state import Parts
from temporem.physics.forward import ForwardModel
from temporem.physics.polar_samples import polar_samples
from temporem.physics.poses import Poses
from temporem.physics.rotations import geodesic_degrees, random_rotations, rotation_about_axis
from temporem.poses.estimates import PoseEstimates
from temporem.poses.head import PoseAnswers, PoseHead, head_model
from temporem.poses.head_training import (
    HeadLesson,
    HeadState,
    empty_head,
    head_states,
    infer_answers,
    lesson_from,
    new_head,
)
from temporem.poses.known_volumes import KnownVolumes
from temporem.poses.settings import PoseSettings

MODEL = ForwardModel(24, 4.0)


def blobs(turn: float) -> torch.Tensor:
    """An image of four blobs without symmetry, turned in its plane, ``(P,)``."""
    axis = torch.arange(24.0) - 12
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    image, c, s = torch.zeros(24, 24), math.cos(turn), math.sin(turn)
    for a, b, weight in ((2.5, -1.2, 1.0), (-4, 1, 0.7), (0, 5, 0.5), (-2, -4, 0.8)):
        square = (x - c * a + s * b).square() + (y - s * a - c * b).square()
        image += 20 * weight * torch.exp(-square / 6)
    return MODEL.support.fft(image)


@cache
def movies() -> Dataset:
    """A molecule off the centre of the images by 2 Å. Not to be changed."""
    return simulate_blobs([5] * 24, snr=6.0, arc_degrees=30.0, shift_sd_angstrom=2.0).dataset


@pytest.fixture(scope="module")
def frames() -> Frames:
    """The frames in known rotations, not centred. Not to be changed."""
    data, true = movies(), movies().poses
    data = data.with_poses(Poses(true.rotations, torch.zeros_like(true.shifts_angstrom)))
    return prepare_frames(data, DataSettings(), data.movies, torch.device("cpu"))


@pytest.fixture(scope="module")
def lesson(frames) -> HeadLesson:
    return lesson_from(frames, movies().poses, window_radius=0.9, seed=0)


@pytest.fixture(scope="module")
def trained(frames, lesson) -> PoseHead:
    *_, last = head_states(lesson, new_head(frames, lesson, 0), images=30_000, seed=0)
    return last.head


def test_polar_samples_are_the_transform_of_the_pixels() -> None:
    """The transform of a Gaussian off the centre is known at every frequency."""
    axis = torch.arange(24.0) - 12
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    image = torch.exp(-((x - 2.5).square() + (y + 1.2).square()) / (2 * 1.5**2))
    seen = MODEL.support.fft(image)
    samples = torch.cat([seen.real, seen.imag]) @ polar_samples(MODEL.support, 8, 12)
    radius = torch.arange(1, 9)[:, None] / 24
    angle = 2 * math.pi / 12 * torch.arange(6)
    place = 2.5 * angle.cos() - 1.2 * angle.sin()
    size = 2 * math.pi * 1.5**2 / 24 * (-2 * (math.pi * 1.5 * radius).square()).exp()
    expected = torch.polar(size.expand(8, 6), -2 * math.pi * radius * place)
    found = torch.complex(*samples.view(2, 8, 6))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("degrees", [90.0, 45.0, -11.25])
def test_image_turned_in_its_plane_has_answers_turned_alike(degrees: float) -> None:
    torch.manual_seed(0)
    head, turn = PoseHead(MODEL, torch.ones(13), 3.0), math.radians(degrees)
    with torch.no_grad():
        found = head(torch.stack([blobs(0.0), blobs(turn)]), torch.ones(2, len(MODEL.support)))
    about = rotation_about_axis(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(turn))
    first, second = found.matrices
    torch.testing.assert_close(about @ first, second, rtol=1e-2, atol=1e-2)
    moved = about[:2, :2] @ found.shifts_angstrom[0]
    torch.testing.assert_close(moved, found.shifts_angstrom[1], rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(
        found.log_probability[0], found.log_probability[1], rtol=0, atol=0.01
    )
    assert not torch.allclose(first, second, atol=0.1)


def test_density_has_the_same_integral_whatever_its_width() -> None:
    """And its standard deviation is the one that is stated."""
    rotations = random_rotations(400_000, torch.Generator().manual_seed(0)).float()
    still, masses = torch.zeros(len(rotations), 2), []
    for sharpness in (8.0, 12.0):
        answers = PoseAnswers(
            matrices=torch.eye(3)[None, None],
            log_probability=torch.zeros(1, 1),
            log_sharpness=torch.full((1, 1), math.log(sharpness)),
            shifts_angstrom=torch.zeros(1, 2),
            shift_log_sd=torch.zeros(1),
        )
        density = answers.log_density(rotations, still).double().exp()
        masses.append(float(density.mean()))
        angle = geodesic_degrees(rotations, torch.eye(3)).double()
        spread = float(((density * angle.square()).sum() / density.sum() / 3).sqrt())
        assert spread == pytest.approx(float(answers.poses().angle_sd_degrees), rel=0.05)
    assert masses[0] == pytest.approx(masses[1], rel=0.1)


def test_head_finds_poses_of_noisy_images_that_it_has_not_seen(lesson, trained) -> None:
    images, ctf, true = lesson.draw(500, torch.Generator().manual_seed(99))
    with torch.no_grad():
        answers = trained(images, ctf)
    found = answers.poses()
    error = geodesic_degrees(found.rotations, true.rotations)
    assert error.median() < 35  # by chance 126
    assert (error < 60).double().mean() > 0.7
    left = (found.shifts_angstrom - true.shifts_angstrom).square().mean().sqrt()
    assert left < 0.8 * true.shifts_angstrom.square().mean().sqrt()
    sure = found.angle_sd_degrees < found.angle_sd_degrees.median()
    assert error[sure].median() < error[~sure].median()


def test_head_finds_poses_of_real_frames_and_a_refinement_sharpens_them(
    frames, lesson, trained
) -> None:
    found, (mean, components) = infer_answers(trained, frames).poses(), lesson.volumes_for(16)
    error = geodesic_degrees(found.rotations, frames.rotations.double())
    assert error.median() < 40
    guess = PoseEstimates.at(found.rotations)
    guess = replace(guess, shifts_angstrom=found.shifts_angstrom)
    volumes = KnownVolumes(
        frames=frames,
        given=Poses(frames.rotations.double(), torch.zeros(len(frames), 2)),
        mean=mean,
        components=components,
        settings=PoseSettings(source="estimate"),
        window_radius=0.9,
        guess=guess,
    )
    counted: list[int] = []
    refined = volumes.search(counted.append)
    left = geodesic_degrees(refined.rotations, frames.rotations.double())
    assert left.median() < 0.4 * error.median()
    assert sum(counted) == len(frames)


def test_frames_that_tell_nothing_have_the_same_answer(frames, trained) -> None:
    rows = np.arange(10)
    images, ctf = frames.source.take(rows)
    with torch.no_grad():
        blind = trained(images, 0 * ctf)
    torch.testing.assert_close(blind.matrices, blind.matrices[:1].expand_as(blind.matrices))


def test_training_goes_on_as_if_never_stopped(frames, lesson) -> None:
    def new() -> PoseHead:
        return new_head(frames, lesson, 3)

    stored: list[Parts] = []
    for state in head_states(lesson, new(), images=600, seed=1):
        stored.append(state.parts())
    assert [parts.document["step"] for parts in stored] == [1, 2, 3, 4, 5]
    again = HeadState.from_parts(stored[1], empty_head(frames), 600)
    *_, last = head_states(lesson, new(), images=600, seed=1, resume=again)
    assert last.finished
    assert_same_parts(last.parts(), stored[-1])
    assert len(stored[-1].tensors) < len(stored[0].tensors)
    for step in (-1, 5, 10**30):
        damaged = replace(stored[1], document={"step": step, "finished": False})
        with pytest.raises(TemporemError, match="step is"):
            HeadState.from_parts(damaged, empty_head(frames), 600)


def test_large_boxes_are_seen_at_low_resolution() -> None:
    small, large = head_model(ForwardModel(16, 4.0)), head_model(ForwardModel(128, 1.0))
    assert (small.box, large.box) == (16, 24)
    assert large.box * large.pixel_size_angstrom == pytest.approx(128)
    assert len(PoseHead(small, torch.ones(9), 2.0).power) == len(small.support)
