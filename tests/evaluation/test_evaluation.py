"""The evaluation as a whole: one pass over frames, storage, and the comparison of two runs."""

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from temporem.errors import TemporemError
from temporem.evaluation.compare import compare, improvement
from temporem.evaluation.evaluation import Evaluation, EvaluationSettings, evaluate
from temporem.evaluation.frames import Frames
from temporem.evaluation.motion import MotionSums
from temporem.evaluation.resampling import BootstrapSettings
from temporem.evaluation.storage import load_evaluation, save_evaluation
from temporem.evaluation.summary import summarise
from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import area_under_curve, fourier_shell_correlation, resolution

BOX, PIXEL = 20, 3.0
MOVIES, LENGTH = 6, 5
N = MOVIES * LENGTH
SUPPORT = FourierSupport(BOX, 3)
SETTINGS = EvaluationSettings(bootstrap=BootstrapSettings(samples=200))


def blob(centre, sigma=1.4):
    axis = torch.arange(BOX) - BOX // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    r2 = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
    return (-r2 / (2 * sigma**2)).exp()


ANGLES = np.tile(np.linspace(-40, 40, LENGTH), MOVIES)


class Swing:
    """A body with an arm that swings about z, with noise of its own in every frame."""

    def __init__(self, noise=0.0, seed=0, swing=1.0):
        self.noise, self.seed, self.swing = noise, seed, swing
        self.asked = []

    def volumes(self, rows):
        self.asked.append(np.asarray(rows))
        return torch.stack([self.volume(row) for row in rows])

    def volume(self, row):
        angle = np.deg2rad(self.swing * ANGLES[row])
        volume = 2 * blob((-3, 0, 0)) + blob((5 * np.cos(angle), 5 * np.sin(angle), 0))
        generator = torch.Generator().manual_seed(1000 * self.seed + int(row))
        return SUPPORT.fft(volume + self.noise * torch.randn(volume.shape, generator=generator))


def all_frames(held_out=()):
    movie = np.repeat(np.arange(MOVIES), LENGTH)
    return Frames(
        rows=np.arange(N),
        movie=movie,
        particle_names=np.array([f"movie_{m}" for m in movie]),
        frame_numbers=np.tile(np.arange(1, LENGTH + 1), MOVIES),
        held_out=np.isin(movie, held_out),
    )


def run(source, truth=None, frames=None, **options):
    options = {"box": BOX, "pixel_size_angstrom": PIXEL, "settings": SETTINGS} | options
    return evaluate(source, truth or Swing(), frames or all_frames(), **options)


@pytest.fixture(scope="module")
def good():
    return run(
        Swing(noise=0.05, seed=1),
        latents=np.deg2rad(ANGLES)[:, None],
        parameters=ANGLES[:, None],
        parameter_names=["angle_degrees"],
        states=np.tile(np.arange(LENGTH), MOVIES),
        frames=all_frames(held_out=[1, 4]),
    )


@pytest.fixture(scope="module")
def poor():
    return run(Swing(noise=0.15, seed=2), frames=all_frames(held_out=[1, 4]))


# --- evaluate


def test_curves_are_those_of_each_frame_whatever_the_order_and_batches():
    source = Swing(noise=0.1, seed=3)
    rows = np.random.default_rng(0).permutation(N)[:13]
    whole = all_frames()
    frames = Frames(**{name: column[rows] for name, column in whole.columns().items()})
    result, again = (run(source, frames=frames, batch_size=size) for size in (4, 13))
    for i, row in enumerate(rows):
        expected = fourier_shell_correlation(source.volume(row), Swing().volume(row), SUPPORT)
        np.testing.assert_allclose(result.fsc["unmasked"][i], expected, atol=1e-5)
    assert sorted(result.fsc) == ["moving", "particle", "unmasked"]
    for name, curves in result.fsc.items():
        np.testing.assert_allclose(again.fsc[name], curves, atol=1e-5)
    np.testing.assert_allclose(again.psnr_db, result.psnr_db, rtol=1e-5)
    np.testing.assert_allclose(
        again.motion["moving"].correlation(), result.motion["moving"].correlation(), rtol=1e-5
    )


def test_reconstruction_is_read_once_and_progress_reaches_the_end():
    source, told = Swing(noise=0.1), []
    run(source, batch_size=7, progress=lambda done, total: told.append((done, total)))
    assert np.concatenate(source.asked).tolist() == list(range(N))
    assert told == [(7, N), (14, N), (21, N), (28, N), (N, N)]


