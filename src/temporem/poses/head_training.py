"""The training of a pose head on images that the volumes so far would give.

This is the second task of HetEM (Chen et al. 2023): volumes in random poses, with the CTF of real
frames, shifts and noise, are images whose poses are known. There is no end of them, so the head
cannot learn a noise by heart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from temporem.distributed import SINGLE_PROCESS
from temporem.frames.frames import Frames
from temporem.frames.source import Recentred, blocks_of
from temporem.frames.streaming import image_window
from temporem.io.checkpoint import load_module, load_optimizer, module_tensors, optimizer_tensors
from temporem.io.state import Parts
from temporem.linear.cross_fit import fit_coarse
from temporem.linear.fit import largest_components
from temporem.linear.half_sets import principal_axes
from temporem.linear.masks import moving_mask
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import resized
from temporem.physics.poses import Poses
from temporem.physics.rotations import random_rotations
from temporem.poses.head import PoseAnswers, PoseHead, head_model
from temporem.progress import Progress
from temporem.volumes.linear_volumes import LinearVolumes

_IMAGES_PER_STEP = 128
_COMPONENTS = 4
_RATE = 2e-3
_RATE_RISE = 100  # steps
_GRADIENT_CLIP = 2.0
_LEAST_SHIFT_SD = 0.1  # Å
_STEPS_PER_RECORD = 100
_HEAD, _OPTIMIZER = "head.", "optimizer."


@dataclass(frozen=True, eq=False)
class HeadLesson:
    """Images in known poses, without end.

    Attributes:
        model: image formation, as of :func:`temporem.poses.head.head_model`.
        volumes: what is seen, in its box.
        latents: conformations to draw from, ``(N, q)``.
        ctf: CTF to draw from, in units of the noise, ``(N', P)``.
        shift_sd_angstrom: standard deviation of shifts.
        window: what images are multiplied by, ``(D, D)``.
    """

    model: ForwardModel
    volumes: LinearVolumes
    latents: Tensor
    ctf: Tensor
    shift_sd_angstrom: float
    window: Tensor

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Poses]:
        """Draw n images and their CTF, ``(n, P)`` each, and their poses."""
        slices, rotations = self.draw_slices(n, generator)
        ctf = self.ctf[torch.randint(len(self.ctf), (n,), generator=generator)]
        shifts = self.shift_sd_angstrom * torch.randn(n, 2, generator=generator).double()
        images = self.model.observe(slices, ctf, self.model.shift_phase(shifts))
        noise = torch.randn(n, self.model.box, self.model.box, generator=generator) * self.window
        noise = noise / self.window.square().mean().sqrt()
        return images + self.model.support.fft(noise), ctf, Poses(rotations, shifts)

    def volumes_for(self, box: int) -> tuple[Tensor, Tensor]:
        """Mean volume, and components of what moves, in another box over the same field of view.

        Components are masked to where a part moves: a turn of the whole is a matter of poses.
        """
        mean, components = self.volumes.maps.tensor_split([1])
        mask = moving_mask(components, torch.eye(len(components)), self.model.box)
        return resized(mean, box)[0], resized(components * mask, box)

    @torch.no_grad()
    def draw_slices(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw slices ``(n, P)`` of random conformations in random rotations, and these."""
        z = self.latents[torch.randint(len(self.latents), (n,), generator=generator)]
        rotations = random_rotations(n, generator)
        return self.volumes(self.model.slice_frequencies(rotations.float()), z), rotations


def lesson_from(frames: Frames, poses: Poses, *, window_radius: float, seed: int) -> HeadLesson:
    """Make a lesson from frames in poses so far: a linear model of them at low resolution.

    Args:
        frames: frames on the CPU; the training movies are used.
        poses: rotations, and shifts from where the frames are centred.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        seed: seed of random numbers.
    """
    before, model = frames.forward_model, head_model(frames.forward_model)
    placed = replace(
        frames,
        source=Recentred(frames.source, before, poses.shifts_angstrom),
        rotations=poses.rotations.float(),
        processes=SINGLE_PROCESS,
    )
    fit = fit_coarse(
        placed,
        frames.training,
        [max(1, min(_COMPONENTS, largest_components(frames.training)))],
        frames.statistics.spectral_prior,
        temporal=any(len(movie) > 1 for movie in frames.training),
        window_radius=window_radius,
        seed=seed,
    )
    found = fit.parameters.volumes
    axes = principal_axes(fit.solver, found)
    components = torch.einsum("ij,jzyx->izyx", axes.to(found), found[1:])
    maps = resized(torch.cat([found[:1], components]).float(), model.box)
    volumes = LinearVolumes(model.box, len(components))
    volumes.set_maps(maps)
    rows = np.concatenate(frames.training)
    ctf = torch.cat(
        [
            frames.source.take(part, len(model.support))[1]
            for part in blocks_of(rows, len(model.support))
        ]
    )
    return HeadLesson(
        model=model,
        volumes=volumes,
        latents=fit.sums.posterior.transformed(axes).mean[torch.from_numpy(rows)].float(),
        ctf=ctf[ctf.any(1)],
        shift_sd_angstrom=float(poses.shifts_angstrom[rows].square().mean().sqrt()),
        window=image_window(model.box, window_radius),
    )


def empty_head(frames: Frames) -> PoseHead:
    """Make a head for frames, to load stored weights into."""
    statistics = frames.statistics
    power = (statistics.signal_power / statistics.ctf_power).cpu()
    return PoseHead(head_model(frames.forward_model), power, 1.0)


def new_head(frames: Frames, lesson: HeadLesson, seed: int) -> PoseHead:
    """Make a head whose first layer knows the molecule from some random directions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = empty_head(frames)
    head.prior_sd_angstrom.fill_(max(lesson.shift_sd_angstrom, _LEAST_SHIFT_SD))
    generator = torch.Generator().manual_seed(seed)
    slices, _ = lesson.draw_slices(_IMAGES_PER_STEP, generator)
    images, ctf, _ = lesson.draw(_IMAGES_PER_STEP, generator)
    head.begin_with(slices, images, ctf)
    return head


@dataclass(frozen=True, eq=False)
class HeadState:
    """A training of a head after one of its steps, valid until the next is requested.

    Attributes:
        head: the network.
        optimizer: Adam, with its moments.
        step: steps that are done.
        finished: no step is left.
        record: numbers to log.
    """

    kind: ClassVar[str] = "head"
    sound: ClassVar[bool] = True

    head: PoseHead
    optimizer: torch.optim.Optimizer
    step: int = 0
    finished: bool = False
    record: Mapping[str, Any] | None = None

    def parts(self) -> Parts:
        """Copy the state; a finished one leaves out what only training needs."""
        tensors = module_tensors(self.head, _HEAD)
        if not self.finished:
            tensors |= optimizer_tensors(self.optimizer, _OPTIMIZER)
        copies = {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}
        return Parts(self.kind, copies, {"step": self.step, "finished": self.finished})

    @classmethod
    def of(cls, head: PoseHead) -> HeadState:
        """The state before the first step."""
        return cls(head, torch.optim.Adam(head.parameters(), _RATE, betas=(0.9, 0.99)))

    @classmethod
    def from_parts(cls, parts: Parts, head: PoseHead, images: int) -> HeadState:
        """Load a stored state of a training on a number of images into a new head.

        Raises:
            TemporemError: a part does not fit the head.
        """
        load_head(parts, head)
        finished, state = parts.flag("finished"), cls.of(head)
        if not finished:
            load_optimizer(state.optimizer, parts, _OPTIMIZER)
        step = parts.integer("step", most=_n_steps(images) - (not finished))
        return replace(state, step=step, finished=finished)


def load_head(parts: Parts, head: PoseHead) -> PoseHead:
    """Load the weights of a stored state into a new head.

    Raises:
        TemporemError: they belong to another network.
    """
    parts.require_kind(HeadState.kind)
    load_module(head, parts, _HEAD)
    return head


def head_states(
    lesson: HeadLesson,
    head: PoseHead,
    *,
    images: int,
    seed: int,
    resume: HeadState | None = None,
    progress: Progress | None = None,
) -> Iterator[HeadState]:
    """Train a head step by step; yields the state after every step.

    Each step maximises the log-density of the true poses of new images. Random numbers are
    functions of seed and step, so a resumed training ends like one that was never stopped.

    Args:
        lesson: where images come from.
        head: a new head; not used with ``resume``.
        images: number of images of the whole training.
        seed: of all random numbers.
        resume: state to continue from.
        progress: receives the progress.
    """
    state, progress = resume or HeadState.of(head), progress or Progress()
    steps = _n_steps(images)
    parameters = [*state.head.parameters()]
    if state.finished:
        yield state
    while not state.finished:
        seeds = np.random.SeedSequence([seed, state.step]).generate_state(1)
        generator = torch.Generator().manual_seed(int(seeds[0]))
        seen, ctf, true = lesson.draw(_IMAGES_PER_STEP, generator)
        answers = state.head(seen, ctf)
        rotations, shifts = true.rotations.float(), true.shifts_angstrom.float()
        density = answers.log_density(rotations, shifts).mean()
        state.optimizer.zero_grad(set_to_none=True)
        (-density).backward()
        torch.nn.utils.clip_grad_norm_(parameters, _GRADIENT_CLIP)
        for group in state.optimizer.param_groups:
            group["lr"] = _learning_rate(state.step, steps)
        state.optimizer.step()
        done = state.step + 1
        record = None
        if done % _STEPS_PER_RECORD == 0 or done == steps:
            record = {"step": done, "log_density": density.item()}
        state = replace(state, step=done, finished=done == steps, record=record)
        progress(done, steps, "pose head")
        yield state


@torch.no_grad()
def infer_answers(head: PoseHead, frames: Frames, brighter: float = 1.0) -> PoseAnswers:
    """Infer the poses of all N frames, their shifts from where the frames are centred.

    Args:
        head: a trained head.
        frames: frames on the CPU.
        brighter: intensity of the molecule beside the noise, that in training being 1.
    """
    n_pixels = len(head.model.support)
    found = []
    for rows in blocks_of(np.arange(len(frames)), n_pixels):
        images, ctf = frames.source.take(rows, n_pixels)
        found.append(head(images, brighter * ctf))
    names = [field.name for field in fields(PoseAnswers)]
    return PoseAnswers(*(torch.cat([getattr(part, name) for part in found]) for name in names))


def _n_steps(images: int) -> int:
    return math.ceil(images / _IMAGES_PER_STEP)


def _learning_rate(step: int, steps: int) -> float:
    """Adam's step size: a short rise, then half a cosine to 0 (Loshchilov and Hutter 2017)."""
    falling = 0.5 * (1 + math.cos(math.pi * step / steps))
    return _RATE * min(1.0, (step + 1) / _RATE_RISE) * falling
