"""Movies of the whole field of view: particles that diffuse, turn and deform, drift and counts.

Particles are the molecules of :mod:`temporem.simulation`, with the same motions, poses and forward
model; ``temporem extract`` finds them again, and its result is compared with the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from temporem.errors import TemporemError
from temporem.io.files import fresh_directory
from temporem.io.mrc import write_stack
from temporem.physics.poses import Poses
from temporem.simulation.config import FieldConfig, SimulationConfig
from temporem.simulation.drawing import FrameTable, draw_frames, random_stream
from temporem.simulation.field_truth import FieldTruth, write_field_truth
from temporem.simulation.images import clean_images, extent_of, require_fit
from temporem.simulation.in_memory import Count, load_motion
from temporem.simulation.truth import Truth, require_simulated

_FINE_PIXELS, _FINE_PART = 1.5, 0.4  # of the background's texture
_WIDER = 1.5  # images of particles are drawn in boxes wider than those to extract, for the CTF
_TURN_OF_DRIFT = 1.5  # radians, from the first to the last frame


@dataclass(frozen=True)
class _Walk:
    """Places of particles and stage: positions ``(particles, T, 2)`` and drift ``(T, 2)``, px."""

    positions: np.ndarray
    drift: np.ndarray


def simulate_field(
    config: SimulationConfig,
    output: str | Path,
    *,
    structures_dir: str | Path | None = None,
    overwrite: bool = False,
    progress: Count | None = None,
) -> dict[str, Any]:
    """Simulate movies of the field of view, and write them with their truth to a new folder.

    The particles are the movies of ``config``, some to each field. A particle comes at a random
    moment and stays for its number of frames; a field is as long as the longest stay.

    Args:
        config: what to simulate, with a section ``field``.
        output: folder to write: ``field_01.mrc`` and so on, and ``truth/``.
        structures_dir: searched first for structures.
        overwrite: replace the folder if it exists and is simulated.
        progress: called with the number of frames of particles done, and of all.

    Returns:
        A summary of what was simulated, of plain numbers.

    Raises:
        TemporemError: as :func:`temporem.simulation.in_memory.make_movies`, or the particles do not
            fit the field, or the configuration has defects.
    """
    if config.defects.any:
        raise TemporemError(
            "the section defects is for movies of particles, and this simulates fields",
            hint="leave out defects, or --field",
        )
    field = config.field or FieldConfig()
    config = config.model_copy(update={"missing_fraction": 0.0, "field": field})
    if overwrite:
        require_simulated(output, [] if structures_dir is None else [structures_dir])
    with fresh_directory(output, overwrite=overwrite) as directory:
        motion = load_motion(config, structures_dir, progress=progress)
        frames = draw_frames(config)
        require_fit(config, extent_of(motion, frames.parameters))
        random = np.random.default_rng(_seed(config))
        frames = _with_arrivals(config, frames, random)
        n_fields = -(-config.movies // field.particles)
        particle = _index(frames)
        walks = [_walk(config, field, random) for _ in range(n_fields)]
        owner = particle // field.particles
        first_row = np.array([np.flatnonzero(owner == i)[0] for i in range(n_fields)])
        place = np.stack(
            [
                walks[p // field.particles].positions[p % field.particles, number - 1]
                for p, number in zip(particle, frames.frame_numbers, strict=True)
            ]
        )
        centre = np.rint(place).astype(int)
        size = config.pixel_size_angstrom
        frames = FrameTable(
            **{
                **vars(frames),
                "ctf": frames.ctf[torch.from_numpy(first_row[owner])],  # one defocus a field
                "poses": Poses(frames.poses.rotations, torch.from_numpy(place - centre) * size),
            }
        )
        wide = config.model_copy(update={"box": 2 * int(config.box * _WIDER / 2)})
        images = clean_images(wide, motion, frames, progress)
        edge = (wide.box - config.box) // 2
        variance = float(images[:, edge : edge + config.box, edge : edge + config.box].var())
        counts = field.dose_per_frame * size**2
        images *= (config.snr * counts / variance) ** 0.5
        names = [f"field_{i + 1:02d}.mrc" for i in range(n_fields)]
        for i, name in enumerate(names):
            inside = owner == i
            drawn = _expected(
                field,
                config,
                walks[i],
                images[inside],
                centre[inside],
                frames.frame_numbers[inside],
                random,
            )
            blocks = (random.poisson(image).astype(np.float32)[None] for image in drawn)
            write_stack(directory / name, blocks, size)
        # The noise is that of the normalised images that extraction makes.
        truth = Truth.of_frames(config, motion, frames, noise_variance=1.0)
        write_field_truth(
            directory,
            FieldTruth(
                truth=truth,
                fields=np.array([names[i] for i in owner]),
                positions=place,
                drift={name: walk.drift for name, walk in zip(names, walks, strict=True)},
            ),
        )
    return {
        "fields": n_fields,
        "frames_per_field": config.longest_movie,
        "width": field.width,
        "particles": config.movies,
        "particle_frames": len(place),
        "pixel_size_angstrom": size,
        "electrons_per_pixel_and_frame": counts,
        "snr": config.snr,
        **{
            f"defocus_of_{name}": round(float(frames.ctf.defocus_u_angstrom[row]))
            for name, row in zip(names, first_row, strict=True)
        },
    }


def _seed(config: SimulationConfig) -> int:
    return int(torch.randint(2**62, (), generator=random_stream(config.seed, "field")))


def _index(frames: FrameTable) -> np.ndarray:
    """Index of the particle of every row, from 0."""
    return np.unique(frames.particle_names, return_inverse=True)[1]


def _with_arrivals(
    config: SimulationConfig, frames: FrameTable, random: np.random.Generator
) -> FrameTable:
    """Let every particle come at a random moment: numbers and times are those of the field."""
    particle = _index(frames)
    stays = np.bincount(particle)
    arrival = random.integers(0, config.longest_movie - stays + 1)
    numbers = frames.frame_numbers + arrival[particle]
    times = (numbers - 1) * config.frame_interval_seconds
    return FrameTable(**{**vars(frames), "frame_numbers": numbers, "times_seconds": times})


def _walk(config: SimulationConfig, field: FieldConfig, random: np.random.Generator) -> _Walk:
    """Draw the drift of a field and the walks of its particles, which stay half a box inside.

    Walks are reflected at the edges. Particles begin some distance from each other.
    """
    n, size = config.longest_movie, config.pixel_size_angstrom
    step = field.drift_angstrom_per_second * config.frame_interval_seconds / size
    angle = random.uniform(0, 2 * np.pi) + np.linspace(0, _TURN_OF_DRIFT, n)
    drift = step * np.stack([np.cos(angle), np.sin(angle)], axis=1).cumsum(axis=0)
    drift -= drift[0]
    low = config.box / 2 + 1 - np.minimum(drift.min(axis=0), 0)
    high = field.width - config.box / 2 - 2 - np.maximum(drift.max(axis=0), 0)
    if (high <= low).any():
        raise TemporemError(
            f"field.width: {field.width} pixels are too few for boxes of {config.box} and a drift "
            f"of {np.ptp(drift, axis=0).max():.0f} pixels",
            hint="set a larger field.width or less drift",
        )
    first = _apart(field.particles, low, high, 0.75 * config.box, random)
    sd = (2 * field.diffusion_angstrom2_per_second * config.frame_interval_seconds) ** 0.5 / size
    steps = sd * random.standard_normal((field.particles, n, 2))
    steps[:, 0] = first
    walk = np.cumsum(steps, axis=1) - low
    span = high - low
    walk = np.abs((walk + span) % (2 * span) - span)  # reflected at both ends
    return _Walk(walk + low + drift, drift)


def _apart(
    n: int, low: np.ndarray, high: np.ndarray, distance: float, random: np.random.Generator
) -> np.ndarray:
    """Draw n places ``(n, 2)``, none nearer to another than a distance, which may shrink."""
    places: list[np.ndarray] = []
    while len(places) < n:
        tries = random.uniform(low, high, (100, 2))
        for place in tries:
            if all(np.hypot(*(place - other)) >= distance for other in places):
                places.append(place)
                break
        else:
            distance *= 0.9
    return np.array(places)


def _expected(
    field: FieldConfig,
    config: SimulationConfig,
    walk: _Walk,
    images: np.ndarray,
    centres: np.ndarray,
    numbers: np.ndarray,
    random: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Expected counts of every frame, ``(width, width)``: background, texture and particles."""
    width, counts = field.width, field.dose_per_frame * config.pixel_size_angstrom**2
    texture = _texture(width, config.box / 2, random)
    transformed = np.fft.rfft2(texture)
    ky, kx = np.fft.fftfreq(width)[:, None], np.fft.rfftfreq(width)[None]
    half = images.shape[-1] // 2
    for number, (dx, dy) in enumerate(walk.drift, start=1):
        moved = np.fft.irfft2(
            transformed * np.exp(-2j * np.pi * (kx * dx + ky * dy)), s=(width, width)
        )
        canvas = np.pad(counts * (1 + field.texture * moved), half)
        for row in np.flatnonzero(numbers == number):
            x, y = centres[row]  # half a box is added on every side, so this is its corner
            canvas[y : y + 2 * half, x : x + 2 * half] += images[row]
        yield canvas[half : half + width, half : half + width].clip(0)


def _texture(width: int, coarse: float, random: np.random.Generator) -> np.ndarray:
    """Background of unit variance with coarse and fine parts, periodic, ``(width, width)``."""
    parts = [
        ndimage.gaussian_filter(random.standard_normal((width, width)), sigma, mode="wrap")
        for sigma in (coarse, _FINE_PIXELS)
    ]
    coarse_part, fine_part = (part / part.std() for part in parts)
    texture = coarse_part + _FINE_PART * fine_part
    return np.asarray(texture / texture.std())
