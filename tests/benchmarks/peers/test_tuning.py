"""cryoDRGN's options are chosen by movies that the training did not see."""

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from benchmarks.common import Environment, Usage
from benchmarks.peers.__main__ import main
from benchmarks.peers.tuning import read_losses, split

from temporem.errors import TemporemError
from temporem.frames.readers import read_dataset

SAID = "Average gen loss = {0}, KLD = 0.25, total loss = {0}; Finished in 0:00:01.5\n"


@pytest.fixture
def program(monkeypatch):
    """Stand for cryoDRGN: high rates fit the shown movies best, rate 3e-4 the others.

    Returns the rows of each call.
    """
    calls = []

    def run(self, program, *words, log):
        words = [str(word) for word in words]
        value = dict(pairwise(words))
        if "--ind" in words:
            calls.append(pickle.loads(Path(value["--ind"]).read_bytes()))
        if words[0] == "train_vae":
            train = Path(value["-o"])
            train.mkdir()
            first = {"1e-4": 0.9, "3e-4": 0.8, "1e-3": 0.7}[value["--lr"]]
            losses = [first - 0.01 * epoch for epoch in range(int(value["-n"]))]
            (train / "run.log").write_text("".join(SAID.format(loss) for loss in losses))
            (train / "rate").write_text(value["--lr"])
        for weights in (Path(b) for a, b in pairwise(words[2:]) if a == value.get("eval_images")):
            rate = (weights.parent / "rate").read_text()
            least = {"1e-4": 0.9, "3e-4": 0.8, "1e-3": 0.95}[rate]
            epoch = int(weights.suffixes[0][1:])
            with log.open("a") as file:
                file.write(SAID.format(least + 0.001 * epoch))  # it overfits
        return Usage(3.0, 2.0, 2**20)

    monkeypatch.setattr(Environment, "require", lambda self: None)
    monkeypatch.setattr(Environment, "run", run)
    return calls


def command(dataset, output, *rates):
    words = ["tune", str(dataset), "-o", str(output), "--z-dim", "1", "--seed", "100"]
    return [*words, "--batches", "8", "--epochs", "4", "2", "--rates", *rates]


def test_the_loss_of_unseen_movies_chooses(tiny_dataset, tmp_path, program, capsys):
    assert main(command(tiny_dataset, tmp_path / "out", "1e-4", "3e-4", "1e-3")) == 0
    first = capsys.readouterr().out.splitlines()[1]
    assert first.split() == ["0.802000", "2", "256", "8", "3e-4", "2"]
    shown, hidden = program[:2]
    dataset = read_dataset(tiny_dataset)
    assert np.array_equal(np.sort([*shown, *hidden]), np.arange(dataset.n_frames))
    names = np.array(dataset.particle_names)
    assert not {*names[shown]} & {*names[hidden]}


def test_points_that_are_known_are_kept(tiny_dataset, tmp_path, program):
    main(command(tiny_dataset, tmp_path / "out", "1e-4"))
    table = tmp_path / "out/tuning.csv"
    before, calls = table.read_text(), len(program)
    main(command(tiny_dataset, tmp_path / "out", "1e-4"))
    assert (table.read_text(), len(program)) == (before, calls)
    main(command(tiny_dataset, tmp_path / "out", "1e-4", "3e-4"))
    assert table.read_text().startswith(before)
    assert len(program) == 2 * calls
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"tuning.csv"}


def test_every_fifth_movie_is_held_out():
    movies = [np.array([3 * k + 2, 3 * k, 3 * k + 1]) for k in range(11)]
    rows = split(movies)
    assert rows.hidden.tolist() == [12, 13, 14, 27, 28, 29]
    assert sorted([*rows.shown, *rows.hidden]) == [*range(33)]
    with pytest.raises(TemporemError, match="4 movies"):
        split(movies[:4])


def test_a_log_without_losses_is_an_error(tmp_path):
    log = tmp_path / "run.log"
    log.write_text("killed\n")
    with pytest.raises(TemporemError, match="no losses"):
        read_losses(log)
