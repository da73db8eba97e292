"""Inference of latents from features of images: frame by frame, or movie by movie."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from temporem.dvae.latents import Latents
from temporem.dvae.priors import GatedTransition, StandardPrior
from temporem.dvae.settings import InferenceStructure
from temporem.frames.frame_noise import FrameNoise
from temporem.physics.gaussian import gaussian_kl, sample_gaussian
from temporem.volumes.layers import ResidualMLP

_LOG_VARIANCE_RANGE = (-12.0, 4.0)


class FrameInference(nn.Module):
    """Posterior ``q(z_t | X_t)`` of the static model: every frame alone, with the prior N(0, 1).

    This is the amortised inference of a variational auto-encoder (Kingma and Welling 2014), as in
    CryoDRGN (Zhong et al. 2021).
    """

    def __init__(self, features: int, z_dim: int) -> None:
        super().__init__()
        self.n_features, self.z_dim = features, z_dim
        self.read_out = nn.Linear(features, 2 * z_dim)

    def forward(
        self, features: Tensor, lengths: Tensor, times: Tensor, noise: FrameNoise | None
    ) -> Latents:
        """Infer latents of F frames from ``features (F, W)`` alone."""
        mean, log_variance = _posterior(self.read_out(features))
        zero = torch.zeros_like(mean)
        kl = gaussian_kl(mean, log_variance, zero, zero)
        epsilon = noise.normal(*mean.shape) if noise else None
        return Latents(sample_gaussian(mean, log_variance, epsilon), mean, log_variance, kl)


class SequenceInference(nn.Module):
    """Posterior ``q(z_t | z_{t−1}, X_{1:T})`` of a structured inference network (TEMPOR Eq. 9).

    The networks are those of Krishnan et al. (2017). Recurrent networks read the features of a
    movie forwards, backwards or both. The combiner is the mean of the terms of the structure,
    ``g_t = mean(tanh(W z_{t−1}), h→_t, h←_t)``. A residual MLP computes mean and log-variance of
    z_t from it.

    ========= ========== ========= ============
    structure z_{t−1}    past      future
    ========= ========== ========= ============
    ST-LR     yes        yes       yes
    MF-LR     no         yes       yes
    DKS       yes        no        yes
    filter    yes        yes       no
    ========= ========== ========= ============

    Movies of different lengths are packed and need no padding. Step t of the sequential recursion
    over z_{t−1} handles frame t of all movies that have one.

    Args:
        features: number of features W of a frame.
        z_dim: latent dimension q.
        rnn_width: LSTM units per direction H.
        structure: terms of the combiner.
        prior: prior of the path.
        hidden_frames: mean fraction of the frames of a movie that are hidden in training.
    """

    def __init__(
        self,
        features: int,
        z_dim: int,
        rnn_width: int,
        structure: InferenceStructure,
        prior: StandardPrior | GatedTransition,
        hidden_frames: float,
    ) -> None:
        super().__init__()
        self.n_features, self.z_dim = features, z_dim
        self.structure = structure
        self.prior = prior
        self.hidden_frames = hidden_frames
        past, future = structure != "DKS", structure != "filter"
        # Besides a frame's features, a network reads the time since the frame that it read before.
        self.forwards = nn.LSTM(features + 1, rnn_width) if past else None
        self.backwards = nn.LSTM(features + 1, rnn_width) if future else None
        self.previous = nn.Linear(z_dim, rnn_width) if structure != "MF-LR" else None
        self.first = nn.Parameter(torch.zeros(z_dim)) if structure != "MF-LR" else None
        self.combiner = ResidualMLP(rnn_width, rnn_width, 2, 2 * z_dim)

    def forward(
        self, features: Tensor, lengths: Tensor, times: Tensor, noise: FrameNoise | None
    ) -> Latents:
        """Infer the latents of M movies.

        Args:
            features: the frames of one movie after the other, in order of time or backwards,
                ``(F, W)``.
            lengths: frames of each movie, positive, ``(M,)`` on the CPU.
            times: time of every frame, see :class:`Batch`, ``(F,)`` on the CPU.
            noise: draws latents and hidden frames. With None, no frame is hidden and latents are
                the means, so inference is deterministic; variances are then those of z_t with
                z_{t−1} integrated out.
        """
        epsilon = noise.normal(len(features), self.z_dim) if noise else None
        if noise and self.hidden_frames > 0:
            # A hidden frame is inferred from the others, so its noise cannot be learned.
            features = features * ~self.draw_hidden(lengths, noise)
        gaps = log_gaps(times, lengths).to(features.device, non_blocking=True)
        context, packing, batch_sizes = self._read(features, gaps, lengths)
        drawn = None if epsilon is None else epsilon[packing]
        z, mean, log_variance = self._infer(context, batch_sizes, drawn)
        kl = gaussian_kl(mean, log_variance, *self._prior(z, gaps[packing], batch_sizes))
        if noise is None:
            log_variance = self._marginal(context, batch_sizes, log_variance)
        return Latents(*(_restore(part, packing) for part in (z, mean, log_variance, kl)))

    def draw_hidden(self, lengths: Tensor, noise: FrameNoise) -> Tensor:
        """Draw the frames that are hidden, bool ``(F, 1)``: a different fraction of each movie.

        Fractions are uniform about their mean ``hidden_frames``, down to 0 or up to 1. Some movies
        stay whole because inference after training hides nothing: a recurrent network that never
        saw a whole movie infers wrong latents from one.
        """
        first_frames = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        n, mean = len(first_frames), self.hidden_frames
        drawn = noise.uniform(n)
        of_movie = drawn[first_frames.to(drawn.device, non_blocking=True)]
        return noise.uniform(n) < mean + min(mean, 1 - mean) * (2 * of_movie - 1)

    def _read(
        self, features: Tensor, gaps: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor, list[int]]:
        """Run the recurrent networks.

        Returns:
            Sum of their states ``(F, H)`` in packed order, that order, and the frames of each t.
        """
        rows = torch.arange(len(features)).split(lengths.tolist())
        forward_order = pack_sequence(list(rows), enforce_sorted=False)
        batch_sizes = forward_order.batch_sizes
        order = forward_order.data.to(features.device, non_blocking=True)
        context: Tensor | None = None
        if self.forwards is not None:
            seen = torch.cat([features, gaps], dim=1)
            packed = PackedSequence(seen[order], batch_sizes)
            context = self.forwards(packed)[0].data
        if self.backwards is not None:
            reversed_rows = pack_sequence([r.flip(0) for r in rows], enforce_sorted=False)
            reversed_order = reversed_rows.data.to(features.device, non_blocking=True)
            seen = torch.cat([features, gaps.roll(-1, 0)], dim=1)  # 0 at the last frame
            packed = PackedSequence(seen[reversed_order], batch_sizes)
            states = _restore(self.backwards(packed)[0].data, reversed_order)[order]
            context = states if context is None else context + states
        assert context is not None
        return context, order, batch_sizes.tolist()

    def _infer(
        self, context: Tensor, batch_sizes: list[int], noise: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute draws, means and log-variances of z, each ``(F, q)`` in packed order."""
        seen, weight, layers = self._layers(context)
        if self.previous is None or self.first is None:
            mean, log_variance = _posterior(self.combiner.after_first(seen, layers))
            return sample_gaussian(mean, log_variance, noise), mean, log_variance
        drawn = [None] * len(batch_sizes) if noise is None else noise.split(batch_sizes)
        steps = []
        z = self.first.expand(batch_sizes[0], -1)
        for n, frames, epsilon in zip(batch_sizes, seen.split(batch_sizes), drawn, strict=True):
            # Movies are sorted by length: the first n have a frame t.
            before = torch.tanh(self.previous(z[:n]))
            joined = torch.addmm(frames, before, weight.T)
            mean, log_variance = _posterior(self.combiner.after_first(joined, layers))
            z = sample_gaussian(mean, log_variance, epsilon)
            steps.append((z, mean, log_variance))
        z, mean, log_variance = (torch.cat(parts) for parts in zip(*steps, strict=True))
        return z, mean, log_variance

    def _layers(self, context: Tensor) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """Prepare the combiner: first layer of what does not depend on z, for all frames at once.

        Returns:
            ``(F, H)``, the weight of the first layer for the other term, and the layers after it.
        """
        terms = sum(m is not None for m in (self.forwards, self.backwards, self.previous))
        weight = self.combiner.first.weight / terms
        seen = nn.functional.linear(context, weight, self.combiner.first.bias)
        return seen, weight, self.combiner.residual_layers()

    def _marginal(self, context: Tensor, batch_sizes: list[int], log_variance: Tensor) -> Tensor:
        """Integrate z_{t−1} out of the log-variances ``(F, q)`` along the path of means.

        A Gaussian is carried from frame to frame. Its 2q cubature points ``m ± √q L_j``, with
        ``L Lᵀ`` its covariance, have its mean and covariance (Arasaratnam and Haykin 2009). The
        covariance of z_t is that of the means which they lead to, plus the mean of the variances.
        """
        if self.previous is None or self.first is None:
            return log_variance
        seen, weight, layers = self._layers(context)
        q, found = self.z_dim, []
        z = self.first.expand(batch_sizes[0], -1)
        root = z.new_zeros(len(z), q, q)
        for n, frames in zip(batch_sizes, seen.split(batch_sizes), strict=True):
            away = q**0.5 * root[:n].mT
            points = z[:n, None] + torch.cat([0 * away[:, :1], away, -away], dim=1)
            joined = frames[:, None] + torch.tanh(self.previous(points)) @ weight.T
            mean, log_variance = _posterior(self.combiner.after_first(joined, layers))
            z, spread = mean[:, 0], mean[:, 1:] - mean[:, 1:].mean(1, keepdim=True)
            own = log_variance[:, 1:].exp().mean(1)
            covariance = spread.mT @ spread / (2 * q) + torch.diag_embed(own)
            root = torch.linalg.cholesky(covariance)
            found.append(covariance.diagonal(dim1=-2, dim2=-1).log())
        return torch.cat(found)

    def _prior(self, z: Tensor, gaps: Tensor, batch_sizes: list[int]) -> tuple[Tensor, Tensor]:
        """Compute mean and log-variance of the prior of z ``(F, q)``, in packed order."""
        first, later = z.split([batch_sizes[0], len(z) - batch_sizes[0]])
        mean, log_variance = self.prior(None, gaps[: len(first)], first)
        if len(later) == 0:
            return mean, log_variance
        steps = z.split(batch_sizes)
        before = torch.cat([s[:n] for s, n in zip(steps, batch_sizes[1:], strict=False)])
        later_mean, later_log_variance = self.prior(before, gaps[len(first) :], later)
        return torch.cat([mean, later_mean]), torch.cat([log_variance, later_log_variance])


def log_gaps(times: Tensor, lengths: Tensor) -> Tensor:
    """Compute the logarithm of the time since the frame before, ``(F, 1)``; 0 for first frames."""
    gaps = times.diff(prepend=times[:1]).abs()
    gaps[lengths.cumsum(0) - lengths] = 1.0
    return gaps.log()[:, None]


def _posterior(read_out: Tensor) -> tuple[Tensor, Tensor]:
    mean, log_variance = read_out.float().chunk(2, dim=-1)
    return mean, log_variance.clamp(*_LOG_VARIANCE_RANGE)


def _restore(packed: Tensor, order: Tensor) -> Tensor:
    """Undo ``packed = original[order]``."""
    return torch.empty_like(packed).index_copy(0, order, packed)
