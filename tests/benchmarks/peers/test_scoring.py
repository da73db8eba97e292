"""Other people's programs: mistakes that would make a score wrong without a word."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from benchmarks.common import Environment, Usage
from benchmarks.peers.protocol import RESULT, Training, read_latents
from benchmarks.peers.scoring import VolumeFiles, agrees, check, correlation, train_and_score

from temporem.errors import TemporemError
from temporem.evaluation.api import frames_to_evaluate
from temporem.evaluation.storage import load_evaluation
from temporem.evaluation.values import value_of
from temporem.frames.readers import read_dataset
from temporem.io.mrc import write_volume
from temporem.simulation.truth import read_truth


class TestVolumeFiles:
    def test_axes_and_rows_of_files_that_others_wrote(self, tmp_path):
        volumes = np.zeros((2, 8, 8, 8), dtype=np.float32)
        volumes[0, 3, 4, 5] = volumes[1, 4, 6, 4] = 1  # off the diagonal
        files = VolumeFiles(tmp_path, 8)
        for row, volume in zip((7, 1_200_000), volumes, strict=True):
            with mrcfile.new(files.path(row)) as file:  # (z, y, x), x fastest
                file.set_data(volume)
        found = files.volumes(np.array([1_200_000, 7]))
        axis = torch.arange(8) - 4.0
        place = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).flip(0)  # x, y, z
        phase = torch.einsum("pa,azyx->pzyx", files.support.frequencies.float(), place)
        waves = torch.exp(-2j * torch.pi * phase / 8) / 8**1.5
        expected = torch.einsum("pzyx,bzyx->bp", waves, torch.from_numpy(volumes[::-1].copy()) + 0j)
        torch.testing.assert_close(found, expected)

    def test_missing_or_of_another_box(self, tmp_path):
        files = VolumeFiles(tmp_path, 8)
        with pytest.raises(TemporemError, match=r"no volume .*frame_000000\.mrc"):
            files.volumes(np.array([0]))
        write_volume(files.path(0), np.zeros((6, 6, 6)), 2.5)
        with pytest.raises(TemporemError, match="6 x 6 x 6 voxels; expected 8 x 8 x 8"):
            files.volumes(np.array([0]))


class TestLatents:
    @pytest.mark.parametrize(
        "values", [np.array([{}], dtype=object), np.array([[0, np.nan]]), np.array(1.0)]
    )
    def test_pickles_and_numbers_that_are_none(self, values, tmp_path):
        np.save(tmp_path / "z.npy", values)
        with pytest.raises(TemporemError, match="latents"):
            read_latents(tmp_path / "z.npy")


class TestCheck:
    def volume(self):
        axis = torch.arange(16) - 8
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        return (-(((x - 1) / 1.2) ** 2) - (y / 1.0) ** 2 - ((z + 1) / 1.5) ** 2 - x * z / 3).exp()

    def agrees(self, found):
        return agrees(correlation(found.numpy(), self.volume().numpy()))

    @pytest.mark.parametrize(
        "change",
        [
            lambda v: -v,
            lambda v: v.flip(0).roll(1, 0),
            lambda v: v.transpose(0, 2),
            lambda v: v.roll(1, 1),
        ],
        ids=["sign", "hand", "axes", "shift"],
    )
    def test_a_mistake_in_a_convention_is_found_and_a_scale_is_none(self, change):
        assert self.agrees(7 * self.volume() + 1)
        assert not self.agrees(change(self.volume()))


class Oracle:
    """A program that knows the truth and writes it on a scale of its own."""

    def __init__(self, monkeypatch, *, forgets=0):
        monkeypatch.setattr(Environment, "require", lambda self: None)
        self.environment, self.forgets = Environment(Path("oracle"), "oracle", "1"), forgets
        self.trained, self.decoded, self.breaks = 0, [], None

    def models(self, training):
        return {RESULT: "last", "other": "first"}

    def train(self, dataset, work, training):
        assert training == Training(z_dim=1)
        if self.breaks == "train":
            (work / "half").touch()
            raise KeyboardInterrupt
        assert not any(work.iterdir())
        self.trained += 1
        self.dataset, self.truth = read_dataset(dataset), read_truth(dataset)
        return Usage(2.0, 1.0, 5)

    def back_project(self, dataset, work):
        truth = read_truth(dataset)
        write_volume(work / "a.mrc", 3 * truth.support.ifft(truth.volumes([0]))[0].numpy(), 1.0)
        return work / "a.mrc"

    def latents(self, work, model):
        return self.truth.parameters.numpy()[self.forgets :]

    def decode(self, work, model, latents, files):
        if self.breaks == model:
            raise KeyboardInterrupt
        self.decoded.append(model)
        rows = frames_to_evaluate(self.dataset, every=2).rows
        assert np.array_equal(latents, self.truth.parameters.numpy()[rows])
        for file, coefficients in zip(files, self.truth.volumes(rows), strict=True):
            write_volume(file, 40 * self.truth.support.ifft(coefficients).numpy(), 1.0)


class TestScoring:
    def run(self, peer, dataset, output, **options):
        train_and_score(peer, dataset, output, Training(1), every=2, **options)

    def test_the_truth_gets_full_marks_on_the_frames_of_temporem_evaluate(
        self, tiny_dataset, tmp_path, monkeypatch
    ):
        self.run(Oracle(monkeypatch), tiny_dataset, tmp_path / "out")
        evaluation = load_evaluation(tmp_path / "out")
        assert evaluation.frames.same_as(frames_to_evaluate(read_dataset(tiny_dataset), every=2))
        assert value_of(evaluation, "fsc", "auc", "unmasked") > 0.999
        assert value_of(evaluation, "motion", "correlation", "moving") > 0.999
        assert next(iter(evaluation["latents"].values()))["abs_spearman"] > 0.99
        assert (tmp_path / "out" / "other" / "evaluation.json").is_file()
        with pytest.raises(TemporemError, match="exists"):
            self.run(Oracle(monkeypatch), tiny_dataset, tmp_path / "out")

    def test_resuming_does_what_is_missing(self, tiny_dataset, tmp_path, monkeypatch):
        peer = Oracle(monkeypatch)
        for peer.breaks in ("train", "first"):  # a training that stopped starts anew
            with pytest.raises(KeyboardInterrupt):
                self.run(peer, tiny_dataset, tmp_path / "out", resume=True)
        peer.breaks = None
        self.run(peer, tiny_dataset, tmp_path / "out", resume=True)
        assert (peer.trained, peer.decoded) == (1, ["last", "first"])

    def test_a_latent_for_every_frame(self, tiny_dataset, tmp_path, monkeypatch):
        with pytest.raises(TemporemError, match="19 latents; expected 20, one a frame"):
            self.run(Oracle(monkeypatch, forgets=1), tiny_dataset, tmp_path / "out")

    def test_the_truth_passes_the_check(self, monkeypatch):
        assert check(Oracle(monkeypatch), movies=2)
