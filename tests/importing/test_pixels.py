"""Pixel work on the way in, against images whose formulas are written down here."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.foreign import star_text, write_mrcs
from helpers.shared import SHARED
from temporem.checks import Evidence
from temporem.checks.contrast import measure_signs
from temporem.errors import TemporemError
from temporem.frames.contrast import MiddleContrast
from temporem.frames.dataset import Dataset
from temporem.frames.readers import read_dataset
from temporem.frames.settings import DataSettings
from temporem.importing.importer import ImportPlan, ImportSettings, plan_import, write_import
from temporem.importing.movies import MovieRule
from temporem.importing.pixels import choose_grid, without_plane
from temporem.physics.ctf import ctf_values

KV, CS, W = 300.0, 2.7, 0.1
WAVELENGTH = 12.2643247 / math.sqrt(3e5 * (1 + 3e5 * 0.978466e-6))
ATOMS = np.array([[14.0, -9.0], [-22.0, 5.0], [3.0, 20.0], [-6.0, -18.0]])  # Å
SIGMA = 6.0  # Å


def grid(box: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(box) - box // 2) * size
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x, y


def blobs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * SIGMA**2)) for a, b in ATOMS)


def frequencies(box: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    f = np.fft.fftfreq(box, size)
    ky, kx = np.meshgrid(f, f, indexing="ij")
    return kx, ky


def ctf(kx: np.ndarray, ky: np.ndarray, u: float, v: float, angle: float) -> np.ndarray:
    """RELION's CTF, −sin γ, written out."""
    s2, phi = kx**2 + ky**2, np.arctan2(ky, kx)
    defocus = 0.5 * (u + v + (u - v) * np.cos(2 * (phi - math.radians(angle))))
    chi = np.pi * WAVELENGTH * defocus * s2 - 0.5 * np.pi * CS * 1e7 * WAVELENGTH**3 * s2**2
    return np.sin(chi + math.asin(W))


def filtered(image: np.ndarray, transfer: np.ndarray) -> np.ndarray:
    return np.fft.ifft2(np.fft.fft2(image) * transfer).real


U, V, ANGLE = 9000.0, 8000.0, 25.0


