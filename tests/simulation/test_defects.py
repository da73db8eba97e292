"""Simulated defects: each has the size that its setting says, and the truth keeps it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.readers import read_dataset
from temporem.simulation.field import simulate_field
from temporem.simulation.in_memory import make_movies
from temporem.simulation.nuisances import Nuisances
from temporem.simulation.presets import load_simulation_config
from temporem.simulation.simulate import simulate
from temporem.simulation.truth import Truth, read_truth

CLEAN = ["movies=30", "frames_per_movie=10", "snr=1e9"]


def movies(*settings: str) -> tuple[Dataset, Truth]:
    made = make_movies(load_simulation_config("toy", [*CLEAN, *settings]))
    return made.dataset, made.truth


def images(*settings: str) -> np.ndarray:
    return np.asarray(movies(*settings)[0].images, dtype=np.float64)


def defects_of(truth: Truth) -> Nuisances:
    assert truth.nuisances is not None
    return truth.nuisances


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return images()


def test_background_is_the_plane_that_the_truth_names(clean: np.ndarray) -> None:
    dataset, truth = movies("snr=0.1", "defects.background_sd=1.5", "defects.gradient_sd=0.5")
    added = np.asarray(dataset.images, dtype=np.float64) - images("snr=0.1")
    defects, sd, box = defects_of(truth), truth.noise_variance**0.5, dataset.box
    assert added.mean(axis=(1, 2)) / sd == pytest.approx(defects.background.numpy(), abs=1e-4)
    across = (added[:, :, -1] - added[:, :, 0]).mean(axis=1) * box / (box - 1) / sd
    assert across == pytest.approx(defects.gradient[:, 0].numpy(), abs=1e-3)
    down = (added[:, -1] - added[:, 0]).mean(axis=1) * box / (box - 1) / sd
    assert down == pytest.approx(defects.gradient[:, 1].numpy(), abs=1e-3)
    n = len(added)  # six standard errors
    assert float(defects.background.std()) == pytest.approx(1.5, rel=6 / (2 * n) ** 0.5)
    assert float(defects.gradient.std()) == pytest.approx(0.5, rel=6 / (4 * n) ** 0.5)


def test_scale_multiplies_the_molecule_and_not_the_noise(clean: np.ndarray) -> None:
    dataset, truth = movies("snr=1", "defects.scale_sd=0.3")
    scale = defects_of(truth).scale.numpy()
    spoiled = np.asarray(dataset.images, dtype=np.float64) - images("snr=1")
    assert spoiled == pytest.approx((scale - 1)[:, None, None] * clean, abs=1e-3 * clean.std())
    assert np.log(scale).std() == pytest.approx(0.3, rel=6 / (2 * len(scale)) ** 0.5)


def test_coloured_noise_has_its_power_law_and_the_variance_of_white_noise(
    clean: np.ndarray,
) -> None:
    dataset, truth = movies("snr=0.01", "defects.noise_knee_cycles_per_pixel=0.12")
    noise = np.asarray(dataset.images, dtype=np.float64) - clean
    assert noise.var() == pytest.approx(truth.noise_variance, rel=0.02)
    power = np.square(np.abs(np.fft.fft2(noise))).mean(axis=0)
    k = np.hypot(*np.meshgrid(*[np.fft.fftfreq(dataset.box)] * 2))
    law = 1 + (0.12 / k.clip(1 / dataset.box)) ** 2
    ratio = power / law
    low, high = ratio[(k > 0) & (k < 0.1)].mean(), ratio[k > 0.3].mean()
    assert low == pytest.approx(high, rel=0.1)  # white noise is off by 1 + (0.12/k)² > 2.4


@pytest.mark.parametrize("kind", ["other", "noise"])
def test_junk_shows_something_else(clean: np.ndarray, kind: str) -> None:
    dataset, truth = movies("defects.junk_fraction=0.2", f"defects.junk={kind}")
    junk = defects_of(truth).junk.numpy()
    assert 0.05 < junk.mean() < 0.35
    spoiled = np.asarray(dataset.images, dtype=np.float64)
    tolerance = 1e-3 * clean.std()
    assert spoiled[~junk] == pytest.approx(clean[~junk], abs=tolerance)
    if kind == "noise":
        assert spoiled[junk] == pytest.approx(0, abs=tolerance)
    else:
        power = np.square(spoiled[junk]).mean() / np.square(clean).mean()
        assert 0.2 < power < 5  # a molecule of that size, but not this one
        alike = [
            np.corrcoef(one.ravel(), other.ravel())[0, 1]
            for one, other in zip(spoiled[junk], clean[junk], strict=True)
        ]
        assert np.mean(alike) < 0.9


def test_defocus_error_is_written_and_is_not_in_the_images(clean: np.ndarray) -> None:
    dataset, truth = movies("defects.defocus_error_angstrom=600")
    right, _ = movies()
    assert np.asarray(dataset.images) == pytest.approx(np.asarray(right.images))
    error = defects_of(truth).defocus_error_angstrom
    written = dataset.ctf.defocus_u_angstrom - right.ctf.defocus_u_angstrom
    assert torch.allclose(written, error)
    assert all(len(error[movie].unique()) == 1 for movie in map(torch.from_numpy, dataset.movies))
    assert float(error[:: len(dataset.movies[0])].std()) == pytest.approx(600, rel=6 / 60**0.5)


def spectra(values: np.ndarray) -> np.ndarray:
    return np.fft.fft2(np.asarray(values, dtype=np.float64))


def radii(box: int) -> np.ndarray:
    """Cycles per pixel."""
    return np.hypot(*np.meshgrid(*[np.fft.fftfreq(box)] * 2))


def test_electrons_are_counted(clean: np.ndarray) -> None:
    """Images are whole numbers of electrons, whose variance and skewness are those of Poisson."""
    n = 4.0
    dataset, truth = movies("snr=0.05", f"defects.electrons_per_pixel={n}")
    noise = np.asarray(dataset.images, dtype=np.float64) - clean
    assert noise.var() == pytest.approx(truth.noise_variance, rel=0.02)
    counts = np.asarray(dataset.images) * (n / truth.noise_variance) ** 0.5 + n
    assert counts == pytest.approx(counts.round(), abs=1e-3)
    assert counts.min() >= 0
    skewness = np.mean(noise**3) / noise.std() ** 3
    assert skewness == pytest.approx(n**-0.5, abs=0.02)


def test_counts_and_gaussian_noise_have_one_spectrum(clean: np.ndarray) -> None:
    """The white part is shot noise; the long waves are the solvent's."""
    coloured = ["snr=0.05", "defects.noise_knee_cycles_per_pixel=0.12"]
    found = [
        np.square(np.abs(spectra(images(*coloured, *more) - clean))).mean(axis=0)
        for more in ([], ["defects.electrons_per_pixel=50"])
    ]
    low, high = (radii(clean.shape[-1]) < 0.1), (radii(clean.shape[-1]) > 0.3)
    for region in (low, high):
        assert found[1][region].mean() == pytest.approx(found[0][region].mean(), rel=0.05)