def test_truth_against_itself_is_perfect():
    result = run(Swing())
    for region in result.fsc:
        assert result.resolution(region).never_crossed.all()
        assert (result.resolution(region).angstrom == 2 * PIXEL).all()
        np.testing.assert_allclose(result.auc(region), 1, atol=1e-5)
        assert result.motion[region].correlation() == pytest.approx(1, abs=1e-5)
    assert result.ssim.min() > 0.9999
    json.dumps(summarise(result), allow_nan=False)


def test_plain_fsc_forgives_the_mean_volume_and_motion_measures_do_not():
    # DESIGN: static parts dominate plain FSC. The arm at rest in every frame:
    still, moving = run(Swing(swing=0.0, noise=0.05)), run(Swing(noise=0.05))
    still_auc, moving_auc = still.auc("unmasked").mean(), moving.auc("unmasked").mean()
    assert still.motion["unmasked"].correlation() < 0.1
    assert moving.motion["unmasked"].correlation() > 0.5
    assert moving.motion["particle"].correlation() > moving.motion["unmasked"].correlation()
    drop_moving = moving.auc("moving").mean() - still.auc("moving").mean()
    assert drop_moving > moving_auc - still_auc > 0


def test_masked_measures_see_less_noise(poor):
    assert poor.auc("particle").mean() > poor.auc("unmasked").mean() + 0.05
    assert 0 < poor.mask_fractions["moving"] < poor.mask_fractions["particle"] < 1


def test_still_truth_has_no_motion_to_measure():
    result = run(Swing(noise=0.1), truth=Swing(swing=0.0))
    assert list(result.fsc) == ["unmasked", "particle"]
    assert result.motion == {}
    assert summarise(result)["motion"] == {}


def test_wrong_size_and_nan_are_refused_with_the_row():
    class Broken(Swing):
        def volume(self, row):
            return super().volume(row) * (float("nan") if row == 17 else 1)

    with pytest.raises(TemporemError, match="reconstruction's volume of row 17 holds NaN"):
        run(Broken())
    with pytest.raises(TemporemError, match="box 16"):
        run(Swing(), box=16)
    with pytest.raises(TemporemError, match="3 latents for 30 frames"):
        run(Swing(), latents=np.zeros((3, 1)))
    with pytest.raises(TemporemError, match="latents hold NaN"):
        run(Swing(), latents=np.full((N, 1), np.nan))


def test_frames_of_a_dataset_follow_its_movies():
    dataset = SimpleNamespace(
        path=Path("d"),
        particle_names=["b", "a", "b", "a", "a"],
        frame_numbers=np.array([2, 3, 1, 1, 2]),
        movies=[np.array([3, 4, 1]), np.array([2, 0])],
    )
    frames = Frames.of_dataset(dataset, held_out=[1])
    assert frames.rows.tolist() == [3, 4, 1, 2, 0]
    assert frames.particle_names.tolist() == ["a", "a", "a", "b", "b"]
    assert frames.frame_numbers.tolist() == [1, 2, 3, 1, 2]
    assert frames.held_out.tolist() == [False, False, False, True, True]
    assert Frames.of_dataset(dataset, movies=[1]).rows.tolist() == [2, 0]
    with pytest.raises(TemporemError, match="no movie 2"):
        Frames.of_dataset(dataset, movies=[2])


# --- states

STATES = np.tile([7, 7, 2, 2, 5], MOVIES)


def test_state_curves_are_those_of_mean_volumes_in_every_region():
    source, truth = Swing(noise=0.1, seed=3), Swing()
    result = run(source, states=STATES, batch_size=4)
    assert result.states.labels.tolist() == [2, 5, 7]
    assert result.states.n_frames.tolist() == [12, 6, 12]
    for label, curve in zip([2, 5, 7], result.states.fsc["unmasked"], strict=True):
        rows = np.flatnonzero(label == STATES)
        means = source.volumes(rows).mean(0), truth.volumes(rows).mean(0)
        expected = fourier_shell_correlation(*means, SUPPORT).numpy()
        np.testing.assert_allclose(curve, expected, atol=1e-5)
    perfect = run(Swing(), states=STATES).states
    assert list(perfect.fsc) == list(result.fsc)
    for curves in perfect.fsc.values():
        np.testing.assert_allclose(curves, 1, atol=1e-4)


def test_noise_averages_out_of_states_and_not_of_frames():
    result = run(Swing(noise=0.3, seed=1), states=STATES)
    frames = result.auc("moving").mean()
    assert area_under_curve(result.states.fsc["moving"]).mean() > frames + 0.1


