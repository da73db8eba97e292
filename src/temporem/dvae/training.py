"""The training loop of the static model and of TEMPOR, on one page.

A training is a sequence of stages, a stage of epochs, an epoch of optimiser steps. All random
numbers are functions of seed and step, so a resumed training ends like one that was never stopped.
Several processes share the frames of every step and add up their gradients. No step waits for the
GPU, which computes while the next step is prepared.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.batching import PixelDraws, StepBatch, epoch_batches
from temporem.dvae.divergence import not_finite
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.infer import infer_features, infer_latents
from temporem.dvae.latent_grid import latents_on_grid
from temporem.dvae.learned_poses import LearnedPoses, encode_in_current_poses
from temporem.dvae.model import MovieVAE, VAEKind
from temporem.dvae.objectives import OBJECTIVES, Targets
from temporem.dvae.schedule import Position, Schedule
from temporem.dvae.settings import NetworkSettings, TrainingSettings
from temporem.dvae.stages import Stage
from temporem.dvae.state import (
    N_SUMS,
    TrainingState,
    base_components,
    build_model,
    divergence_criterion,
    make_optimizer,
    plan,
)
from temporem.dvae.warm_start import WarmStart
from temporem.errors import TemporemError
from temporem.physics.pixel_sample import PixelSample
from temporem.progress import Progress
from temporem.volumes.linear_started import LinearStarted

_GRADIENT_CLIP = 1e4


def training_states(
    encoded: EncodedFrames,
    network: NetworkSettings,
    training: TrainingSettings,
    *,
    method: VAEKind,
    seed: int = 0,
    warm_start: WarmStart | None = None,
    learned: LearnedPoses | None = None,
    dtype: torch.dtype | None = None,
    resume: TrainingState | None = None,
    progress: Progress | None = None,
) -> Iterator[TrainingState]:
    """Train a model step by step; yields the state after every optimiser step.

    A state is valid until the next one is requested; see :meth:`TrainingState.parts`. If ``resume``
    is finished, it is yielded as it is.

    Args:
        encoded: frames with encoder inputs; only the training movies are used.
        network: sizes and structure.
        training: epochs, step size, kind of start.
        method: ``static`` or ``tempor``.
        seed: of initial weights and of all random numbers.
        warm_start: volumes and latents of a linear model, for ``start: linear``. Not needed with
            ``resume``.
        learned: settings of learned poses; None to use the poses of the frames.
        dtype: arithmetic of the large matrix products; None for float32. Not needed with
            ``resume``.
        resume: state to continue from.
        progress: receives the progress of the training.

    Raises:
        TemporemError: training diverges, or its arguments do not fit together.
    """
    run = _Training(
        encoded=encoded,
        network=network,
        training=training,
        seed=seed,
        learned=learned,
        progress=progress or Progress(),
        schedule=plan(encoded, network, training, method=method, learned=learned),
        draws=PixelDraws(
            encoded.frames.forward_model.support,
            encoded.frames.statistics.pixel_importance,
            training.pixels_per_frame,
            seed,
        ),
    )
    state = run.first(warm_start, dtype) if resume is None else resume
    if state.finished:
        yield state
    while not state.finished:
        state = run.in_stage(state)
        started = time.monotonic()
        for batch in epoch_batches(encoded, run.schedule, state.position, seed=seed):
            run.step(state, batch)
            state = run.after_step(state, time.monotonic() - started)
            yield state
            started = time.monotonic()


@dataclass(frozen=True, eq=False)
class _Training:
    """Constant parts of a training."""

    encoded: EncodedFrames
    network: NetworkSettings
    training: TrainingSettings
    seed: int
    learned: LearnedPoses | None
    progress: Progress
    schedule: Schedule
    draws: PixelDraws

    # --- the beginning of a training, and of a stage ---

    def first(self, warm_start: WarmStart | None, dtype: torch.dtype | None) -> TrainingState:
        """Make the state before the first step."""
        warm_start = self._required(warm_start)
        stage, processes = self.schedule.stages[0], self.encoded.frames.processes
        components = None if warm_start is None else warm_start.components
        model = self._build(stage, components, dtype)
        targets: dict[str, Tensor] = {}
        if warm_start is not None:
            assert isinstance(model.generator, LinearStarted)
            model.generator.start_from(
                warm_start.volumes,
                warm_start.moving,
                warm_start.curve,
                warm_start.mean[np.concatenate(self.encoded.frames.training)],
            )
            found = {"mean": warm_start.mean, "variance": warm_start.variance}
            device = self.encoded.device
            targets = {name: value.to(device).contiguous() for name, value in found.items()}
        # On different machines, processes may have computed axes with opposite signs.
        processes.same(*model.state_dict().values(), *targets.values())
        sums = torch.zeros(N_SUMS, dtype=torch.float64, device=self.encoded.device)
        optimizer = make_optimizer(model, stage, self.training)
        criterion = divergence_criterion(self.encoded, self.schedule)
        return TrainingState(Position(), model, optimizer, targets, sums, criterion)

    def in_stage(self, state: TrainingState) -> TrainingState:
        """Enter the next stage if the current one is over, and carry over what was learned."""
        index, before = state.position.stage, state.model
        if state.position.epoch < self.schedule.stages[index].end:
            return state
        stage, model = self.schedule.stages[index + 1], before
        if stage.kind != before.kind:
            model = self._build(stage, base_components(before.generator), before.dtype)
            model.extractor.load_state_dict(before.extractor.state_dict())
            model.generator.load_state_dict(before.generator.state_dict())
            model.poses = before.poses
        targets: Targets = {}
        if stage.name == "smooth":
            targets = latents_on_grid(before, self.encoded, self.encoded.frames.training)
        elif stage.name == "warm-up":
            targets = self._static_posteriors(before)
        self.encoded.frames.processes.same(*model.state_dict().values())
        return replace(
            state,
            position=replace(state.position, stage=index + 1),
            model=model,
            optimizer=(
                state.optimizer
                if stage.name == "smooth"
                else make_optimizer(model, stage, self.training)
            ),
            targets=targets,
        )

    def _build(self, stage: Stage, components: int | None, dtype: torch.dtype | None) -> MovieVAE:
        model = build_model(
            stage.kind,
            self.encoded,
            self.network,
            base_components=components,
            learned=self.learned,
            dtype=dtype,
            seed=self.seed,
        )
        return model.to(self.encoded.device)

    def _static_posteriors(self, model: MovieVAE) -> Targets:
        """Infer features and posteriors of all frames with the static model."""
        latents = infer_latents(model, self.encoded)
        return {
            "features": infer_features(model, self.encoded),
            "mean": latents.mean,
            "variance": latents.variance,
        }

    def _required(self, warm_start: WarmStart | None) -> WarmStart | None:
        """Check that the first stage has the warm start that it needs."""
        if self.training.start != "linear":
            return None
        if warm_start is None:
            raise TemporemError(
                "training.start is linear, but there is no linear model to start from",
                expected="a warm start made by warm_start_from",
            )
        return warm_start

    # --- a step ---

    def step(self, state: TrainingState, shown: StepBatch) -> None:
        """Take one optimiser step; weights, moments and sums of the state change in place.

        The objective is a mean over the frames of all processes; each process adds up its own.
        """
        model, position, device = state.model, state.position, self.encoded.device
        stage, processes = self.schedule.stages[position.stage], self.encoded.frames.processes
        self._set_rates(state)
        model.zero_grad(set_to_none=True)  # also of parameters that this stage leaves alone
        sums = torch.zeros(N_SUMS - 1, device=device, dtype=torch.float64)
        if shown.own is not None:
            batch = encode_in_current_poses(model, self.encoded, shown.own)
            pixels = self._pixels(model, position)
            noise = shown.noise(self.seed, position.step, device)
            terms = OBJECTIVES[stage.name](model, batch, pixels, state.targets, noise)
            weight = self.schedule.kl_weight(position.epoch)
            objective = terms.fit - weight * terms.kl - terms.pose_kl - terms.penalty
            (-objective.sum() / shown.n_frames).backward()
            parts = (terms.fit, terms.kl, terms.pose_kl, torch.ones_like(terms.fit))
            sums += torch.stack([part.detach().double().sum() for part in parts])
        processes.add(sums)
        if device.type == "cpu" and not sums.isfinite().all():  # no need to wait for the epoch
            raise not_finite(position.epoch, position.step + 1)
        processes.add_gradients(model.parameters())
        torch.nn.utils.clip_grad_norm_(model.parameters(), _GRADIENT_CLIP)
        state.optimizer.step()
        state.sums[:-1] += sums
        state.sums[-1] += sums.isfinite().all()

    def _pixels(self, model: MovieVAE, position: Position) -> PixelSample:
        """Choose the pixels of a step: a sample, or all that the schedule allows."""
        n = self.schedule.n_pixels(position.epoch)
        if model.generator.samples_pixels:
            return self.draws(n, position.step)
        return PixelSample.lowest(self.encoded.frames.forward_model.support, n)

    def _set_rates(self, state: TrainingState) -> None:
        network, *poses = state.optimizer.param_groups
        network["lr"] = self.schedule.learning_rate(state.position)
        for group in poses:
            group["lr"] = self.schedule.pose_rate(state.position)

    # --- after a step ---

    def after_step(self, state: TrainingState, seconds: float) -> TrainingState:
        """Count a step; after the last one of an epoch, make its record."""
        done, stage = state.position, self.schedule.stages[state.position.stage]
        position = replace(
            done,
            step_in_epoch=done.step_in_epoch + 1,
            step=done.step + 1,
            seconds=done.seconds + seconds,
        )
        self._tell(state, position, stage)
        if position.step_in_epoch < self.schedule.steps_per_epoch(stage):
            return replace(state, position=position, record=None)
        record = self._record(state, position, stage)
        position = replace(position, epoch=done.epoch + 1, step_in_epoch=0)
        state.sums.zero_()
        finished = position.epoch == self.training.epochs
        means = {name: record[name] for name in ("log_likelihood", "kl")}
        return replace(state, position=position, record=record, means=means, finished=finished)

    def _tell(self, state: TrainingState, done: Position, stage: Stage) -> None:
        """Report the progress, with the means of the last whole epoch."""
        note = f"{stage.name}  epoch {done.epoch + 1}/{self.training.epochs}"
        if "log_likelihood" in state.means:
            note += f"  log-likelihood {state.means['log_likelihood']:.2f}"
        self.progress(*self.schedule.progress(done), note)

    def _record(self, state: TrainingState, done: Position, stage: Stage) -> Mapping[str, Any]:
        """Make the record of an epoch, from its sums.

        Raises:
            TemporemError: training has diverged.
        """
        epoch, sums = done.epoch, state.sums.tolist()
        state.criterion.require_sound(sums, done, with_targets=bool(state.targets))
        fit, kl, pose_kl, frames, _ = sums
        terms = {"log_likelihood": fit / frames, "kl": kl / frames}
        if state.model.poses is not None:
            terms["pose_kl"] = pose_kl / frames
        return {
            "stage": stage.name,
            "epoch": epoch + 1,
            "step": done.step,
            "seconds": round(done.seconds, 3),
            **terms,
            "n_pixels": self.schedule.n_pixels(epoch),
            "kl_weight": self.schedule.kl_weight(epoch),
            "learning_rate": state.optimizer.param_groups[0]["lr"],
        }
