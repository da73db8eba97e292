"""Checks find the faults that spoil a reconstruction, and nothing in clean data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy import ndimage

from helpers.blobs import simulate_blobs
from temporem.checks import Evidence, Finding, Verdict, examine, require_sound
from temporem.checks.contrast import measure_signs
from temporem.checks.thon_rings import measure_slope
from temporem.checks.views import measure_coverage
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.settings import DataSettings
from temporem.physics.poses import Poses
from temporem.physics.rotations import random_rotations

AS_THEY_ARE = DataSettings()
Change = Callable[[np.ndarray, float], np.ndarray]


@cache
def movies(snr: float = 1.0, seed: int = 0) -> Dataset:
    """Sixteen movies of six frames."""
    return simulate_blobs([6] * 16, snr=snr, shift_sd_angstrom=2, seed=seed).dataset


def spoilt(change: Change, data: Dataset | None = None) -> Dataset:
    """Images changed by a function of them and of the standard deviation of their noise."""
    data = data or movies()
    pixels = np.array(data.images)
    deviation = float(pixels[:, :2, :2].std())
    return replace(data, images=change(pixels, deviation).astype(np.float32))


def look(
    data: Dataset, settings: DataSettings = AS_THEY_ARE, *, thorough: bool = True
) -> list[Finding]:
    return examine(Evidence.of(data, settings), thorough=thorough)


def faults(findings: list[Finding]) -> dict[str, Finding]:
    """Warnings and refusals by the name of the check."""
    return {f.check: f for f in findings if f.verdict in (Verdict.WARNING, Verdict.REFUSED)}


@pytest.mark.parametrize("snr", [3.0, 0.3, 0.03])
def test_clean_data_raise_no_alarm(snr: float) -> None:
    for seed in range(3, 9):
        assert faults(look(movies(snr, seed))) == {}


def test_a_bright_spot_of_several_pixels_is_no_broken_pixel() -> None:
    """The brightest pixel of a molecule outweighs the noise too, but not alone."""
    y, x = np.mgrid[:16, :16] - 8

    def brighten(pixels: np.ndarray, deviation: float) -> np.ndarray:
        pixels[10] += 60 * deviation * np.exp(-(x**2 + y**2) / 4)
        return pixels

    assert "broken pixels" not in faults(look(spoilt(brighten)))


@pytest.mark.parametrize("snr", [3.0, 0.1])
def test_dark_molecules_are_found_and_inverting_mends_them(snr: float) -> None:
    dark = spoilt(lambda pixels, _: -pixels, movies(snr))
    finding = faults(look(dark))["contrast"]
    assert finding.verdict == Verdict.REFUSED
    assert "--invert" in finding.remedy
    assert faults(look(dark, DataSettings(invert=True))) == {}
    wrongly = faults(look(movies(snr), DataSettings(invert=True)))["contrast"]
    assert "leave --invert out" in wrongly.remedy


def test_evidence_of_the_sign_is_symmetric_and_without_poses_one_number_remains() -> None:
    bright = measure_signs(Evidence.of(movies(), AS_THEY_ARE))
    dark = measure_signs(Evidence.of(spoilt(lambda pixels, _: -pixels), AS_THEY_ARE))
    assert bright.middle.t == pytest.approx(-dark.middle.t, rel=1e-3)
    assert bright.skewness == pytest.approx(-dark.skewness, rel=1e-2)
    unposed = measure_signs(Evidence.of(movies().without_poses(), AS_THEY_ARE))
    assert unposed.skewness is None
    assert unposed.middle.t > 10


def test_the_sign_of_noise_cannot_be_told() -> None:
    for seed in range(10):
        noise = np.random.default_rng(seed).standard_normal(movies().images.shape)
        finding = next(
            f
            for f in look(replace(movies(), images=noise.astype(np.float32)), thorough=False)
            if f.check == "contrast"
        )
        assert finding.verdict == Verdict.UNKNOWN


UNCORRECTED = DataSettings(corrections=False)


def said(findings: list[Finding], check: str) -> str:
    return " ".join(f.evidence for f in findings if f.check == check)


@pytest.mark.parametrize("level", [-5.0, 5.0, 120.0])
def test_a_background_is_refused_unless_it_is_subtracted(level: float) -> None:
    data = spoilt(lambda pixels, deviation: pixels + level * deviation)
    finding = faults(look(data, UNCORRECTED))["background"]
    assert finding.verdict == Verdict.REFUSED
    assert "data.corrections" in finding.remedy
    assert faults(look(data)) == {}
    assert "subtracted" in said(look(data), "background")


def test_a_slope_is_seen() -> None:
    ramp = np.arange(16) / 16
    data = spoilt(lambda pixels, deviation: pixels + 4 * deviation * ramp)
    found = [
        f for f in look(data, UNCORRECTED) if f.check == "background" and "rises" in f.evidence
    ]
    assert found[0].verdict == Verdict.WARNING
    assert faults(look(data)) == {}


def test_one_movie_of_another_gain_is_named_and_brought_to_the_level_of_the_others() -> None:
    def gain(pixels: np.ndarray, _: float) -> np.ndarray:
        pixels[movies().movies[3]] *= 100
        return pixels

    data = spoilt(gain)
    finding = faults(look(data, UNCORRECTED))["noise level"]
    assert finding.verdict == Verdict.REFUSED
    assert data.particle_names[data.movies[3][0]] in finding.evidence
    assert faults(look(data)) == {}
    assert data.particle_names[data.movies[3][0]] in said(look(data), "noise level")


def test_poses_that_are_off_are_told() -> None:
    shift = 3 * torch.randn(96, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    given = movies().poses
    off = movies().with_poses(Poses(given.rotations, given.shifts_angstrom + shift))
    finding = faults(look(off))["poses"]
    assert finding.verdict == Verdict.WARNING
    assert "--poses" in finding.remedy
    assert "poses" not in faults(look(off, thorough=False))


@pytest.mark.parametrize("height", [60.0, -500.0])
def test_an_extreme_pixel_is_refused_with_its_row_and_place(height: float) -> None:
    def hot(pixels: np.ndarray, deviation: float) -> np.ndarray:
        pixels[10, 12, 9] = height * deviation
        return pixels

    finding = faults(look(spoilt(hot), UNCORRECTED))["broken pixels"]
    assert finding.verdict == Verdict.REFUSED
    assert "row 10 " in finding.evidence
    assert "x 9, y 12" in finding.evidence
    assert faults(look(spoilt(hot))) == {}
    assert "row 10 " in said(look(spoilt(hot)), "broken pixels")


def test_a_pixel_that_is_wrong_in_all_images_is_seen() -> None:
    def stuck(pixels: np.ndarray, deviation: float) -> np.ndarray:
        pixels[:, 2, 9] += 4 * deviation
        return pixels

    finding = faults(look(spoilt(stuck)))["broken pixels"]
    assert finding.verdict == Verdict.WARNING
    assert "x 9, y 2" in finding.evidence


def test_a_hole_of_one_coarse_pixel_in_the_middle_of_all_molecules_is_no_broken_pixel() -> None:
    """A CTF makes one in the mean of all views."""
    y, x = np.mgrid[:16, :16] - 8

    def hole(pixels: np.ndarray, deviation: float) -> np.ndarray:
        return pixels - 6 * deviation * ((x == 0) & (y == 0))

    assert "broken pixels" not in faults(look(spoilt(hole)))


def test_blank_and_repeated_images_are_named() -> None:
    def blank(pixels: np.ndarray, _: float) -> np.ndarray:
        pixels[7] = 0
        return pixels

    def repeat(pixels: np.ndarray, _: float) -> np.ndarray:
        pixels[70] = pixels[3]
        return pixels

    blanked = faults(look(spoilt(blank)))["blank corners"]
    assert blanked.verdict == Verdict.REFUSED
    assert "row 7 " in blanked.evidence
    repeated = faults(look(spoilt(repeat)))["duplicates"]
    assert "row 70 " in repeated.evidence
    assert "row 3" in repeated.evidence


def test_coloured_noise_is_seen() -> None:
    noise = np.random.default_rng(0).standard_normal(movies().images.shape)
    smooth = ndimage.gaussian_filter(noise, (0, 1, 1))
    data = spoilt(lambda pixels, deviation: pixels + 4 * deviation * smooth)
    assert faults(look(data, UNCORRECTED))["noise colour"].verdict == Verdict.WARNING
    assert "whitened" in said(look(data), "noise colour")


def test_a_single_view_is_refused() -> None:
    data = movies()
    one = Poses(data.poses.rotations[:1].expand(96, 3, 3).clone(), data.poses.shifts_angstrom)
    assert faults(look(data.with_poses(one)))["views"].verdict == Verdict.REFUSED


def test_the_sampling_compensation_factor_is_that_of_the_paper() -> None:
    """Side views, all round, have 8/π² (Baldwin and Lyumkis 2020)."""
    n = 20_000
    angles = 2 * np.pi * np.arange(n) / n
    rotations = torch.zeros(n, 3, 3, dtype=torch.float64)
    rotations[:, 2, 0] = torch.from_numpy(np.cos(angles))
    rotations[:, 2, 1] = torch.from_numpy(np.sin(angles))
    assert measure_coverage(rotations).factor == pytest.approx(8 / np.pi**2, abs=0.02)
    even = measure_coverage(random_rotations(n, torch.Generator().manual_seed(1)))
    assert even.factor == pytest.approx(1, abs=0.01)


def test_a_ctf_that_passes_nothing_is_refused() -> None:
    data = movies()
    flat = replace(
        data.ctf,
        defocus_u_angstrom=0 * data.ctf.defocus_u_angstrom,
        defocus_v_angstrom=0 * data.ctf.defocus_v_angstrom,
        amplitude_contrast=0 * data.ctf.amplitude_contrast,
    )
    finding = faults(look(replace(data, ctf=flat), thorough=False))["CTF"]
    assert finding.verdict == Verdict.REFUSED
    assert "--ctf none" in finding.remedy


def test_the_ctf_of_other_images_does_not_fit_the_spectra() -> None:
    data = simulate_blobs([8] * 40, box=32, snr=3).dataset
    slope, error = measure_slope(Evidence.of(data, AS_THEY_ARE))
    assert slope - 4 * error > 0.3  # below 1: rings that the window cuts off
    others = torch.from_numpy(np.roll(np.arange(data.n_frames), 8 * 7))
    wrong, wrong_error = measure_slope(
        Evidence.of(replace(data, ctf=data.ctf[others]), AS_THEY_ARE)
    )
    assert slope - wrong > 4 * np.hypot(error, wrong_error)


def test_too_few_movies_are_refused_with_the_reason() -> None:
    data = simulate_blobs([31, 1]).dataset
    finding = faults(look(data))["movies"]
    assert finding.verdict == Verdict.REFUSED
    assert "2 movies of 1 to 31 frames, 32 frames in all" in finding.evidence
    assert "one of them has more than one frame" in finding.evidence
    assert "two halves" in finding.evidence
    one_volume = Evidence.of(data, AS_THEY_ARE, halves=False)
    assert "movies" not in faults(examine(one_volume))


def test_refusals_name_data_fault_remedy_and_the_way_round_them() -> None:
    findings = look(spoilt(lambda pixels, _: -pixels), thorough=False)
    with pytest.raises(TemporemError, match=r"DATA: molecules .* --invert.* data\.checks=warn"):
        require_sound(findings, AS_THEY_ARE, "DATA")
    warned = require_sound(findings, DataSettings(checks="warn"), "DATA")
    assert [finding.check for finding in warned] == ["contrast"]