def test_states_of_a_mean_volume_are_worst_where_it_is_far_from_them():
    """A method that gives every frame one volume blurs the arm, most at the ends of the swing."""

    class Mean(Swing):
        def volumes(self, rows):
            return super().volumes(np.arange(LENGTH)).mean(0).expand(len(rows), -1)

    states = np.tile(np.arange(LENGTH), MOVIES)
    mean, truth = run(Mean(), states=states), run(Swing(), states=states)
    area = area_under_curve(mean.states.fsc["moving"])
    assert area.argmax() == LENGTH // 2
    gain = compare(mean, truth).states["moving"]
    assert gain.fraction_improved == 1
    assert gain.auc_gain == pytest.approx((1 - area).mean(), abs=1e-4)


@pytest.mark.parametrize("states", [None, np.zeros(N, int), np.arange(N)])
def test_labels_that_part_nothing_are_not_states(states, good):
    result = run(Swing(noise=0.05, seed=1), states=states, frames=all_frames(held_out=[1, 4]))
    assert result.states is None
    assert summarise(result)["states"] is None
    assert compare(result, good).states == {}


# --- summary and storage


def test_summary_states_the_measures_and_how_they_were_made(good):
    summary = summarise(good)
    unmasked = summary["fsc"]["unmasked"]
    assert unmasked["resolution_angstrom"]["mean"] == pytest.approx(
        good.resolution("unmasked").angstrom.mean()
    )
    mean_curve = good.fsc["unmasked"].mean(0)
    np.testing.assert_allclose(unmasked["mean_curve"], mean_curve, atol=1e-6)
    assert unmasked["mean_fsc_resolution_angstrom"] == pytest.approx(
        resolution(mean_curve, 0.5, PIXEL).angstrom, rel=1e-5
    )
    low, high = summary["motion"]["unmasked"]["ci"]
    assert low < summary["motion"]["unmasked"]["correlation"] < high
    assert summary["latents"]["parameters"]["angle_degrees"]["r2"] > 0.999
    assert summary["latents"]["states"]["knn_accuracy"] == 1
    assert summary["definitions"]["fsc"]["threshold"] == 0.5
    assert summary["definitions"]["image_quality"]["low_pass_angstrom"] == pytest.approx(60 / 8)
    assert summary["n_frames"] == N
    states = summary["states"]
    assert states["n_states"] == LENGTH
    area = area_under_curve(good.states.fsc["moving"])
    assert states["fsc"]["moving"]["auc"]["mean"] == pytest.approx(area.mean())
    assert states["fsc"]["moving"]["auc"]["worst"] == pytest.approx(area.min())


def test_held_out_section_covers_held_out_movies_alone(good):
    section = summarise(good)["held_out"]
    chosen = [4, 5]  # groups put held-out movies last
    held_out = good.frames.held_out
    assert section["n_frames"] == 2 * LENGTH
    assert section["n_movies"] == 2
    assert section["image_quality"]["ssim"]["mean"] == pytest.approx(good.ssim[held_out].mean())
    expected = good.motion["unmasked"].correlation(np.isin(np.arange(MOVIES), chosen))
    assert section["motion"]["unmasked"]["correlation"] == pytest.approx(float(expected))


