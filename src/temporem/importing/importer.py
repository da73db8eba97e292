"""Turn particle images of other programs into a dataset."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from temporem.errors import TemporemError
from temporem.frames.contrast import MiddleContrast, contrast_of_images
from temporem.frames.dataset import read_star_folder, write_dataset
from temporem.importing.montage import Montage
from temporem.importing.movies import MovieRule, Movies, csv_rows, make_movies
from temporem.importing.pixels import Grid, PixelWork, check_stacks, choose_grid
from temporem.importing.readers import read_foreign
from temporem.importing.table import ForeignParticles, Given
from temporem.io.files import fresh_directory
from temporem.io.mrc import open_stack
from temporem.physics.forward import ForwardModel
from temporem.physics.poses import Poses

SOURCE_FOLDER = "source"
RECORD_NAME = "import.json"

_NEGLIGIBLE = 0.1  # of a Fourier coefficient at Nyquist
_MEASURED_FRAMES = 512  # for the sign of the contrast
_LARGE_BOX = 128  # pixels

Invert = Literal["auto", "yes", "no"]


@dataclass(frozen=True)
class ImportSettings:
    """How images are imported.

    Attributes:
        given: what the user says of the images.
        rule: which images are a movie; its CSV file is among the files to import.
        box: side of the dataset's images in pixels; None for that of the images.
        pixel_size_angstrom: their pixel size; None for the coarsest of the images.
        invert: flip the sign; ``auto`` finds out.
        normalise: take away a background plane and scale noise to 1, frame by frame.
        ignore: columns of image formation that are to be left out.
    """

    given: Given = field(default_factory=Given)
    rule: MovieRule = field(default_factory=MovieRule)
    box: int | None = None
    pixel_size_angstrom: float | None = None
    invert: Invert = "auto"
    normalise: bool = True
    ignore: Collection[str] = ()


@dataclass(frozen=True, eq=False)
class ImportPlan:
    """An import of which all is known but the pixels.

    Attributes:
        files: what the user named.
        particles: N images.
        movies: their movies.
        work: the work on pixels.
        contrast: what was measured, or None.
        notes: sentences for the user.
        doses: e⁻/Å² before each image, ``(N,)``, or None.
    """

    files: Sequence[Path]
    particles: ForeignParticles
    movies: Movies
    work: PixelWork
    contrast: MiddleContrast | None
    notes: Sequence[str]
    doses: np.ndarray | None

    def facts(self) -> dict[str, str]:
        """Tell in words what will be imported, for a table."""
        p, grid, lengths = self.particles, self.work.grid, self.movies.lengths
        boxes = sorted({stack.shape[-1] for stack in self.work.stacks})
        sizes = np.unique(self.work.pixel_sizes.round(4))
        low, high = lengths.min(), lengths.max()
        frames = str(low) if low == high else f"{low} to {high}"
        inverted = int((self.work.sign < 0).sum())
        return {
            "format": p.format,
            "images": f"{len(p)} in {len(self.work.stacks)} stack"
            + ("s" if len(self.work.stacks) > 1 else ""),
            "movies": f"{len(lengths)} of {frames} frames ({self.movies.rule})",
            "box": f"{_list(boxes)} → {grid.box} pixels",
            "pixel size": f"{_list(sizes)} → {grid.pixel_size_angstrom:.6g} Å",
            "poses": "none" if p.poses is None else "yes",
            "CTF": "1 everywhere" if self._has_no_ctf else "yes",
            "inverted": f"{inverted} images" if inverted else "no",
            "background": "plane taken away, noise scaled to 1"
            if self.work.normalise
            else "as it is",
        }

    @property
    def _has_no_ctf(self) -> bool:
        ctf = self.particles.ctf
        return ctf is None or bool((ctf.amplitude_contrast == 1).all())


def plan_import(files: Sequence[Path], settings: ImportSettings) -> ImportPlan:
    """Read tables and headers, compare what they say, and make movies; no image is written.

    Args:
        files: one ``.star`` file, or ``.cs`` files of one job, or stacks and folders of stacks;
            with them, ``.csv``, ``.pkl`` and ``.npz`` files of poses, CTF and movies.
        settings: how to import them.

    Raises:
        TemporemError: anything that keeps the files from becoming a dataset.
    """
    particles, csv = read_foreign(files, settings.given)
    rule = replace(settings.rule, csv=csv)
    stacks = [open_stack(path) for path in particles.stacks]
    sizes = check_stacks(particles, stacks)
    if particles.ctf is None:
        raise TemporemError(
            f"{particles.file} has no CTF parameters",
            expected="defocus, voltage, spherical aberration and amplitude contrast",
            hint="pass --ctf none for images that are formed without a CTF: negative stain far "
            "below its first zero, dark field, projections",
        )
    boxes = np.array([stack.shape[-1] for stack in stacks])[particles.stack_index]
    particles = replace(particles, box=boxes)
    movies = make_movies(particles, rule)
    grid = choose_grid(boxes, sizes, settings.box, settings.pixel_size_angstrom)
    notes = [
        *particles.notes,
        *_movie_notes(movies),
        *_formation_notes(particles, grid, settings.ignore),
    ]
    particles = _in_angstrom(particles, sizes, grid)
    work = PixelWork(particles, stacks, sizes, grid, np.ones(len(particles)), settings.normalise)
    work, contrast = _with_sign(work, settings.invert, notes)
    if grid.box > _LARGE_BOX:
        notes.append(
            f"Memory and time grow with the box of {grid.box} pixels. --size 128 or less makes "
            "coarser images of the same field."
        )
    doses = None
    if csv is not None and "dose" in csv:
        doses = csv.floats("dose")[csv_rows(particles, csv)]
    return ImportPlan(files, particles, movies, work, contrast, notes, doses)


def write_import(
    plan: ImportPlan,
    output: Path,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the dataset, with a copy of the table that it came from and a picture of movies.

    Args:
        plan: what to write.
        output: folder to write.
        overwrite: replace the folder if it exists.
        progress: called with the number of images done and of all images.

    Raises:
        TemporemError: the folder cannot be written, or an image cannot be used.
    """
    p = plan.particles
    order = _by_movie(plan.movies)
    montage = Montage(order, plan.movies.names)

    def images() -> Iterator[np.ndarray]:
        done = 0
        for block in plan.work.blocks():
            montage.take(done, block)
            yield block
            done += len(block)
            if progress is not None:
                progress(done, len(p))

    assert p.ctf is not None
    with fresh_directory(output, overwrite=overwrite) as directory:
        source = directory / SOURCE_FOLDER
        source.mkdir()
        columns = {**_source_columns(plan, source)}
        if plan.doses is not None:
            columns["rlnMicrographPreExposure"] = plan.doses
        write_dataset(
            directory,
            images=images(),
            pixel_size_angstrom=plan.work.grid.pixel_size_angstrom,
            poses=p.poses,
            ctf=p.ctf,
            particle_names=plan.movies.names.tolist(),
            frame_numbers=plan.movies.numbers,
            times_seconds=plan.movies.times_seconds,
            columns=columns,
        )
        montage.save(directory / "montage.png")
        (source / RECORD_NAME).write_text(json.dumps(record(plan), indent=2), encoding="utf-8")
        _require_readable(directory, output)