def test_few_electrons_give_no_strong_images() -> None:
    with pytest.raises(TemporemError, match=r"electrons_per_pixel: for an snr of 1,.*or more"):
        load_simulation_config("toy", ["snr=1", "defects.electrons_per_pixel=2"])


def test_the_detector_blurs_the_signal(clean: np.ndarray) -> None:
    seen = spectra(images("defects.mtf_at_nyquist=0.4"))
    expected = spectra(clean) * 0.4 ** (radii(clean.shape[-1]) / 0.5) ** 2
    assert seen == pytest.approx(expected, abs=1e-3 * np.abs(expected).max())


def test_damage_grows_with_the_frame_number(clean: np.ndarray) -> None:
    dataset, truth = movies("defects.damage_angstrom2_per_frame=50")
    s2 = (radii(dataset.box) / dataset.pixel_size_angstrom) ** 2
    for row in (dataset.movies[3][0], dataset.movies[3][7]):
        b = 50 * (dataset.frame_numbers[row] - 1)
        assert float(defects_of(truth).b_factor_angstrom2[row]) == b
        expected = spectra(clean[row]) * np.exp(-b * s2 / 4)
        seen = spectra(np.asarray(dataset.images)[row])
        assert seen == pytest.approx(expected, abs=1e-3 * np.abs(expected).max())