def test_saved_evaluation_reads_back_the_same(good, tmp_path):
    path = save_evaluation(good, tmp_path)
    loaded = load_evaluation(tmp_path)
    assert loaded.frames.same_as(good.frames)
    assert loaded.settings == good.settings
    assert loaded.latents == good.latents
    np.testing.assert_array_equal(loaded.states.labels, good.states.labels)
    np.testing.assert_array_equal(loaded.states.n_frames, good.states.n_frames)
    assert summarise(loaded) == summarise(good)
    for weights in ([1] * MOVIES, [0, 2, 1, 0, 1, 3]):
        assert loaded.motion["moving"].correlation(weights) == good.motion["moving"].correlation(
            weights
        )
    document = json.loads(path.read_text())
    assert document["format"] == "temporem evaluation 2"
    with np.load(tmp_path / "evaluation.npz") as arrays:
        np.testing.assert_array_equal(
            arrays["resolution_angstrom_particle"], good.resolution("particle").angstrom
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evaluation.json", "evaluation.npz"]


def test_an_evaluation_is_not_overwritten_unasked(good, poor, tmp_path):
    save_evaluation(good, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(TemporemError, match="exists"):
        save_evaluation(poor, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    save_evaluation(poor, tmp_path, overwrite=True)
    assert load_evaluation(tmp_path).latents is None


def test_missing_and_damaged_evaluations_are_refused(good, tmp_path):
    with pytest.raises(TemporemError, match="temporem evaluate"):
        load_evaluation(tmp_path)
    path = save_evaluation(good, tmp_path)
    text = path.read_text()
    (tmp_path / "evaluation.npz").write_bytes(b"another file")
    with pytest.raises(TemporemError, match="not the file that"):
        load_evaluation(tmp_path)
    path.write_text(text.replace("evaluation 2", "evaluation 0"))
    with pytest.raises(TemporemError, match="'temporem evaluation 0'"):
        load_evaluation(tmp_path)
    path.write_text(text[:100])
    with pytest.raises(TemporemError, match="not readable"):
        load_evaluation(tmp_path)


def save_changed(evaluation, directory, change=lambda document: None, archive=None):
    """Save an evaluation, then change its document and replace its arrays; checksums fit."""
    path = save_evaluation(evaluation, directory)
    document = json.loads(path.read_text())
    change(document)
    if archive is not None:
        (directory / "evaluation.npz").write_bytes(archive(directory / "evaluation.npz"))
    content = (directory / "evaluation.npz").read_bytes()
    document["arrays"]["sha256"] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(document))


def with_array(name, array):
    def change(path):
        arrays = dict(np.load(path)) | {name: array}
        np.savez(path, **arrays)
        return path.read_bytes()

    return change


def with_header_of(name, shape):
    """The array is there in name only: its header promises more than memory holds."""

    def change(path):
        content, header = io.BytesIO(), io.BytesIO()
        description = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, description)
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr(f"{name}.npy", header.getvalue())
        return content.getvalue()

    return change


def with_bytes_of_first_entry(in_directory, in_entry, value):
    """A field of the first entry, which the archive's directory holds once more."""

    def change(path):
        content = bytearray(path.read_bytes())
        content[content.find(b"PK\x01\x02") + in_directory] = value
        content[in_entry] = value
        return bytes(content)

    return change


@pytest.mark.parametrize(
    "archive",
    [
        lambda path: b"",
        with_array("psnr_db", np.zeros(3)),
        with_array("psnr_db", np.zeros(N, dtype=str)),
        with_array("ssim", np.array(1.0)),
        with_array("truth_power", np.zeros(BOX)),
        with_array("held_out", np.zeros(N)),
        with_array("motion_moving_cross", np.zeros(2)),
        with_array("fsc_unmasked", np.zeros((N, 3))),
        with_header_of("psnr_db", (10**12,)),
        with_bytes_of_first_entry(8, 6, 1),  # encrypted
        with_bytes_of_first_entry(10, 8, 99),  # packed in an unknown way
    ],
)
def test_arrays_that_are_not_those_of_an_evaluation_are_refused(archive, good, tmp_path):
    save_changed(good, tmp_path, archive=archive)
    with pytest.raises(TemporemError, match=r"cannot read .*; evaluate the run again"):
        load_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["box"], "x"),
        (["box"], -4),
        (["pixel_size_angstrom"], None),
        (["pixel_size_angstrom"], 0),
        (["fsc"], 3),
        (["motion"], {"nowhere": {}}),
        (["latents", "parameters"], []),
        (["latents", "parameters", "angle_degrees", "r2"], "1"),
        (["latents", "states"], []),
        (["states"], {}),
        (["settings"], {}),
        (["settings", "fsc_threshold"], "x"),
        (["settings", "low_pass_fraction"], None),
        (["settings", "bootstrap", "samples"], 10**12),
        (["settings", "bootstrap", "seed"], -1),
        (["settings", "bootstrap", "level"], 2),
        (["definitions", "masks", "voxel_fraction"], "x"),
        (["alignment"], {}),
        (["leakage"], {"states": 3}),
    ],
)
def test_documents_that_are_not_those_of_an_evaluation_are_refused(keys, value, good, tmp_path):
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    save_changed(good, tmp_path, change)
    said = r"(the evaluation in|evaluation\.npz: ).*; evaluate the run again"
    with pytest.raises(TemporemError, match=said):
        load_evaluation(tmp_path)


# --- compare


