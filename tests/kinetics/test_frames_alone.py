"""What frames say alone comes out of posteriors that smoothing has mixed."""

from __future__ import annotations

import pytest
import torch

from temporem.kinetics.frames_alone import along_axis, information_alone
from temporem.linear.dynamics import Dynamics, Transitions
from temporem.linear.smoother import smooth

INTERVALS = torch.tensor([1.0, 2.0, 1.0, 0.5, 1.0, 7.0], dtype=torch.float64)


def chain(q: int, *, temporal: bool = True) -> Transitions:
    torch.manual_seed(q)
    skew = 0.2 * torch.randn(q, q, dtype=torch.float64)
    decay = 0.4 * torch.eye(q, dtype=torch.float64) + 0.1 * torch.ones(q, q).double().tril(-1)
    return Dynamics(skew - skew.mT, decay, temporal).transitions(INTERVALS)


def frames(q: int) -> tuple[torch.Tensor, torch.Tensor]:
    root = torch.randn(len(INTERVALS) + 1, q, q + 1, dtype=torch.float64)
    information = root @ root.mT
    score = 2 * torch.randn(len(information), q, dtype=torch.float64)
    information[3], score[3] = 0, 0  # a frame that says nothing
    return information, score


@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("temporal", [True, False])
def test_smoothing_is_undone(q: int, temporal: bool) -> None:
    """Also with gaps, a frame without information, and latents as single precision stores them."""
    steps = chain(q, temporal=temporal)
    information, score = frames(q)
    batch = Transitions(steps.matrix[None], steps.noise[None])
    found = smooth(information[None], score[None], batch)
    mean, covariance = found.mean[0].float(), found.covariance[0].float()
    j, h = information_alone(mean, covariance, steps)
    torch.testing.assert_close(j, information, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(h, score, atol=1e-4, rtol=1e-4)


def test_a_movie_of_one_frame_has_only_the_prior() -> None:
    mean = torch.tensor([[0.6]]).double()
    none = Transitions(torch.zeros(0, 1, 1).double(), torch.zeros(0, 1, 1).double())
    j, h = information_alone(mean, torch.tensor([[[0.25]]]).double(), none)
    assert j.item() == pytest.approx(1 / 0.25 - 1)
    assert h.item() == pytest.approx(0.6 / 0.25)


def test_an_axis_takes_its_own_part_of_the_information() -> None:
    """With independent latents it is that of the latent; a correlated one shares its doubt."""
    information = torch.diag(torch.tensor([3.0, 0.5]).double())[None]
    score = torch.tensor([[1.5, -0.2]]).double()
    j, h = along_axis(information, score, torch.tensor([1.0, 0.0]).double())
    assert (j.item(), h.item()) == pytest.approx((3.0, 1.5))
    information[0, 0, 1] = information[0, 1, 0] = 1.0
    j, _ = along_axis(information, score, torch.tensor([1.0, 0.0]).double())
    assert j.item() < 3.0
