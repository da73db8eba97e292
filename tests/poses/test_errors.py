"""Errors of given poses are measured without a search, and refined poses are better."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from helpers.blobs import simulate_blobs
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.physics.poses import Poses
from temporem.physics.rotations import geodesic_degrees, rotation_of_vector
from temporem.poses.common_errors import cut
from temporem.poses.errors import measure_pose_errors
from temporem.poses.find import find_poses


def moved(data: Dataset, degrees: float, angstrom: float, seed: int = 0) -> Dataset:
    """The dataset with Gaussian errors of its poses."""
    generator = torch.Generator().manual_seed(seed)
    turns, moves = torch.randn(data.n_frames, 5, generator=generator, dtype=torch.float64).split(
        (3, 2), dim=1
    )
    rotations = rotation_of_vector(math.radians(degrees) / 3**0.5 * turns) @ data.poses.rotations
    return data.with_poses(Poses(rotations, data.poses.shifts_angstrom + angstrom * moves))


def still(snr: float = 0.3, arc_degrees: float = 0.0) -> Dataset:
    return simulate_blobs([6] * 60, box=32, snr=snr, arc_degrees=arc_degrees).dataset


def prepared(data: Dataset) -> Frames:
    return prepare_frames(data, DataSettings(), data.movies, torch.device("cpu"))


@pytest.mark.parametrize("snr", [1.0, 0.1])
@pytest.mark.parametrize(("degrees", "angstrom"), [(0.0, 0.0), (5.0, 1.0), (8.0, 0.5)])
def test_errors_are_measured(snr: float, degrees: float, angstrom: float) -> None:
    found = measure_pose_errors(prepared(moved(still(snr), degrees, angstrom)))
    assert found is not None
    assert found.angle_degrees == pytest.approx(degrees, abs=0.25 * degrees + 1.5)
    assert found.shift_angstrom == pytest.approx(angstrom, abs=0.25 * angstrom + 0.2)


@pytest.mark.parametrize("arc", [0.0, 20.0], ids=["still", "moving"])
def test_turned_poses_are_told_from_motion(arc: float) -> None:
    """Exact poses of a molecule that moves seem turned, but not all of its parts alike."""
    data = still(1.0, arc)
    exact = measure_pose_errors(prepared(data))
    turned = measure_pose_errors(prepared(moved(data, 6.0, 0.0)))
    assert exact is not None
    assert turned is not None
    assert not exact.are_off(data.pixel_size_angstrom)
    assert turned.are_off(data.pixel_size_angstrom)
    assert turned.common is not None
    assert turned.common.angstrom < 0.35 * data.pixel_size_angstrom  # shifts do not tell
    assert turned.common.degrees == pytest.approx(6.0, rel=0.3)


@pytest.mark.parametrize("snr", [1.0, 0.3])
def test_shifted_poses_are_told_from_motion(snr: float) -> None:
    """A wide swing moves the middle of a compact molecule, but not all of its parts alike."""
    data = still(snr, 100.0)
    exact = measure_pose_errors(prepared(data))
    shifted = measure_pose_errors(prepared(moved(data, 0.0, 2.0)))
    assert exact is not None
    assert shifted is not None
    assert exact.shift_angstrom > 0.35 * data.pixel_size_angstrom  # in all, it seems shifted
    assert not exact.are_off(data.pixel_size_angstrom)
    assert shifted.are_off(data.pixel_size_angstrom)
    assert shifted.common is not None
    assert shifted.common.angstrom == pytest.approx(2.0, rel=0.2)


def test_few_movies_have_no_common_errors_and_are_judged_by_shifts_in_all() -> None:
    data = simulate_blobs([12] * 10, box=32, snr=1.0, arc_degrees=0.0).dataset
    exact = measure_pose_errors(prepared(data))
    shifted = measure_pose_errors(prepared(moved(data, 0.0, 2.0)))
    assert exact is not None
    assert shifted is not None
    assert exact.common is None
    assert not exact.are_off(data.pixel_size_angstrom)
    assert shifted.are_off(data.pixel_size_angstrom)


def test_parts_are_compact_and_cover_the_volume() -> None:
    axis = torch.arange(16.0)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    volume = torch.zeros(16, 16, 16)
    centres = [(3, 3, 3), (12, 4, 8), (6, 12, 12)]
    for cx, cy, cz in centres:
        volume += torch.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / 1.5**2)
    parts = cut(volume)
    assert len({int(parts[centre]) for centre in centres}) == 3
    for centre in centres:
        own = parts == parts[centre]
        assert float((volume * own).sum() / volume.sum()) == pytest.approx(1 / 3, abs=0.02)


def test_noise_tells_nothing() -> None:
    data = still()
    noise = torch.randn(data.images.shape, generator=torch.Generator().manual_seed(0)).numpy()
    assert measure_pose_errors(prepared(replace(data, images=noise))) is None


def test_refining_small_errors_halves_them_and_does_no_harm_to_exact_poses() -> None:
    data = still(snr=1.0)
    for degrees, angstrom, allowed in ((5.0, 2.0, 0.7), (0.0, 0.0, None)):
        given = moved(data, degrees, angstrom)
        found = find_poses(given, source="refine", motion=False)
        assert len(found.log) == 3  # no search
        error = geodesic_degrees(found.rotations, data.poses.rotations).square().mean().sqrt()
        shift = (found.shifts_angstrom - data.poses.shifts_angstrom).square().mean().sqrt()
        if allowed is None:
            assert error < 1.5
            assert shift < 0.3
        else:
            assert error < allowed * degrees
            assert shift < allowed * angstrom