def test_the_better_run_wins_everywhere_and_the_signs_flip(poor, good):
    forth, back = compare(poor, good), compare(good, poor)
    for region, result in forth.regions.items():
        assert result.mean_gain.value > 0
        assert result.auc_gain.low > 0
        assert result.fraction_improved.value + result.fraction_tied <= 1
        reverse = back.regions[region]
        assert result.mean_fsc_gain_angstrom.value == pytest.approx(
            -reverse.mean_fsc_gain_angstrom.value
        )
        assert forth.motion[region].gain.low > 0
        assert forth.motion[region].gain.value == pytest.approx(-back.motion[region].gain.value)
    assert forth.regions["unmasked"].fraction_improved.value == 1
    assert back.regions["unmasked"].fraction_improved.value == 0
    assert forth.psnr_gain_db.low > 0
    assert forth.ssim_gain.low > 0
    json.dumps(forth.summary(), allow_nan=False)
    assert "gain" not in forth.summary()["regions"]["unmasked"]


def hand_made(crossings):
    """An evaluation whose frames' FSC falls from 1 to 0 between shells c − 1 and c, or never."""
    curves = np.array([[1.0] * c + [0.0] * (8 - c) for c in crossings])
    n = len(curves)
    sums = MotionSums(*[np.ones(n)] * 3)
    frames = Frames(
        rows=np.arange(n),
        movie=np.arange(n),
        particle_names=np.array(["m"] * n),
        frame_numbers=np.ones(n, int),
        held_out=np.zeros(n, bool),
    )
    return Evaluation(
        SETTINGS, frames, 16, 2.0, {"unmasked": curves}, np.zeros(n), np.zeros(n),
        {"unmasked": sums}, None, {}, np.ones(8),
    )  # fmt: skip


def test_equation_16_on_curves_made_by_hand():
    # Crossings at shells 3.5, 3.5, 5.5, never, never | 4.5, 3.5, 4.5, never, 6.5; a box of 32 Å.
    static, tempor = hand_made([4, 4, 6, 8, 8]), hand_made([5, 4, 5, 8, 7])
    result = compare(static, tempor).regions["unmasked"]
    expected = [1 - 3.5 / 4.5, 0, 1 - 5.5 / 4.5, 0, 1 - 8 / 6.5]
    np.testing.assert_allclose(result.gain, expected, atol=1e-12)
    assert result.fraction_improved.value == pytest.approx(0.2)
    assert result.fraction_tied == pytest.approx(0.4)
    assert result.n_both_never_crossed == 1
    assert result.mean_gain.value == pytest.approx(np.mean(expected))
    # Mean curves from shell 4: .6 .6 .4 .4 | .8 .4 .4 .2, which cross 0.5 at 5.5 | 4.75.
    assert result.mean_fsc_gain_angstrom.value == pytest.approx(32 / 5.5 - 32 / 4.75)
    assert result.auc_gain.value == pytest.approx((4.8 - 5.0) / 7)
    assert improvement(np.array([8.0]), np.array([6.0])) == 0.25


def test_intervals_are_of_paired_differences():
    # b is better by the same factor everywhere: the spread between movies must cancel.
    static, tempor = hand_made([2, 3, 4, 5]), hand_made([2, 3, 4, 5])
    half = dataclasses.replace(tempor, fsc={"unmasked": 0.5 + 0.5 * tempor.fsc["unmasked"]})
    gain = compare(static, half).regions["unmasked"].auc_gain
    own = compare(static, tempor).regions["unmasked"].auc_gain
    assert own == (0, 0, 0)
    assert gain.low <= gain.value <= gain.high
    shifted = dataclasses.replace(static, psnr_db=np.array([1.0, 5.0, 9.0, 2.0]))
    better = dataclasses.replace(static, psnr_db=np.array([3.0, 7.0, 11.0, 4.0]))
    assert compare(shifted, better).psnr_gain_db == pytest.approx((2, 2, 2))


def test_runs_that_cannot_be_compared_are_refused():
    a = hand_made([4, 4, 6, 8])
    with pytest.raises(TemporemError, match="pixel size"):
        compare(a, dataclasses.replace(a, pixel_size_angstrom=2.5))
    with pytest.raises(TemporemError, match="same frames"):
        compare(a, hand_made([4, 4, 6]))
    with pytest.raises(TemporemError, match="differently"):
        compare(a, dataclasses.replace(a, settings=EvaluationSettings(fsc_threshold=0.3)))
    with pytest.raises(TemporemError, match="different true volumes"):
        compare(a, dataclasses.replace(a, truth_power=1.1 * a.truth_power))
    compare(a, dataclasses.replace(a, truth_power=1.00001 * a.truth_power))
