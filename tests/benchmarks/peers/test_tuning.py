"""cryoDRGN's options are chosen by the plateau of its own loss."""

from itertools import pairwise
from pathlib import Path

import pytest
from benchmarks.common import Environment, Usage
from benchmarks.peers.__main__ import main
from benchmarks.peers.tuning import plateau, read_losses

from temporem.errors import TemporemError

SAID = "Average gen loss = {0}, KLD = 0.25, total loss = {0}; Finished in 0:00:01.5\n"


@pytest.fixture
def program(monkeypatch):
    """Stand for cryoDRGN: rate 1e-3 falls fastest and stops, rate 1e-4 falls to the end.

    Returns the words of each training.
    """
    trainings = []

    def run(self, program, *words, log):
        words = [str(word) for word in words]
        value = dict(pairwise(words))
        if words[0] == "train_vae":
            trainings.append(words)
            (train := Path(value["-o"])).mkdir()
            fall, least = {"1e-4": (0.01, 0.0), "1e-3": (0.1, 0.5)}[value["--lr"]]
            losses = [max(1 - fall * epoch, least) for epoch in range(1, int(value["-n"]) + 1)]
            (train / "run.log").write_text("".join(SAID.format(loss) for loss in losses))
        return Usage(3.0, 2.0, 2**20)

    monkeypatch.setattr(Environment, "require", lambda self: None)
    monkeypatch.setattr(Environment, "run", run)
    return trainings


def command(dataset, output, *rates, epochs=20):
    words = ["tune", str(dataset), "-o", str(output), "--z-dim", "1", "--seed", "100"]
    return [*words, "--batches", "8", "--epochs", str(epochs), "--rates", *rates]


def test_the_least_loss_is_first_and_has_its_plateau(tiny_dataset, tmp_path, program, capsys):
    assert main(command(tiny_dataset, tmp_path / "out", "1e-4", "1e-3")) == 0
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert first.split() == ["0.500000", "14", "256", "8", "1e-3", "2"]
    assert second.split()[1] == "none"
    assert not any("--ind" in words for words in program)  # all frames are trained on


def test_points_that_are_known_are_kept(tiny_dataset, tmp_path, program):
    main(command(tiny_dataset, tmp_path / "out", "1e-4"))
    table = tmp_path / "out/tuning.csv"
    before = table.read_text()
    assert before.count("\n") == 1 + 20
    main(command(tiny_dataset, tmp_path / "out", "1e-4"))
    assert (table.read_text(), len(program)) == (before, 1)
    main(command(tiny_dataset, tmp_path / "out", "1e-4", "1e-3"))
    assert table.read_text().startswith(before)
    assert len(program) == 2
    main(command(tiny_dataset, tmp_path / "out", "1e-4", epochs=40))
    assert len(program) == 3


def test_a_plateau_is_a_fall_of_less_than_a_quarter_percent():
    assert plateau([1.0] * 9) is None
    assert plateau([1.0] * 10) == 10
    assert plateau([1 - 0.0006 * epoch for epoch in range(100)]) is None
    assert plateau([1 - 0.0004 * epoch for epoch in range(100)]) == 10


def test_too_few_epochs_are_an_error(tiny_dataset, tmp_path, program, capsys):
    assert main(command(tiny_dataset, tmp_path / "out", "1e-4", epochs=9)) == 2
    assert "9 epochs; expected 10 or more" in capsys.readouterr().err


def test_a_log_without_losses_is_an_error(tmp_path):
    log = tmp_path / "run.log"
    log.write_text("killed\n")
    with pytest.raises(TemporemError, match="no losses"):
        read_losses(log)