def _require_readable(directory: Path, output: Path) -> None:
    """Read the dataset as every other command does, before it appears.

    Raises:
        TemporemError: it breaks a rule of datasets.
    """
    try:
        read_star_folder(directory).formed("file")
    except TemporemError as error:
        raise TemporemError(str(error).replace(str(directory), str(output))) from None


def record(plan: ImportPlan) -> dict[str, Any]:
    """Everything that an import did, for a program to read."""
    contrast = plan.contrast
    return {
        "files": [str(path.resolve()) for path in plan.files],
        "facts": plan.facts(),
        "notes": list(plan.notes),
        "contrast": None if contrast is None else asdict(contrast),
    }


def _movie_notes(movies: Movies) -> list[str]:
    """Warn of movies that may be wrong, or that no method can use."""
    notes = [] if movies.doubt is None else [movies.doubt]
    if len(movies.lengths) < 2:
        return [*notes, "Warning: this is one movie, and every method needs two."]
    if movies.lengths.max() < 2:
        return [
            *notes,
            "Warning: every movie has one frame, so nothing tells how the molecule moves. Only "
            "--method static and homogeneous take such movies.",
        ]
    return notes


def _formation_notes(particles: ForeignParticles, grid: Grid, ignore: Collection[str]) -> list[str]:
    """Say what is corrected and what is too small to matter; refuse what is left."""
    wanted = {name.removeprefix("_") for name in ignore}
    known = {item.column for item in particles.unmodelled}
    for name in sorted(wanted - known):
        raise TemporemError(
            f"--ignore {name}: there is nothing to ignore",
            expected=f"one of {', '.join(sorted(known))}" if known else "no such option",
        )
    notes = []
    optics = [particles.optics[i] for i in np.unique(particles.optics_index)]
    if any(group.phase_flipped for group in optics):
        notes.append("Phases were flipped by the sign of the CTF; they are flipped back.")
    if any(group.turns_phases for group in optics):
        notes.append("Beam tilt and other odd aberrations are corrected in the images.")
    if any(group.stretches for group in optics):
        notes.append("Anisotropic magnification is corrected in the images.")
    spacing = grid.finest_spacing_angstrom
    for item in particles.unmodelled:
        effect = item.effect(spacing)
        size = f"at most {min(effect, 1):.0%} of the signal at {spacing:.3g} Å"
        if effect <= _NEGLIGIBLE:
            notes.append(f"{item.column} ({item.what}) is left out; it changes {size}.")
        elif item.column in wanted:
            notes.append(f"{item.column} ({item.what}) is ignored, as asked; it changes {size}.")
        else:
            raise TemporemError(
                f"{particles.file}: {item.column} is {item.what}, and a dataset cannot hold it; "
                f"it changes {size}",
                expected=f"at most {_NEGLIGIBLE:.0%}",
                hint=f"pass --ignore {item.column}"
                + (", or a coarser --pixel-size" if item.power else ""),
            )
    return notes


