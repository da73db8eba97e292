"""cryoDRGN and RECOVAR: what we tell them, and what we make of their files."""

import os
import pickle

import numpy as np
import pytest
from benchmarks.common import CommandFailed, Environment, Usage
from benchmarks.peers.__main__ import main
from benchmarks.peers.cryodrgn import CryoDRGN
from benchmarks.peers.protocol import Training
from benchmarks.peers.recovar import Recovar, clusters, write_pickles

from temporem.errors import TemporemError
from temporem.evaluation.storage import load_evaluation
from temporem.frames.readers import read_dataset
from temporem.io.mrc import read_volume, write_volume


class TestCryoDRGN:
    def test_epochs_that_are_scored(self, tmp_path):
        peer = CryoDRGN(tmp_path)
        found = peer.models(Training(1, epochs=40, also=(10, 20)))
        assert list(found.items()) == [(".", "40"), ("epoch-10", "10"), ("epoch-20", "20")]
        with pytest.raises(TemporemError, match="also 40; expected epochs below 40"):
            peer.models(Training(1, epochs=40, also=(40,)))
        with pytest.raises(TemporemError, match="no --epochs"):
            peer.models(Training(1))

    def test_every_epoch_that_is_scored_is_kept(self, tmp_path, monkeypatch):
        commands = []
        monkeypatch.setattr(
            Environment, "run", lambda self, *words, log: commands.append(words) or Usage(1, 1, 1)
        )
        CryoDRGN(tmp_path).train(tmp_path, tmp_path, Training(2, 40, also=(30,), more=("-b", "8")))
        train = commands[-1]
        assert train[train.index("--checkpoint") + 1] == 10
        assert train[-2:] == ("-b", "8")


class TestRecovar:
    def test_it_has_no_epochs(self, tmp_path):
        assert Recovar(tmp_path).models(Training(1)) == {".": "kernel"}
        with pytest.raises(TemporemError, match="RECOVAR has no epochs"):
            Recovar(tmp_path).models(Training(1, epochs=3))

    def test_poses_and_ctf_are_those_of_cryodrgn(self, tiny_dataset, tmp_path):
        files = write_pickles(tiny_dataset, tmp_path)
        (rotations, origins), ctf = (pickle.loads(file.read_bytes()) for file in files)
        movies = read_dataset(tiny_dataset)
        width = movies.box * movies.pixel_size_angstrom
        np.testing.assert_allclose(rotations, movies.poses.rotations, atol=1e-6)
        np.testing.assert_allclose(origins * width, -movies.poses.shifts_angstrom, atol=1e-4)
        assert ctf.shape == (movies.n_frames, 9)
        assert ctf[0, :2].tolist() == [movies.box, movies.pixel_size_angstrom]
        np.testing.assert_allclose(ctf[:, 2], movies.ctf.defocus_u_angstrom, rtol=1e-6)

    def test_the_mean_survives_the_error_after_it(self, tiny_dataset, tmp_path, monkeypatch):
        mean = tmp_path / "fit/output/volumes/mean.mrc"

        def run(self, *words, log):
            raise CommandFailed("params.pkl is missing")

        monkeypatch.setattr(Environment, "run", run)
        with pytest.raises(CommandFailed):
            Recovar(tmp_path).back_project(tiny_dataset, tmp_path)
        mean.parent.mkdir(parents=True)
        mean.touch()
        assert Recovar(tmp_path).back_project(tiny_dataset, tmp_path) == mean

    def test_few_points_are_the_rows_and_many_their_clusters(self):
        few = np.array([[0.0], [2.0], [0.0]])
        points, nearest = clusters(few, most=2)
        assert np.array_equal(points[nearest], few)
        many = np.concatenate([np.linspace(-1, 1, 50), np.linspace(9, 11, 50)])[:, None]
        points, nearest = clusters(many, most=2)
        np.testing.assert_allclose(points[nearest][[0, 99], 0], [0, 10], atol=0.1)
        assert len(set(nearest[:50])) == len(set(nearest[50:])) == 1

    def test_each_frame_has_the_volume_of_its_cluster(self, tmp_path, monkeypatch):
        def run(self, program, command, fit, *words, log):
            assert "--zdim1" in words  # a column is one point for each row
            folder, z_file = (words[words.index(word) + 1] for word in ("-o", "--latent-points"))
            (folder / "all_volumes").mkdir(parents=True)
            for k, z in enumerate(np.loadtxt(z_file)):
                write_volume(folder / f"all_volumes/vol{k:04d}.mrc", np.full((4, 4, 4), z), 1.0)
            return Usage(1, 1, 1)

        monkeypatch.setattr(Environment, "run", run)
        latents = np.array([[3.0], [-1.0], [3.0]], dtype=np.float32)
        files = [tmp_path / f"{k}.mrc" for k in range(3)]
        Recovar(tmp_path).decode(tmp_path, "kernel", latents, files)
        assert [read_volume(file, 4)[0, 0, 0] for file in files] == [3, -1, 3]


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["cryodrgn", "recovar"])
def test_the_real_program(peer, tiny_dataset, tmp_path):
    """It reads our conventions as we do, and is trained and scored."""
    environment = os.environ.get(f"TEMPOREM_{peer.upper()}", f".venv-{peer}")
    assert main(["check", peer, "--environment", environment]) == 0
    command = ["run", peer, str(tiny_dataset), "-o", str(tmp_path / "out"), "--z-dim", "1"]
    epochs = ["--epochs", "2"] if peer == "cryodrgn" else []
    assert main([*command, *epochs, "--environment", environment]) == 0
    assert load_evaluation(tmp_path / "out")["latents"]
