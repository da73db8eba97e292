"""Choices of the paper that no setting has do what they say, and nothing is left of them."""

import numpy as np
import pytest
import torch
from benchmarks.deviations import CHOICES

from temporem.dvae import inference, schedule
from temporem.dvae.inference import SequenceInference
from temporem.dvae.priors import StandardPrior
from temporem.dvae.schedule import Schedule
from temporem.frames import frames
from temporem.volumes.fourier_network import FourierNetwork


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part that a choice takes the place of comes back after a test."""
    for owner, name in (
        (SequenceInference, "forward"),
        (SequenceInference, "__init__"),
        (Schedule, "learning_rate"),
        (FourierNetwork, "set_amplitude"),
        (inference, "log_gaps"),
        (frames, "frame_intervals"),
        (schedule, "KL_RISE_EPOCHS"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))


def network() -> SequenceInference:
    torch.manual_seed(0)
    return SequenceInference(5, 2, 8, "ST-LR", StandardPrior(), 0.0)


def kl_of_two_movies(times: list[float]) -> torch.Tensor:
    features = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    lengths, when = torch.tensor([4, 2]), torch.tensor(times)
    with torch.no_grad():
        return network()(features, lengths, when, None).kl


EVEN = [0.0, 1.0, 2.0, 3.0, 0.0, 1.0]
UNEVEN = [0.0, 1.0, 4.0, 5.0, 0.0, 7.0]


def test_prior_begins_at_the_second_frame() -> None:
    before = kl_of_two_movies(EVEN)
    CHOICES["prior-from-second-frame"]()
    after = kl_of_two_movies(EVEN)
    assert (before > 0).all()
    assert after[[0, 4]].tolist() == [0, 0]
    torch.testing.assert_close(after[[1, 2, 3, 5]], before[[1, 2, 3, 5]])


def test_times_say_nothing() -> None:
    even = kl_of_two_movies(EVEN)
    assert not torch.equal(kl_of_two_movies(UNEVEN), even)
    CHOICES["order-without-times"]()
    assert torch.equal(kl_of_two_movies(UNEVEN), kl_of_two_movies(EVEN))
    movies = type("Movies", (), {"n_frames": 6})()
    intervals, index = frames.frame_intervals(movies)
    assert np.all(intervals[index].numpy() == 1)


def test_envelope_is_flat() -> None:
    CHOICES["no-envelope"]()
    made = FourierNetwork(8, 1, 8)
    made.set_amplitude(torch.linspace(3, 1, 5))
    assert (made.envelope == 1).all()


def test_combiner_is_deep() -> None:
    shallow = sum(p.numel() for p in network().parameters())
    CHOICES["deep-combiner"]()
    assert sum(p.numel() for p in network().parameters()) > shallow
    assert kl_of_two_movies(EVEN).isfinite().all()


def test_kl_and_rate_do_not_change_in_training() -> None:
    CHOICES["kl-at-once"]()
    assert schedule.KL_RISE_EPOCHS == 0
    CHOICES["constant-rate"]()
    plan = type("Plan", (), {"training": type("Training", (), {"learning_rate": 0.5})()})()
    assert Schedule.learning_rate(plan, schedule.Position(epoch=31)) == 0.5
