"""The training loop of ``static`` and ``tempor``, on one page.

A run is a sequence of stages, a stage of epochs, an epoch of optimiser steps. Everything random is
a function of the seed and of the step, so that a run resumed from a checkpoint at any step is the
run that was never stopped. A step never waits for the device: it is asked for the next while it
computes. Several processes share the frames of every step and add up their
gradients, so that a run is the same however many there are.
"""

from __future__ import annotations

import functools
import json
import math
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.device import network_dtype
from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.dvae.latents import Latents
from temporem.dvae.learned_poses import encode_in_current_poses, pose_rate, starting_poses
from temporem.dvae.model import FrameBatch, MovieVAE, VAEKind
from temporem.dvae.stages import Stage, plan_stages
from temporem.dvae.warm_start import LinearStart, coarse_start, full_start
from temporem.errors import TemporemError
from temporem.frames.frame_noise import FrameNoise
from temporem.frames.frames import PreparedFrames
from temporem.frames.source import groups_of
from temporem.io import checkpoint
from temporem.physics.gaussian import gaussian_kl, sample_gaussian
from temporem.physics.pixel_sample import PixelSample, inclusion_probabilities
from temporem.poses.table import PoseTable
from temporem.progress import Progress
from temporem.runs.config import RunConfig
from temporem.runs.interrupt import InterruptFlag
from temporem.runs.poses import FoundPoses
from temporem.runs.run_files import METRICS_NAME, START_METRICS_NAME

_RATE_WARMUP_STEPS = 50
_WARMUP_RATE = 1e-3
_INFERENCE_FRAMES = 640
_WIDE_SD = 2.0  # of latents that are drawn while poses alone are learned; their prior has 1
START_NAME = "start"  # folder of a linear run, until this one is finished
_PIXEL_STREAM, _NOISE_STREAM = 2, 3  # of random numbers, besides those of the order of frames


@dataclass
class _State:
    """Where a run is; what a checkpoint holds besides weights, moments and random state."""

    stage: int = 0
    epoch: int = 0  # of the whole run
    step_in_epoch: int = 0
    step: int = 0  # optimiser steps of the whole run
    seconds: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)