def project(folder: Path, images: np.ndarray, size: float, **optics: object) -> Path:
    """A RELION project of images that are one movie; ``optics`` are more columns of optics."""
    n = len(images)
    write_mrcs(folder / "particles.mrcs", images)
    star = folder / "particles.star"
    columns = {
        "rlnImageName": [f"{i + 1}@particles.mrcs" for i in range(n)],
        "rlnOpticsGroup": [1] * n,
        **{"rlnDefocusU": [U] * n, "rlnDefocusV": [V] * n, "rlnDefocusAngle": [ANGLE] * n},
        **{c: [0] * n for c in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")},
        **{"rlnOriginXAngst": [-6.0] * n, "rlnOriginYAngst": [4.0] * n},
    }
    groups = {
        "rlnOpticsGroup": [1],
        **{"rlnVoltage": [KV], "rlnSphericalAberration": [CS], "rlnAmplitudeContrast": [W]},
        "rlnImagePixelSize": [size],
        **{name: [value] for name, value in optics.items()},
    }
    star.write_text(star_text(optics=groups, particles=columns), encoding="utf-8")
    return star


def plan(star: Path, **settings: object) -> ImportPlan:
    given = {
        "rule": MovieRule(frames_per_movie=1),
        "invert": "no",
        "normalise": False,
        **settings,
    }
    return plan_import([star], ImportSettings(**given))  # type: ignore[arg-type]


def imported(star: Path, **settings: object) -> Dataset:
    output = star.parent / "out"
    write_import(plan(star, **settings), output)
    return read_dataset(output)


def test_a_coarser_grid_keeps_molecule_and_ctf(tmp_path: Path) -> None:
    """The image on the coarse grid has the CTF at the same frequencies in 1/Å."""
    fine = filtered(blobs(*grid(96, 1.5)), ctf(*frequencies(96, 1.5), U, V, ANGLE))
    data = imported(project(tmp_path, fine[None], 1.5), box=48)
    assert (data.box, data.pixel_size_angstrom) == (48, pytest.approx(3.0))
    coarse = filtered(blobs(*grid(48, 3.0)), ctf(*frequencies(48, 3.0), U, V, ANGLE))
    # An orthonormal crop multiplies by the ratio of the pixel sizes.
    assert np.abs(data.images[0] - 2 * coarse).max() < 0.01 * np.abs(coarse).max()
    assert data.poses.shifts_angstrom[0].tolist() == pytest.approx([6.0, -4.0])


def test_odd_boxes_become_even_without_moving(tmp_path: Path) -> None:
    odd = blobs(*grid(65, 2.0))
    data = imported(project(tmp_path, odd[None], 2.0))
    assert data.box == 64
    assert np.abs(data.images[0] - blobs(*grid(64, 2.0))).max() < 1e-4


def test_several_pixel_sizes_are_brought_to_the_coarsest(tmp_path: Path) -> None:
    write_mrcs(tmp_path / "a.mrcs", blobs(*grid(60, 2.0))[None])
    write_mrcs(tmp_path / "b.mrcs", blobs(*grid(50, 2.5))[None])
    columns = {
        "rlnImageName": ["1@a.mrcs", "1@b.mrcs"],
        "rlnOpticsGroup": [1, 2],
        **{"rlnDefocusU": [U] * 2, "rlnDefocusV": [V] * 2, "rlnDefocusAngle": [0] * 2},
        **{"rlnParticleName": ["m"] * 2, "rlnMovieFrameNumber": [1, 2]},
    }
    optics = {
        "rlnOpticsGroup": [1, 2],
        **{"rlnVoltage": [KV] * 2, "rlnSphericalAberration": [CS] * 2},
        **{"rlnAmplitudeContrast": [W] * 2, "rlnImagePixelSize": [2.0, 2.5]},
    }
    star = tmp_path / "a.star"
    star.write_text(star_text(optics=optics, particles=columns), encoding="utf-8")
    data = imported(star, rule=MovieRule())
    assert (data.box, data.pixel_size_angstrom) == (48, pytest.approx(2.5))
    expected = blobs(*grid(48, 2.5))
    assert np.abs(data.images[0] - 1.25 * expected).max() < 0.01
    assert np.abs(data.images[1] - expected).max() < 1e-3


def test_flipped_phases_are_flipped_back(tmp_path: Path) -> None:
    transfer = ctf(*frequencies(64, 2.0), U, V, ANGLE)
    image = filtered(blobs(*grid(64, 2.0)), transfer)
    noisy = image + 0.1 * np.random.default_rng(0).normal(size=image.shape)
    flipped = filtered(noisy, np.sign(transfer))
    data = imported(project(tmp_path, flipped[None], 2.0, rlnCtfDataArePhaseFlipped=1))

    def inside(image: np.ndarray) -> np.ndarray:
        """All frequencies but those at Nyquist, which have no partner of the other sign."""
        return np.fft.fft2(image)[np.ix_(np.r_[:32, 33:64], np.r_[:32, 33:64])]

    largest = np.abs(inside(noisy)).max()
    assert np.abs(inside(data.images[0]) - inside(noisy)).max() < 1e-4 * largest
    assert np.abs(inside(flipped) - inside(noisy)).max() > 0.1 * largest


def test_beam_tilt_and_trefoil_are_turned_back(tmp_path: Path) -> None:
    """The observed image is the true one times exp(i phase), as RELION's model has it."""
    kx, ky = frequencies(64, 1.0)
    tilt, trefoil = (1.5, -0.7), 15.0
    s2 = kx**2 + ky**2
    phase = -2 * np.pi * CS * 1e7 * WAVELENGTH**2 * s2 * (kx * tilt[0] + ky * tilt[1]) * 1e-3
    phase = phase + trefoil * (kx**3 - 3 * kx * ky**2)
    phase[32], phase[:, 32] = 0, 0  # no partner of the other sign
    true = filtered(np.random.default_rng(1).normal(size=(64, 64)), np.exp(-s2 * 30))
    observed = filtered(true, np.exp(1j * phase))
    zernike = f"[0,0,0,0,0,{trefoil}]"
    star = project(
        tmp_path, observed[None], 1.0,
        rlnBeamTiltX=tilt[0], rlnBeamTiltY=tilt[1], rlnOddZernike=zernike,
    )  # fmt: skip
    data = imported(star)
    assert np.abs(data.images[0] - true).max() < 0.01 * np.abs(true).max()
    assert np.abs(observed - true).max() > 0.1 * np.abs(true).max()
    assert "Beam tilt" in " ".join(plan(star).notes)


def test_anisotropic_magnification_is_undone_in_image_and_shift(tmp_path: Path) -> None:
    matrix = np.array([[1.05, 0.02], [0.01, 0.97]])
    x, y = grid(64, 2.0)
    u, v = np.einsum("ij,jyx->iyx", np.linalg.inv(matrix).T, np.stack([x, y]))
    observed = blobs(u, v) / np.linalg.det(matrix)
    names = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")
    star = project(tmp_path, observed[None], 2.0, **dict(zip(names, matrix.ravel(), strict=True)))
    data = imported(star)
    assert np.abs(data.images[0] - blobs(x, y)).max() < 0.005
    # A displacement d of the observed image is M⁻ᵀ d in the true one.
    shift = np.linalg.inv(matrix).T @ [6.0, -4.0]
    assert data.poses.shifts_angstrom[0].tolist() == pytest.approx(shift.tolist())


def test_columns_without_a_correction_are_judged_by_their_effect(tmp_path: Path) -> None:
    image = blobs(*grid(64, 2.0))[None]
    star = project(tmp_path, image, 2.0, rlnEvenZernike="[0,0,0,0,40,0,0,0,0]")
    with pytest.raises(TemporemError, match=r"rlnEvenZernike .* 16% .*--ignore rlnEvenZernike"):
        plan(star)
    asked = plan(star, ignore=("_rlnEvenZernike",))
    assert "ignored, as asked" in " ".join(asked.notes)
    coarse = plan(star, box=32)
    assert "left out; it changes at most 1% of the signal at 8 Å" in " ".join(coarse.notes)
    with pytest.raises(TemporemError, match="--ignore rlnBeamTiltX: there is nothing to ignore"):
        plan(star, ignore=("rlnEvenZernike", "rlnBeamTiltX"))
    premultiplied = project(tmp_path, image, 2.0, rlnCtfDataAreCtfPremultiplied=1)
    with pytest.raises(TemporemError, match="multiplied by their CTF"):
        plan(premultiplied)


@pytest.mark.parametrize("sign", [1, -1])
def test_fall_off_of_the_ctf_becomes_a_part_of_it(tmp_path: Path, sign: int) -> None:
    """B factors of RELION, or of Warp, which writes −4 times the dose. Pixels stay as they are."""
    image = blobs(*grid(32, 4.0))
    star = project(tmp_path, np.stack([image, 2 * image]), 4.0)
    columns = ("rlnCtfBfactor", "rlnCtfScalefactor")
    text = star.read_text()
    head = "_rlnOriginYAngst #9\n"
    assert head in text
    text = text.replace(head, head + "".join(f"_{c} #{10 + i}\n" for i, c in enumerate(columns)))
    for row, values in enumerate(((20.0 * sign, 1.0), (480.0 * sign, 0.5)), start=1):
        line = next(x for x in text.splitlines() if x.startswith(f"{row}@"))
        text = text.replace(line, f"{line} {values[0]} {values[1]}")
    star.write_text(text)
    data = imported(star)
    np.testing.assert_array_equal(data.images[:], np.stack([image, 2 * image]).astype(np.float32))
    kx, ky = frequencies(32, 4.0)
    k = torch.from_numpy(np.stack([kx, ky], -1).reshape(-1, 2))
    plain = ctf(kx, ky, U, V, ANGLE)
    for row, (b, scale) in enumerate(((20.0, 1.0), (480.0, 0.5))):
        expected = scale * np.exp(-b / 4 * (kx**2 + ky**2)) * plain
        found = ctf_values(data.ctf[row : row + 1], k).numpy().reshape(32, 32)
        np.testing.assert_allclose(found, expected, atol=2e-4)
    said = " ".join(plan(star).notes)
    assert ("Warp" in said) == (sign < 0)
    assert "B factors up to 480" in said
    star.write_text(text.replace(f" {20.0 * sign} ", f" {-20.0 * sign} "))
    with pytest.raises(TemporemError, match=r"negative and positive \(-.*one sign"):
        plan(star)


def test_background_and_scale_of_every_frame(tmp_path: Path) -> None:
    """A plane and a gain of their own in each frame go; noise outside has mean 0 and sd 1."""
    random = np.random.default_rng(0)
    x, y = grid(48, 2.0)
    clean = 3 * blobs(x, y)
    images = np.stack(
        [
            gain * (clean + random.normal(size=x.shape)) + offset + a * x + b * y
            for gain, offset, a, b in ((1, 0, 0, 0), (40, 3e4, 2, -1), (0.01, -5, 0.001, 0.002))
        ]
    )
    data = imported(project(tmp_path, images, 2.0), normalise=True)
    outside = x**2 + y**2 >= (24 * 2.0) ** 2
    frames = data.images[:]
    assert np.abs(frames[:, outside].mean(1)).max() < 0.01
    assert frames[:, outside].std(1) == pytest.approx(np.ones(3), abs=0.01)
    for frame in frames:
        assert np.corrcoef(frame.ravel(), clean.ravel())[0, 1] > 0.5
        assert (frame * clean).sum() / (clean**2).sum() == pytest.approx(1, abs=0.1)


def test_a_masked_image_is_refused_by_its_row(tmp_path: Path) -> None:
    x, y = grid(32, 2.0)
    images = np.random.default_rng(0).normal(size=(4, 32, 32))
    images[2, x**2 + y**2 > 900] = 0
    star = project(tmp_path, images, 2.0)
    with pytest.raises(TemporemError, match=r"row 2 .*constant outside the particle"):
        imported(star, normalise=True)
    assert not (tmp_path / "out").exists()
    images[2] = 1234.5  # less its background, only errors of rounding are left
    star = project(tmp_path, images, 2.0)
    with pytest.raises(TemporemError, match=r"row 2 .*constant outside the particle"):
        imported(star, normalise=True)
    images[3, 5, 5] = np.nan
    star = project(tmp_path, images, 2.0)
    with pytest.raises(TemporemError, match=r"row 3 .*not a number"):
        imported(star)


@pytest.mark.parametrize("sign", [1, -1])
def test_sign_is_found_in_noise(tmp_path: Path, sign: int) -> None:
    """Signal of a tenth of the noise's standard deviation at its highest, 400 frames."""
    random = np.random.default_rng(0)
    clean = filtered(blobs(*grid(32, 4.0)), ctf(*frequencies(32, 4.0), U, V, ANGLE))
    images = sign * 0.3 * clean / clean.max() + random.normal(size=(400, 32, 32))
    star = project(tmp_path, images, 4.0)
    made = plan(star, invert="auto", normalise=True)
    assert (made.work.sign == sign).all()
    assert made.contrast.sign == sign
    assert made.contrast.n_frames == 400
    assert any("(t = " in note for note in made.notes)


def test_sign_of_noise_is_not_found(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(200, 32, 32))
    made = plan(project(tmp_path, noise, 4.0), invert="auto")
    assert made.contrast.sign == 0
    assert (made.work.sign == 1).all()
    assert any(note.startswith("Warning: the sign is not certain") for note in made.notes)


def test_import_and_check_go_by_the_same_number(tmp_path: Path) -> None:
    """On images that are displaced and have a CTF and a background."""
    random = np.random.default_rng(3)
    x, y = grid(32, 4.0)
    clean = filtered(blobs(x - 6, y + 4), ctf(*frequencies(32, 4.0), U, V, ANGLE))
    images = 0.3 * clean / clean.max() + random.normal(size=(60, 32, 32)) + 7
    star = project(tmp_path, images, 4.0)
    given = {"rule": MovieRule(frames_per_movie=3), "normalise": False}
    made = plan(star, invert="auto", **given)
    write_import(made, tmp_path / "out")
    evidence = Evidence.of(read_dataset(tmp_path / "out"), DataSettings())
    found = measure_signs(evidence).middle
    assert found.n_frames == made.contrast.n_frames == 60
    assert found.t == pytest.approx(made.contrast.t, rel=1e-3)


def test_chance_of_the_sign_is_that_of_students_t() -> None:
    assert MiddleContrast(2.447, 7).chance == pytest.approx(0.05, rel=1e-3)  # from tables
    assert MiddleContrast(-2.447, 7).chance == pytest.approx(0.05, rel=1e-3)
    assert MiddleContrast(0.0, 1).sign == 0
    draws = np.random.default_rng(0).standard_normal((4000, 9))
    chances = [MiddleContrast(float(d.mean() / d.std(ddof=1) * 3), 9).chance for d in draws]
    assert np.mean(np.array(chances) < 0.1) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("star", "settings", "sign"),
    [
        ("sta_testing_bin8.star", {}, 1),
        ("empiar_10076_7.star", {"box": 64}, -1),
    ],
)
def test_sign_of_real_ribosomes(star: str, settings: dict, sign: int) -> None:
    """The seven of EMPIAR-10076 are dark, as the blob/sign of their cryoSPARC file says."""
    made = plan(SHARED / "specimens/relion" / star, invert="auto", **settings)
    assert made.contrast.sign == sign
    assert (made.work.sign == sign).all()


@pytest.mark.parametrize(
    ("box", "pixel", "message"),
    [
        (31, None, "an even number"),
        (66, None, "no more pixels"),
        (None, 1.0, "no finer"),
        (60, 4.0, "at most 32 pixels"),
        (None, 40.0, "8 pixels or more"),
    ],
)
def test_impossible_grids(box: int | None, pixel: float | None, message: str) -> None:
    with pytest.raises(TemporemError, match=message):
        choose_grid(np.array([64, 80]), np.array([2.0, 2.0]), box, pixel)


def test_a_plane_is_found_from_the_corners_alone() -> None:
    x, y = grid(33, 1.0)
    plane = torch.from_numpy(5 + 0.2 * x - 0.1 * y)
    bump = torch.from_numpy(blobs(x * 4, y * 4) * (x**2 + y**2 < 100))
    assert torch.allclose(without_plane((plane + bump)[None].float())[0], bump.float(), atol=1e-4)
