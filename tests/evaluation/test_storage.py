"""Evaluations on disk: what is written is read back, and damage is refused."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from helpers.swing import BOX, N
from temporem.errors import TemporemError
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.metrics.fsc import FSC
from temporem.evaluation.storage import load_evaluation, save_evaluation
from temporem.evaluation.summary import summarise


def test_saved_evaluation_reads_back_the_same(good: Evaluation, tmp_path) -> None:
    path = save_evaluation(good, tmp_path)
    loaded = load_evaluation(tmp_path)
    assert loaded.frames.same_as(good.frames)
    assert loaded.settings == good.settings
    assert loaded.mask_fractions == good.mask_fractions
    assert summarise(loaded) == summarise(good)
    for metric in METRICS:
        assert list(loaded[metric]) == list(good[metric])
        for place, arrays in good[metric].items():
            for name, array in arrays.items():
                np.testing.assert_array_equal(loaded[metric][place][name], array)
    assert json.loads(path.read_text())["format"] == "temporem evaluation 3"
    with np.load(tmp_path / "evaluation.npz") as arrays:
        frames = FSC.per_frame(good["fsc"]["particle"], good)
        found = arrays["fsc/particle/resolution_angstrom"]
        np.testing.assert_array_equal(found, frames["resolution_angstrom"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evaluation.json", "evaluation.npz"]


def test_metrics_that_are_not_registered_are_passed_over(good, tmp_path, monkeypatch) -> None:
    save_evaluation(good, tmp_path)
    monkeypatch.delitem(METRICS, "motion")
    loaded = load_evaluation(tmp_path)
    assert not loaded["motion"]
    assert "motion" not in summarise(loaded)


def test_an_evaluation_is_not_overwritten_unasked(good, poor, tmp_path):
    save_evaluation(good, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(TemporemError, match="exists"):
        save_evaluation(poor, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    save_evaluation(poor, tmp_path, overwrite=True)
    assert not load_evaluation(tmp_path)["latents"]


def test_missing_and_damaged_evaluations_are_refused(good, tmp_path):
    with pytest.raises(TemporemError, match="temporem evaluate"):
        load_evaluation(tmp_path)
    path = save_evaluation(good, tmp_path)
    text = path.read_text()
    (tmp_path / "evaluation.npz").write_bytes(b"another file")
    with pytest.raises(TemporemError, match="not the file that"):
        load_evaluation(tmp_path)
    path.write_text(text.replace("evaluation 3", "evaluation 0"))
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
        with_array("image_quality/psnr_db", np.zeros(3)),
        with_array("image_quality/psnr_db", np.zeros(N, dtype=str)),
        with_array("image_quality/ssim", np.array(1.0)),
        with_array("truth_power", np.zeros(BOX)),
        with_array("held_out", np.zeros(N)),
        with_array("motion/moving/cross", np.zeros(2)),
        with_array("fsc/unmasked/curves", np.zeros((N, 3))),
        with_array("states/moving/n_frames", np.zeros(2, dtype=int)),
        with_header_of("image_quality/psnr_db", (10**12,)),
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
        (["n_left_out"], "x"),
        (["arrays", "places"], 3),
        (["arrays", "places", "fsc"], 3),
        (["arrays", "places", "fsc"], ["moving"]),
        (["arrays", "places", "motion"], ["nowhere"]),
        (["arrays", "places", "latents"], [["angle_degrees"]]),
        (["arrays", "places", "poses"], [""]),
        (["settings"], {}),
        (["settings", "fsc_threshold"], "x"),
        (["settings", "low_pass_fraction"], None),
        (["settings", "bootstrap", "samples"], 10**12),
        (["settings", "bootstrap", "seed"], -1),
        (["settings", "bootstrap", "level"], 2),
        (["masks", "voxel_fraction"], "x"),
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