def _in_angstrom(particles: ForeignParticles, sizes: np.ndarray, grid: Grid) -> ForeignParticles:
    """Bring displacements to Å and to images without stretch, and check that they are inside."""
    poses = particles.poses
    if poses is None:
        return particles
    shifts = poses.shifts_angstrom.clone()
    if particles.poses_in_pixels:
        shifts = shifts * torch.from_numpy(sizes)[:, None]
    for index, optics in enumerate(particles.optics):
        if optics.stretches:
            mine = torch.from_numpy(particles.optics_index == index)
            inverse = torch.linalg.inv(torch.tensor(optics.magnification, dtype=torch.float64))
            shifts[mine] = shifts[mine] @ inverse  # M⁻ᵀ d, as rows
    farthest = grid.box * grid.pixel_size_angstrom / 2
    inside = (shifts.abs() <= farthest).all(dim=1).numpy()
    row = int(np.argmin(inside))
    particles.check(
        inside,
        f"the particle is {float(shifts[row].abs().max()):.4g} Å from the centre of its image, in "
        "x or y",
        f"at most {farthest:.4g} Å, half of the new box",
        "take a larger --size, or extract the particle again at its place",
    )
    return replace(particles, poses=Poses(poses.rotations, shifts), poses_in_pixels=False)


def _with_sign(
    work: PixelWork, invert: Invert, notes: list[str]
) -> tuple[PixelWork, MiddleContrast | None]:
    """Decide which images are inverted, so that the molecule is bright."""
    n = len(work.particles)
    if invert == "no":
        return work, None
    if invert == "yes":
        return replace(work, sign=-np.ones(n)), None
    rows = np.unique(np.linspace(0, n - 1, min(n, _MEASURED_FRAMES)).round().astype(np.int64))
    step = max(1, 2**21 // max(stack.shape[-1] for stack in work.stacks) ** 2)
    raw = replace(work, normalise=False)
    parts = np.split(rows, range(step, len(rows), step))
    recorded = work.particles.sign
    known = bool((recorded != 0).any())
    signed = replace(raw, sign=np.where(recorded == 0, 1, recorded).astype(float)) if known else raw
    contrast = _contrast(signed, parts)
    if known:
        dark = int((recorded < 0).sum())
        notes.append(f"blob/sign says that {dark} of {n} images are dark; these are inverted.")
        if contrast.sign < 0:
            notes.append(
                f"Warning: after that, {contrast}. Look at montage.png; --invert yes or no decides."
            )
        return replace(work, sign=signed.sign), contrast
    notes.append(f"Sign: {contrast}.")
    if contrast.sign < 0:
        notes.append("The images are inverted, so that the molecule is bright (--invert no: not).")
        return replace(work, sign=-np.ones(n)), contrast
    if contrast.sign == 0:
        notes.append(
            "Warning: the sign is not certain, and the images are taken as they are. Look at "
            "montage.png; --invert yes or no decides."
        )
    return work, contrast


def _contrast(work: PixelWork, parts: Sequence[np.ndarray]) -> MiddleContrast:
    """Measure the contrast of some rows, given in parts, on the grid of the dataset."""
    p, grid, rows = work.particles, work.grid, torch.from_numpy(np.concatenate(parts))
    assert p.ctf is not None
    none = torch.zeros(len(rows), 2, dtype=torch.float64)
    return contrast_of_images(
        (work.images(part) for part in parts),
        none if p.poses is None else p.poses.shifts_angstrom[rows],
        p.ctf[rows],
        ForwardModel(grid.box, grid.pixel_size_angstrom),
    )


def _source_columns(plan: ImportPlan, source: Path) -> dict[str, Any]:
    """Columns that name file, row and uid that every frame came from; tables are copied."""
    p, text = plan.particles, np.dtypes.StringDType()
    if p.format == "image stacks":
        files = np.array([str(path.resolve()) for path in p.stacks], dtype=text)[p.stack_index]
    else:
        name = re.sub(r"[^\w.+-]", "_", p.file.name, flags=re.ASCII).lstrip(".") or "table"
        shutil.copyfile(p.file, source / name)
        files = np.full(len(p), f"{SOURCE_FOLDER}/{name}", dtype=text)
    columns: dict[str, Any] = {"temporemSourceFile": files, "temporemSourceRow": p.rows}
    if p.uids is not None:
        columns["temporemSourceUid"] = p.uids
    return columns


def _by_movie(movies: Movies) -> list[np.ndarray]:
    """Rows of each movie in order of its frames."""
    group = np.unique(movies.names, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((movies.numbers, group))
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _list(values: Sequence[Any] | np.ndarray) -> str:
    texts = [f"{value:g}" for value in values]
    return ", ".join(texts) if len(texts) <= 4 else f"{texts[0]} to {texts[-1]}"