def test_motion_within_a_frame_blurs_along_its_path(clean: np.ndarray) -> None:
    """Evenly along a path d: the transform is multiplied by sinc(k·d)."""
    dataset, truth = movies("defects.move_in_frame_angstrom=8")
    box, move = dataset.box, defects_of(truth).move_angstrom.numpy()
    ky, kx = np.meshgrid(*[np.fft.fftfreq(box) / dataset.pixel_size_angstrom] * 2, indexing="ij")
    row = int(np.argmin(np.abs(np.hypot(*move.T) - 10)))
    along = kx * move[row, 0] + ky * move[row, 1]
    expected = spectra(clean[row]) * np.sinc(along)
    seen = spectra(np.asarray(dataset.images)[row])
    size = np.abs(expected).max()
    assert seen == pytest.approx(expected, abs=0.01 * size)
    assert not np.allclose(seen, spectra(clean[row]), atol=0.02 * size)


def test_turning_within_a_frame_blurs_what_is_far_from_the_centre(clean: np.ndarray) -> None:
    dataset, truth = movies("defects.turn_in_frame_degrees=30")
    turn = defects_of(truth).turn_degrees
    assert float(turn.square().sum(1).mean().sqrt()) == pytest.approx(30, rel=0.1)
    k = radii(dataset.box)
    kept = [np.square(np.abs(spectra(values))).mean(axis=0) for values in (dataset.images, clean)]
    low, high = (k > 0) & (k < 0.06), (k > 0.2) & (k < 0.35)
    assert kept[0][low].sum() / kept[1][low].sum() > 0.9
    assert kept[0][high].sum() / kept[1][high].sum() < 0.75


def test_thick_liquid_lets_fewer_electrons_through(clean: np.ndarray) -> None:
    thick = ["defects.thickness_nm=[100,300]", "defects.mean_free_path_nm=200"]
    dataset, truth = movies(*thick)
    passed = defects_of(truth).transmission.numpy()
    assert np.exp(-0.5) <= passed.min() < 0.75
    assert 1.35 < passed.max() <= np.exp(0.5)
    assert all(np.ptp(passed[movie]) == 0 for movie in dataset.movies)
    tolerance = 1e-3 * clean.std()
    assert images(*thick) == pytest.approx(passed[:, None, None] * clean, abs=tolerance)
    for more in ([], ["defects.electrons_per_pixel=20"]):
        noisy, _ = movies("snr=0.01", *thick, *more)
        noise = np.asarray(noisy.images, dtype=np.float64)
        variance = np.array([noise[movie].var(axis=(1, 2)).mean() for movie in noisy.movies])
        of_movie = passed[[movie[0] for movie in noisy.movies]]
        assert np.corrcoef(variance, of_movie)[0, 1] > 0.99
        assert (variance / of_movie).std() / (variance / of_movie).mean() < 0.05


def test_truth_on_disk_keeps_every_defect(tmp_path: Path) -> None:
    settings = ["background_sd=1", "scale_sd=0.3", "junk_fraction=0.3", "gradient_sd=0.2"]
    settings += ["turn_in_frame_degrees=5", "move_in_frame_angstrom=2", "thickness_nm=[100,200]"]
    settings += ["damage_angstrom2_per_frame=10"]
    changes = [*CLEAN, "missing_fraction=0.2", *(f"defects.{text}" for text in settings)]
    config = load_simulation_config("toy", changes)
    simulate(config, tmp_path / "movies")
    found = defects_of(read_truth(tmp_path / "movies"))
    drawn = defects_of(make_movies(config).truth)
    for name, values in vars(drawn).items():
        assert torch.allclose(getattr(found, name).double(), values.double(), atol=1e-5), name
    assert len(found.scale) == read_dataset(tmp_path / "movies").n_frames


def test_one_defect_leaves_the_draws_of_others_alone() -> None:
    one, both = (
        defects_of(movies("defects.scale_sd=0.3", *more)[1])
        for more in ([], ["defects.junk_fraction=0.5", "defects.background_sd=1"])
    )
    assert torch.equal(one.scale, both.scale)


def test_fields_refuse_defects(tmp_path: Path) -> None:
    config = load_simulation_config("toy", ["defects.scale_sd=0.3"])
    with pytest.raises(TemporemError, match="defects"):
        simulate_field(config, tmp_path / "field")
    assert not (tmp_path / "field").exists()