class Trainer:
    """Fits a :class:`MovieVAE` to frames.

    Args:
        config: of the run, method ``static`` or ``tempor``.
        frames: what is fitted.
        training_movies: the movies that may be looked at, rows in order of time.
        run_dir: receives ``metrics.jsonl`` and ``checkpoint/``.
        progress: told of every step.
        world: the processes that share every step; each has a trainer of its own.
        found: the frames' poses, where the run found them, with what is known of their spread.
    """

    def __init__(
        self,
        config: RunConfig,
        frames: PreparedFrames,
        training_movies: list[np.ndarray],
        run_dir: Path,
        progress: Progress | None = None,
        processes: ProcessGroup = SINGLE_PROCESS,
        found: FoundPoses | None = None,
    ) -> None:
        self.config = config
        self.frames = frames
        self.movies = training_movies
        self.run_dir = run_dir
        self.progress = progress
        self.processes = processes
        self.device = frames.device
        self.stages = plan_stages(config)
        self.state = _State()
        self.noise = torch.Generator(self.device)  # seeded at every step
        self.dtype = self._choose_dtype()
        self.model = self._build(self.stages[0].kind)
        self.model.poses = starting_poses(config, frames, found)
        self.optimizer = self._make_optimizer()
        self.targets: dict[str, Tensor] = {}
        self.sums = torch.zeros(4, device=self.device, dtype=torch.float64)
        self._probability = torch.zeros(0)
        self._saved_at = time.monotonic()

    # --- the loop ---

    def fit(self) -> MovieVAE:
        """Run all stages from where the state is; returns the trained model.

        Raises:
            KeyboardInterrupt: after Ctrl-C, once a checkpoint is written.
            TemporemError: the loss is no longer finite.
        """
        total = sum(stage.epochs * self._steps_per_epoch(stage) for stage in self.stages)
        if not self.targets:  # else they come from a checkpoint
            self.targets = self._make_targets(self.model)
        # Processes on unlike machines may have made them with axes of other signs.
        self.processes.same(*self.model.state_dict().values(), *self.targets.values())
        with InterruptFlag() as interrupted:
            for index in range(self.state.stage, len(self.stages)):
                stage = self.stages[index]
                if index != self.state.stage:
                    self._enter(index)
                while self.state.epoch < stage.first_epoch + stage.epochs:
                    self._epoch(stage, total, interrupted)
        self._save(finished=True)
        if self.processes.is_main:
            self._tidy_start()
        return self.model

    def _tidy_start(self) -> None:
        """Of the linear model that training started from, its record stays."""
        folder = self.run_dir / START_NAME
        if (folder / METRICS_NAME).exists():
            (folder / METRICS_NAME).replace(self.run_dir / START_METRICS_NAME)
        shutil.rmtree(folder, ignore_errors=True)

    def _epoch(self, stage: Stage, total: int, interrupted: InterruptFlag) -> None:
        state, started = self.state, time.monotonic()
        steps = self._epoch_batches(stage)[state.step_in_epoch :]
        shares = [self._share(stage, movies) for movies in steps]
        batches = self.frames.batches([own for own, _ in shares if own], self._n_pixels())
        for movies, (own, part) in zip(steps, shares, strict=True):
            self._set_rate(stage)
            batch = next(batches) if own else None
            self.sums += self._step(stage, own, batch, part, sum(map(len, movies)))
            state.step_in_epoch += 1
            state.step += 1
            if self.progress is not None:
                self.progress(stage.name, state.step, total, state.terms)
            stop, save = self.processes.any_of(bool(interrupted), self._is_due())
            if stop or save:
                now = time.monotonic()
                state.seconds, started = state.seconds + now - started, now
                self._checkpoint()
            if stop:
                self.processes.wait()  # who ends early has the others killed
                raise KeyboardInterrupt
        state.seconds += time.monotonic() - started
        self._finish_epoch(stage)

    def _step(
        self,
        stage: Stage,
        movies: list[np.ndarray],
        batch: FrameBatch | None,
        part: slice,
        n_frames: int,
    ) -> Tensor:
        """One optimiser step.

        The loss is a mean over the frames of all processes, of which each sums its own.

        Args:
            stage: what is trained.
            movies: of this process.
            batch: their frames, if there are any.
            part: which of the frames of all processes these are.
            n_frames: how many those are.

        Returns:
            Sums of this process: log-likelihood or fit, KL of latents and of poses, and frames.
        """
        self.model.zero_grad(set_to_none=True)  # also of what this stage leaves alone
        terms = torch.zeros(4, device=self.device, dtype=torch.float64)
        if batch is not None:
            seed = np.random.SeedSequence([self.config.seed, _NOISE_STREAM, self.state.step])
            self.noise.manual_seed(int(seed.generate_state(1)[0]))
            noise = FrameNoise(self.noise, n_frames, part)
            batch = encode_in_current_poses(self.model, self.frames, batch)
            fit, kl, pose_kl = self._terms(stage, movies, batch, noise)
            objective = fit - self._kl_weight(stage) * kl - pose_kl
            (-objective.sum() / n_frames).backward()
            parts = (fit, kl, pose_kl, torch.ones_like(fit))
            terms += torch.stack([part.detach().double().sum() for part in parts])
        self.processes.add_gradients(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.gradient_clip)
        self.optimizer.step()
        return terms

    def _terms(
        self, stage: Stage, movies: list[np.ndarray], batch: FrameBatch, noise: FrameNoise
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-likelihood or fit, KL of latents and of poses, of frames of some movies: ``(F,)``."""
        if stage.name == "start":
            fit, pose_kl = self._guided_fit(batch, movies, noise)
            return fit, torch.zeros_like(fit), pose_kl
        if stage.name == "poses":
            drawn = _WIDE_SD * noise.normal(len(batch.rows), self.config.model.z_dim)
            fit, pose_kl, _ = self.model.scored(batch.at(self._pixels()), drawn, noise)
            return fit, torch.zeros_like(fit), pose_kl
        if stage.name == "warm-up":
            fit = self._path_fit(movies, noise)
            return fit, torch.zeros_like(fit), torch.zeros_like(fit)
        bound = self.model.bound(batch.at(self._pixels()), noise)
        return bound.log_likelihood, bound.kl, bound.pose_kl

    def _guided_fit(
        self, batch: FrameBatch, movies: list[np.ndarray], noise: FrameNoise
    ) -> tuple[Tensor, Tensor]:
        """Likelihood with latents drawn from the targets and the encoder's fit to the targets.

        And the KL of poses, each ``(F,)``.
        """
        rows = torch.from_numpy(np.concatenate(movies)).to(self.device, non_blocking=True)
        mean, variance = self.targets["mean"][rows], self.targets["variance"][rows]
        path = self.model.infer(batch, noise)
        seen = batch.at(self._pixels())
        drawn = sample_gaussian(mean, variance.log(), noise.normal(*mean.shape))
        likelihood, pose_kl, _ = self.model.scored(seen, drawn, noise)
        encoder = gaussian_kl(mean, variance.log(), path.mean, path.log_variance)
        return likelihood - encoder, pose_kl

    def _path_fit(self, movies: list[np.ndarray], noise: FrameNoise) -> Tensor:
        """``log N(m_t | μ_t, σ_t² + s_t²)``: static posteriors N(m, s²) as views of the path."""
        rows = torch.from_numpy(np.concatenate(movies)).to(self.device, non_blocking=True)
        features = self.targets["features"][rows]
        lengths = torch.tensor([len(movie) for movie in movies])
        path = self.model.inference(features, lengths, noise)
        variance = path.log_variance.exp() + self.targets["variance"][rows]
        residual = (self.targets["mean"][rows] - path.mean).square() / variance
        return -0.5 * (residual + variance.log()).sum(-1)

    def _finish_epoch(self, stage: Stage) -> None:
        state = self.state
        self.processes.add(self.sums)
        fit, kl, pose_kl, frames = self.sums.tolist()
        self.sums.zero_()
        state.terms = {"log_likelihood": fit / frames, "kl": kl / frames}
        if self.model.poses is not None:
            state.terms["pose_kl"] = pose_kl / frames
        if not all(math.isfinite(value) for value in state.terms.values()):
            raise TemporemError(
                f"training diverged in epoch {state.epoch + 1}: the loss is not finite",
                hint="lower training.learning_rate, or set training.precision=float32",
            )
        record = {
            "stage": stage.name,
            "epoch": state.epoch + 1,
            "step": state.step,
            "seconds": round(state.seconds, 3),
            **state.terms,
            "n_pixels": self._n_pixels(),
            "kl_weight": self._kl_weight(stage),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        state.epoch += 1
        state.step_in_epoch = 0
        if self.processes.is_main:
            with open(self.run_dir / METRICS_NAME, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    # --- stages and schedules ---

    def _choose_dtype(self) -> torch.dtype | None:
        """The arithmetic of the networks, to the end of the run wherever that goes on.

        Chosen by the first process: ``auto`` measures, and could tell others otherwise.
        """
        chosen = network_dtype(self.config.training.precision, self.device)
        return (
            torch.bfloat16
            if self.processes.any(self.processes.is_main and chosen is not None)
            else None
        )

    def _build(self, kind: VAEKind) -> MovieVAE:
        return build_model(self.config, kind, self.frames, self.dtype)

    def _enter(self, index: int) -> None:
        """Begin a stage with what the one before it learned."""
        stage, before = self.stages[index], self.model
        self.state.stage = index
        if stage.kind != before.kind:
            self.model = self._build(stage.kind)
            self.model.extractor.load_state_dict(before.extractor.state_dict())
            self.model.generator.load_state_dict(before.generator.state_dict())
            self.model.poses = before.poses
        self.targets = self._make_targets(before)
        self.processes.same(*self.model.state_dict().values())
        self.optimizer = self._make_optimizer()

    def _make_targets(self, before: MovieVAE) -> dict[str, Tensor]:
        """Posteriors N(m, s²) that the current stage's encoder is to learn, if any."""
        name = self.stages[self.state.stage].name
        if name == "start":
            start = self._linear_start()
            generator = self.model.generator
            if self.config.model.solvent_mask:
                generator.set_masks(*start.masks)
            if start.volumes is not None and generator.base is not None:
                generator.base.set_maps(start.volumes)  # masked when they were solved for
            start_of = {"mean": start.mean, "variance": start.variance}
            return {name: value.to(self.device).contiguous() for name, value in start_of.items()}
        return _static_posteriors(before, self.frames, self.processes) if name == "warm-up" else {}

    def _linear_start(self) -> LinearStart:
        config, temporal = self.config, self.model.kind == "tempor"
        if not config.model.base_components:
            return coarse_start(
                config, self.frames, self.movies, temporal=temporal, processes=self.processes
            )
        return full_start(
            config,
            self.frames,
            self.movies,
            self.run_dir / START_NAME,
            temporal=temporal,
            progress=self.progress,
            processes=self.processes,
        )

    def _make_optimizer(self) -> torch.optim.Optimizer:
        learned = self.model.poses
        if self.stages[self.state.stage].name == "warm-up":
            groups = [[*self.model.inference.parameters()]]
        elif isinstance(learned, PoseTable):  # which has a rate of its own
            table = [*learned.parameters()]
            groups = [[p for p in self.model.parameters() if p not in set(table)], table]
        else:
            groups = [[*self.model.parameters()]]
        rate = self.config.training.learning_rate
        return torch.optim.Adam([{"params": group} for group in groups], rate, fused=True)

    def _set_rate(self, stage: Stage) -> None:
        """Constant, then linearly to zero over the last part of the run; eased in at each stage."""
        training, state = self.config.training, self.state
        per_epoch = self._steps_per_epoch(stage)
        epoch = state.epoch + state.step_in_epoch / per_epoch
        in_stage = (epoch - stage.first_epoch) * per_epoch
        rate = training.learning_rate
        if stage.name == "warm-up":
            rate = _WARMUP_RATE * (1 - (epoch - stage.first_epoch) / stage.epochs)
        elif training.decay_fraction > 0:
            rate *= min(1.0, (1 - epoch / training.epochs) / training.decay_fraction)
        rate *= min(1.0, (in_stage + 1) / _RATE_WARMUP_STEPS)
        network, *poses = self.optimizer.param_groups
        network["lr"] = rate
        for group in poses:
            relative = rate / training.learning_rate
            group["lr"] = relative * pose_rate(self.config.poses, per_epoch)

    def _kl_weight(self, stage: Stage) -> float:
        """β, rising from 0 at the start of the run."""
        rise = self.config.training.kl_rise_epochs
        return self.config.kl_weight * min(1.0, (self.state.epoch + 1) / (rise + 1))

    def _n_pixels(self) -> int:
        """Image frequencies that are fitted in this epoch: low ones first, in the end all.

        Conformations differ at low resolution, where noise is weak and a step is cheap.
        """
        training, support = self.config.training, self.frames.forward_model.support
        start_resolution = self.config.start_resolution
        begin, end = training.marching
        done = (self.state.epoch / training.epochs - begin) / max(end - begin, 1e-9)
        done = min(max(done, 0.0), 1.0)
        fraction = start_resolution + (1 - start_resolution) * done
        return int((support.radii <= fraction * support.box / 2).sum())

    def _pixels(self) -> PixelSample:
        """The pixels of the next step: of all that are fitted in this epoch, some that are drawn.

        On the CPU and by the number of the step, so that no device is waited for.
        """
        support, n = self.frames.forward_model.support, self._n_pixels()
        if len(self._probability) != n:
            importance = self.frames.pixel_importance[:n]
            size = self.config.training.pixels_per_frame
            self._probability = inclusion_probabilities(importance, size)
        start = np.random.default_rng([self.config.seed, _PIXEL_STREAM, self.state.step]).random()
        return PixelSample.drawn(support, self._probability, start)

    # --- batches ---

    def _steps_per_epoch(self, stage: Stage) -> int:
        per_step = self.config.training.frames_per_step
        frames = sum(len(movie) for movie in self.movies)
        if stage.kind == "static":
            return math.ceil(frames / per_step)
        return math.ceil(len(self.movies) / self._movies_per_step())

    def _movies_per_step(self) -> int:
        frames = sum(len(movie) for movie in self.movies)
        return max(1, round(self.config.training.frames_per_step * len(self.movies) / frames))

    def _epoch_batches(self, stage: Stage) -> list[list[np.ndarray]]:
        """The batches of the current epoch, in an order that seed and epoch determine.

        The static model sees single frames in random order, TEMPOR whole movies; both see about
        ``frames_per_step`` frames in a step, so that equal epochs are equal numbers of steps.
        """
        order = np.random.default_rng([self.config.seed, self.state.epoch])
        if stage.kind == "static":
            rows = order.permutation(np.concatenate(self.movies))
            n = self.config.training.frames_per_step
            return [[rows[i : i + n]] for i in range(0, len(rows), n)]
        index, n = order.permutation(len(self.movies)), self._movies_per_step()
        return [[self.movies[m] for m in index[i : i + n]] for i in range(0, len(index), n)]

    def _share(self, stage: Stage, movies: list[np.ndarray]) -> tuple[list[np.ndarray], slice]:
        """This process's part of a batch, single frames or whole movies, and its frames therein.

        It may be empty.
        """
        if stage.kind == "static":
            (rows,) = movies
            part = self.processes.cut(np.ones(len(rows)))
            return ([rows[part]] if part.start < part.stop else []), part
        lengths = [len(movie) for movie in movies]
        part = self.processes.cut(lengths)
        first = sum(lengths[: part.start])
        return movies[part], slice(first, first + sum(lengths[part]))

    # --- checkpoints ---

    def _is_due(self) -> bool:
        """Whether it is time for a checkpoint, by the clock of the process that writes it."""
        since = time.monotonic() - self._saved_at
        return self.processes.is_main and since >= self.config.training.checkpoint_seconds

    def _checkpoint(self) -> None:
        """Save in the middle of an epoch, whose sums so far go to the first process."""
        self.processes.add(self.sums)
        self._save()
        if not self.processes.is_main:
            self.sums.zero_()

    def _save(self, *, finished: bool = False) -> None:
        if not self.processes.is_main:
            return
        rate = self.optimizer.param_groups[0]["lr"]
        state = {
            **vars(self.state),
            "rate": rate,
            "finished": finished,
            "kind": self.model.kind,
            "bfloat16": self.dtype is not None,
        }
        extra = {"sums": self.sums}
        extra |= {f"target.{name}": value for name, value in self.targets.items()}
        checkpoint.save_checkpoint(
            self.run_dir / "checkpoint",
            self.model,
            state,
            optimizer=None if finished else self.optimizer,
            extra=None if finished else extra,
        )
        self._saved_at = time.monotonic()

    def restore(self) -> None:
        """Continue from the checkpoint of the run; later lines of ``metrics.jsonl`` are dropped."""
        directory = self.run_dir / "checkpoint"
        saved = checkpoint.load_state(directory)
        self.state = self._read_state(saved, directory)
        kind = self.stages[self.state.stage].kind
        rate = checkpoint.load_number(saved, "rate", directory)
        poses = self.model.poses
        self.dtype = torch.bfloat16 if checkpoint.load_flag(saved, "bfloat16", directory) else None
        self.model = self._build(kind)
        self.model.poses = poses
        checkpoint.load_weights(directory, self.model)
        self.optimizer = self._make_optimizer()
        # An epoch that was stopped at its end still has to say in metrics.jsonl what its rate was.
        self.optimizer.param_groups[0]["lr"] = rate
        if not saved.get("finished"):
            checkpoint.load_optimizer(directory, self.optimizer)
            extra = checkpoint.load_extra(directory, self._extra_shapes(), self._extra_names())
            sums = extra.pop("sums").to(self.device)  # of all processes
            self.sums = sums if self.processes.is_main else torch.zeros_like(sums)
            self.targets = {
                name.removeprefix("target."): value.to(self.device) for name, value in extra.items()
            }
        if self.processes.is_main:
            _truncate_metrics(self.run_dir / METRICS_NAME, self.state.epoch)

    def _read_state(self, saved: dict[str, Any], directory: Path) -> _State:
        terms = saved.get("terms")
        if not isinstance(terms, dict):
            raise TemporemError(f"{directory}: checkpoint of another kind of run")
        epochs = self.config.training.epochs
        count = functools.partial(checkpoint.load_count, saved, directory=directory)
        number = functools.partial(checkpoint.load_number, directory=directory)
        return _State(
            stage=count("stage", below=len(self.stages)),
            epoch=count("epoch", below=epochs + 1),
            step_in_epoch=count("step_in_epoch", below=math.inf),
            step=count("step", below=math.inf),
            seconds=number(saved, "seconds"),
            terms={name: number(terms, name, least=-math.inf) for name in terms},
        )

    def _extra_names(self) -> list[str]:
        """What a checkpoint of the current stage has besides the model and its moments."""
        targets = {"start": ["mean", "variance"], "warm-up": ["features", "mean", "variance"]}
        stage = self.stages[self.state.stage].name
        return ["sums", *(f"target.{name}" for name in targets.get(stage, []))]

    def _extra_shapes(self) -> dict[str, tuple[int, ...]]:
        n, z_dim = len(self.frames), self.config.model.z_dim
        return {
            "sums": tuple(self.sums.shape),
            "target.mean": (n, z_dim),
            "target.variance": (n, z_dim),
            "target.features": (n, self.model.inference.n_features),
        }


def build_model(
    config: RunConfig, kind: VAEKind, frames: PreparedFrames, dtype: torch.dtype | None = None
) -> MovieVAE:
    """A new model for the frames, its initial weights a function of the seed alone.

    Its networks multiply in ``dtype``; None is float32.
    """
    model = MovieVAE.from_config(
        kind, config.model, frames.forward_model, frames.n_inputs, seed=config.seed
    )
    model.generator.set_envelope(frames.change_amplitude)
    base = model.generator.base
    if base is not None:  # without components until a linear model gives them
        base.set_mean(frames.mean_volume.volume)
    model.set_network_dtype(dtype)
    return model.to(frames.device)


def infer_all(
    model: MovieVAE, frames: PreparedFrames, processes: ProcessGroup = SINGLE_PROCESS
) -> Latents:
    """Posterior of every frame, in row order; deterministic."""
    n, device = len(frames), frames.device
    z, mean, log_variance = torch.zeros(3, n, model.inference.z_dim, device=device)
    found = Latents(z, mean, log_variance, torch.zeros(n, device=device))
    groups = list(groups_of(processes.share(frames.movies), _INFERENCE_FRAMES))
    with torch.no_grad():
        for part, batch in zip(groups, frames.batches(groups, n_pixels=0), strict=True):
            rows = torch.from_numpy(np.concatenate(part)).to(device)
            for name, values in vars(
                model.infer(encode_in_current_poses(model, frames, batch))
            ).items():
                getattr(found, name)[rows] = values
    processes.add(*vars(found).values())
    return found


def _static_posteriors(
    model: MovieVAE, frames: PreparedFrames, processes: ProcessGroup
) -> dict[str, Tensor]:
    """Features and posteriors of all frames under a static model, the warm-up's targets."""
    latents = infer_all(model, frames, processes)
    n = len(frames)
    features = torch.zeros(n, model.inference.n_features, device=frames.device)
    own = np.arange(n)[processes.cut(np.ones(n))]
    with torch.no_grad():
        groups = [[part] for part in np.array_split(own, len(own) // 512 + 1)]
        for (part,), batch in zip(groups, frames.batches(groups, n_pixels=0), strict=True):
            batch = encode_in_current_poses(model, frames, batch)
            features[torch.from_numpy(part)] = model.features(batch).float()
    processes.add(features)
    return {
        "features": features,
        "mean": latents.mean,
        "variance": latents.log_variance.exp(),
    }


def _truncate_metrics(path: Path, epoch: int) -> None:
    """Leave the lines of so many epochs; an epoch that goes on will write its own again."""
    if not path.exists():
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        complete = [line for line in lines if line.endswith("}")]
        kept = [line for line in complete if json.loads(line)["epoch"] <= epoch]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TemporemError(
            f"{path}: a line is not of this run ({type(error).__name__})",
            expected="a JSON object with the epoch in every line",
            hint="remove the file; what it told of earlier epochs is lost",
        ) from None
    path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
