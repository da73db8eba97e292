"""Evaluation in one call: of volumes in memory and of folders that any program wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.commands import command, succeed
from temporem.errors import TemporemError
from temporem.evaluation.api import evaluate, frames_to_evaluate
from temporem.evaluation.sources import VolumeFolder
from temporem.evaluation.values import value_of
from temporem.frames.readers import read_dataset
from temporem.io.mrc import write_volume
from temporem.simulation.truth import Truth, read_truth

PIXEL = 8.0


@pytest.fixture(scope="module")
def truth(tiny_dataset: Path) -> Truth:
    return read_truth(tiny_dataset)


def write_volumes(
    folder: Path, truth: Truth, rows: range, name: str = "frame_{:06d}.mrc", blur: float = 0.0
) -> Path:
    """The true volumes of some rows as files, of other scale and perhaps blurred."""
    folder.mkdir()
    damped = (-2 * (torch.pi * blur * truth.support.radii / truth.config.box).square()).exp()
    volumes = truth.support.ifft(truth.volumes(list(rows)) * damped).numpy()
    for row, volume in zip(rows, volumes, strict=True):
        write_volume(folder / name.format(row), 3 * volume, PIXEL)
    return folder


class TestInMemory:
    def test_the_truth_is_perfect_and_has_latents_if_it_says_so(self, truth: Truth) -> None:
        class Known:
            latent_means = truth.parameters

            def volumes(self, rows: np.ndarray) -> Tensor:
                return truth.volumes(rows)

        plain, known = evaluate(truth, truth, every=2), evaluate(Known(), truth, every=2)
        assert value_of(plain, "fsc", "auc", "unmasked") > 0.999
        assert not plain["latents"]
        assert known["latents"]["angle_degrees"]["abs_spearman"] > 0.999
        other = evaluate(Known(), truth, every=2, latents=np.ones((truth.n_frames, 1)))
        assert other["latents"]["angle_degrees"]["abs_spearman"] == 0

    def test_the_truth_may_be_named_by_its_dataset(self, truth: Truth, tiny_dataset: Path) -> None:
        there, here = evaluate(truth, str(tiny_dataset)), evaluate(truth, truth)
        assert there.frames.same_as(here.frames)
        np.testing.assert_array_equal(there.truth_power, here.truth_power)

    def test_latents_and_poses_are_of_all_frames(self, truth: Truth) -> None:
        with pytest.raises(TemporemError, match="3 latents for 20 frames"):
            evaluate(truth, truth, latents=np.zeros((3, 1)))
        with pytest.raises(TemporemError, match="4 poses for 20 frames"):
            evaluate(truth, truth, poses=truth.poses[:4])

    def test_frames_are_those_of_the_dataset_thinned_out_in_every_movie(
        self, truth: Truth, tiny_dataset: Path
    ) -> None:
        dataset = read_dataset(tiny_dataset)
        for every in (1, 3):
            frames = frames_to_evaluate(truth, every=every)
            assert frames.same_as(frames_to_evaluate(dataset, every=every))
        assert len(np.unique(frames.movie)) == len(dataset.movies)
        assert len(np.unique(truth.states[frames.rows])) == len(np.unique(truth.states))


class TestFolders:
    def test_volumes_written_from_the_truth_have_fsc_1(self, truth: Truth, tmp_path) -> None:
        folder = write_volumes(tmp_path / "v", truth, range(truth.n_frames))
        found = evaluate(folder, truth)
        assert found["fsc"]["unmasked"]["curves"].min() > 0.999
        assert value_of(found, "motion", "correlation", "moving") > 0.999
        assert found.n_left_out == 0

    def test_blurred_volumes_keep_their_fsc_and_lose_motion_and_psnr(
        self, truth: Truth, tmp_path
    ) -> None:
        """FSC normalises every shell; a blur shows in numbers that do not."""
        rows = range(truth.n_frames)
        sharp = evaluate(write_volumes(tmp_path / "sharp", truth, rows), truth)
        blurred = evaluate(write_volumes(tmp_path / "blurred", truth, rows, blur=0.8), truth)
        assert value_of(blurred, "fsc", "auc", "unmasked") > 0.98
        assert value_of(blurred, "motion", "correlation", "unmasked") < 0.95
        psnr = [value_of(item, "image_quality", "psnr_db") for item in (sharp, blurred)]
        assert psnr[1] < psnr[0] - 20

    def test_frames_without_a_volume_are_left_out_and_counted(self, truth: Truth, tmp_path) -> None:
        folder = write_volumes(tmp_path / "v", truth, range(4, 9))
        (folder / "mean.mrc").write_bytes(b"of no frame")
        found = evaluate(folder, truth)
        assert sorted(found.frames.rows) == [4, 5, 6, 7, 8]
        assert found.n_left_out == 15
        thinned = evaluate(folder, truth, every=2)
        assert len(thinned.frames) + thinned.n_left_out == 10

    def test_one_file_for_each_frame_is_in_natural_order(self, truth: Truth, tmp_path) -> None:
        rows = range(truth.n_frames)
        folder = write_volumes(tmp_path / "v", truth, rows, name="vol_{}.mrc")
        assert evaluate(folder, truth)["fsc"]["unmasked"]["curves"].min() > 0.999
        (folder / "vol_7.mrc").unlink()
        with pytest.raises(TemporemError, match=r"19 MRC files without a row .* of the 20 frames"):
            evaluate(folder, truth)

    def test_volumes_of_another_size_or_dataset_are_refused(self, truth: Truth, tmp_path) -> None:
        folder = write_volumes(tmp_path / "v", truth, range(3))
        write_volume(folder / "frame_000001.mrc", np.zeros((16,) * 3), 1.0)
        with pytest.raises(TemporemError, match=r"frame_000001.mrc has voxels of 1 Å; expected 8"):
            evaluate(folder, truth)
        write_volume(folder / "frame_000001.mrc", np.zeros((8,) * 3), PIXEL)
        with pytest.raises(TemporemError, match="8 x 8 x 8 voxels; expected 16 x 16 x 16"):
            evaluate(folder, truth)
        (folder / "frame_000020.mrc").touch()
        with pytest.raises(TemporemError, match="row that the dataset does not have"):
            VolumeFolder(folder, 20, 16, PIXEL)
        with pytest.raises(TemporemError, match="no truth"):
            evaluate(folder)
        with pytest.raises(TemporemError, match="neither a run nor a folder of volumes"):
            evaluate(tmp_path, truth)


class TestCommand:
    def test_a_folder_is_evaluated_beside_its_volumes_or_elsewhere(
        self, truth: Truth, tiny_dataset: Path, tmp_path
    ) -> None:
        folder = write_volumes(tmp_path / "others", truth, range(0, 20, 2))
        printed = succeed("evaluate", folder, "--truth", tiny_dataset)
        assert printed.startswith("others resolves the frames to 16.00 Å on average")
        assert "10 of 20 frames lack a volume" in printed
        assert printed.endswith(f"Next: temporem compare OTHER {folder}\n")
        assert json.loads((folder / "evaluation.json").read_text())["n_left_out"] == 10
        succeed("evaluate", folder, "--truth", tiny_dataset, "-o", tmp_path / "here")
        assert (tmp_path / "here" / "evaluation.npz").is_file()
        assert "--truth" in command("evaluate", folder, "--overwrite").err

    def test_eight_rows_are_shown_unless_all_are_wanted(
        self, truth: Truth, tiny_dataset: Path, tmp_path
    ) -> None:
        folder = write_volumes(tmp_path / "v", truth, range(20))
        arguments = ("evaluate", folder, "--truth", tiny_dataset, "--overwrite")
        short, full = (succeed(*arguments, *more) for more in ((), ("--all",)))
        assert "SSIM" in full
        assert "SSIM" not in short
        for label in ("Resolution, whole box (Å)", "FSC area, moving region", "PSNR (dB)"):
            assert label in short
            assert label in full
