"""Random starts of a search for poses, taken until two of them agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from temporem.frames.source import blocks_of
from temporem.poses.ab_initio import LEAST_ALIKE, AbInitio, Round, Start, frames_alike
from temporem.poses.candidates import SEARCH_RADIUS
from temporem.poses.estimates import PoseEstimates
from temporem.poses.folds import FoldedFrames
from temporem.poses.grid_chain import GridChain
from temporem.poses.search_state import PoseSearchState
from temporem.poses.symmetry import NO_SYMMETRY
from temporem.progress import Progress

_FINISHING = 8  # more rounds on the finest grid, for the chosen start
_LOCATING = Round(SEARCH_RADIUS, 11)  # the round that gives linked frames their first poses


@dataclass(frozen=True)
class RandomStarts:
    """Random starts from the images of the training movies.

    Attributes:
        frames: all N frames.
        training: rows of each training movie, in order of time.
        movies: rows of each movie, together all N.
        steps: time from the frame before to each frame, ``(N,)``, NaN for the first of a movie.
        diffusion: none, auto, or the coefficient in degrees² per unit of time.
        power: prior power τ² of slices at integer radii, ``(R,)``.
        rounds: rounds of every start.
        most: largest number of starts.
        seed: seed of random numbers.
    """

    frames: FoldedFrames
    training: list[np.ndarray]
    movies: list[np.ndarray]
    steps: np.ndarray
    diffusion: Literal["none", "auto"] | float
    power: Tensor
    rounds: Sequence[Round]
    most: int
    seed: int

    def take(self, state: PoseSearchState, number: int, progress: Progress) -> PoseSearchState:
        """Take one start. The likeliest so far is kept; if two agree, it goes on.

        Args:
            state: state before it.
            number: number of starts before it.
            progress: scale of this start.
        """
        start = self._ascent(state, number, progress)
        expected, volume = start.expected, start.expected.volume
        starts, evidences = expected.rotations[None], [expected.log_evidence]
        record: dict[str, Any] = {
            "stage": "ab initio",
            "start": number + 1,
            "log_evidence": evidences[0],
        }
        if start.chain is not None:
            record["unlinked"] = expected.unlinked
        if state.starts is not None and state.start_evidences is not None:
            before = state.start_evidences.tolist()
            starts, evidences = torch.cat([state.starts, starts]), [*before, *evidences]
            if evidences[-1] <= max(before):
                assert state.volume is not None
                volume = state.volume
        chosen, last = int(np.argmax(evidences)), number == self.most - 1
        if len(starts) > 1:
            mine = starts[chosen].double()
            record["alike"] = frames_alike(starts, chosen, mine, NO_SYMMETRY)
            last = last or record["alike"] >= LEAST_ALIKE
        if last:
            record["chosen"] = chosen + 1
            volume = self._finished(volume, start.chain, chosen, progress)
        state = replace(
            state,
            done=state.done + (self.most - number if last else 1),
            volume=volume,
            starts=starts,
            start_evidences=torch.tensor(evidences, dtype=torch.float64),
            diffusion=None if start.chain is None else start.chain.coefficient(self.steps),
            record=record,
        )
        if last and start.chain is not None:
            return replace(state, estimates=self._located(state), volume=None)
        return state

    def _ascent(self, state: PoseSearchState, number: int, progress: Progress) -> Start:
        """All rounds of a start; the first one finds out whether frames are linked."""

        def on_round(done: float, evidence: float) -> None:
            progress(done, 1, f"poses  start {number + 1}  log-evidence {evidence:.2f}")

        unknown = self.diffusion == "auto" and number == 0
        coefficient = state.diffusion if isinstance(self.diffusion, str) else self.diffusion
        chain = None
        if unknown or coefficient is not None:
            chain = GridChain.of_movies(self.training, self.steps, coefficient)
        return self._images.ascend(
            self.rounds,
            int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]),
            on_round,
            chain=chain,
            try_chain=unknown and chain is not None,
        )

    def _finished(
        self, volume: Tensor, chain: GridChain | None, chosen: int, progress: Progress
    ) -> Tensor:
        """Volume of the chosen start after more rounds: at a low signal it still rises."""
        again = self.rounds[len(self.rounds) // 3 :]
        rounds = [*again, *[replace(self.rounds[-1], momentum=0.5)] * _FINISHING]

        def on_round(done: float, evidence: float) -> None:
            note = f"poses  start {chosen + 1} to convergence  log-evidence {evidence:.2f}"
            progress(1, 1, note)

        start = self._images.ascend(rounds, self.seed, on_round, chain=chain, volume=volume)
        return start.expected.volume

    def _located(self, state: PoseSearchState) -> PoseEstimates:
        """Poses of all frames, each from its whole movie, in the volume of the likeliest start."""
        assert state.volume is not None
        rows = np.concatenate(self.movies)
        found = self._at_low_resolution(rows).iterate(
            state.volume,
            _LOCATING,
            self.seed,
            GridChain.of_movies(self.movies, self.steps, state.diffusion),
        )
        order = torch.from_numpy(rows.argsort())
        estimates = PoseEstimates.at(found.rotations[order])
        return replace(estimates, shifts_angstrom=found.shifts_angstrom[order].double())

    @cached_property
    def _images(self) -> AbInitio:
        return self._at_low_resolution(np.concatenate(self.training))

    def _at_low_resolution(self, rows: np.ndarray) -> AbInitio:
        """Some of the frames at low resolution, in memory."""
        frames = self.frames
        radius = max(step.radius for step in (_LOCATING, *self.rounds))
        n = frames.n_pixels(radius)
        parts = [frames.source.take(part, n) for part in blocks_of(rows, frames.source.n_pixels)]
        images, ctf = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return AbInitio(
            model=frames.model,
            images=images,
            ctf=ctf,
            power=self.power,
            shift_sd_angstrom=frames.shift_sd_angstrom,
            window_radius=frames.window_radius,
        )
