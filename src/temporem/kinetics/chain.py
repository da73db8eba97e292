"""Hidden Markov chains in continuous time: the forward algorithm, batched over movies."""

from __future__ import annotations

import torch
from torch import Tensor

from temporem.kinetics.measurements import Packed


def forward(
    initial: Tensor, transitions: Tensor, index: Tensor, log_emission: Tensor
) -> tuple[Tensor, Tensor]:
    """Sum the likelihood of movies over all paths through K states (Rabiner 1989).

    Padding has an interval of 0 before it, which must leave states as they are.

    Args:
        initial: probabilities of the states in the first frame, ``(..., K)``.
        transitions: probabilities after each of G intervals, rows from, ``(..., G, K, K)``.
        index: interval before frames 1 … T − 1, ``(M, T − 1)``.
        log_emission: log-likelihood of every frame by state, ``(..., M, T, K)``; 0 for padding.

    Returns:
        Log-likelihoods ``(..., M)``, whose derivative by ``log_emission`` is the probability of
        every state given the whole movie; and probabilities of the states in the last frame,
        ``(..., M, K)``.
    """
    most = log_emission.detach().amax(dim=-1, keepdim=True)
    emission = (log_emission - most).exp()
    state = initial[..., None, :] * emission[..., 0, :]
    total = most.sum(dim=(-2, -1))
    for t in range(log_emission.shape[-2]):
        if t > 0:
            state = _propagate(state, transitions, index[:, t - 1]) * emission[..., t, :]
        norm = state.sum(-1, keepdim=True)
        total = total + norm.squeeze(-1).log()
        state = state / norm
    return total, state


def gaussian_emission(packed: Packed, centres: Tensor, variances: Tensor) -> Tensor:
    """Log-likelihood of frames if x is Gaussian in each of S states, ``(..., M, T, S)``.

    ``log ∫ N(x; μ, v) exp(h x − ½ J x²) dx = ½ (2 h μ − J μ² + v h²) / (1 + J v) − ½ log(1 + J v)``

    Args:
        packed: the frames.
        centres: μ, ``(..., S)``.
        variances: v, ``(..., S)``; 0 makes points of the states.
    """
    h, j = packed.score[..., None], packed.information[..., None]
    centres, variances = centres[..., None, None, :], variances[..., None, None, :]
    spread = 1 + j * variances
    square = 2 * h * centres - j * centres.square() + variances * h.square()
    return 0.5 * square / spread - 0.5 * spread.log()


def _propagate(state: Tensor, transitions: Tensor, index: Tensor) -> Tensor:
    if transitions.shape[-3] == 1:
        return state @ transitions[..., 0, :, :]
    reached = state[..., None, :, :] @ transitions  # (..., G, M, K)
    return reached[..., index, torch.arange(len(index)), :]
