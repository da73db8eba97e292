"""The motion of a run with a cloud, as a folder of files for viewers and programs.

::

    DIR/motion.json    bodies, hinges and numbers of all that moves
    DIR/motion.npz     positions, bodies, weights, latents; see docs/motion.md
    DIR/frames.star    angle of every hinge and displacement of every body, frame by frame
    DIR/states.cif     Gaussians along the path, a model for each state; .pdb too if they fit
    DIR/movie.cif      on request: Gaussians in every frame of one movie, .pdb too
    DIR/reference.mrc  volume of the reference state
    DIR/arrows.bild    how Gaussians move, for ChimeraX
    DIR/hinges.bild    axes of the hinges
    DIR/motion.cxc     opens all of them in ChimeraX
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.io.bild import BildDrawing
from temporem.io.files import fresh_directory
from temporem.io.models import fits_pdb, write_models
from temporem.io.mrc import write_volume
from temporem.io.outputs import require_replaceable
from temporem.io.star import StarTable, write_star
from temporem.runs.run import Run
from temporem.version import __version__
from temporem.volumes.cloud_motion import Band, CloudMotion, Hinge, cloud_of

RECORD_NAME = "motion.json"
FORMAT = "temporem motion 1"
_ARROWS = 150
_SHAFT_VOXELS, _AXIS_VOXELS = 0.12, 0.25  # radii
_STEPS = 5  # straight pieces of an arrow that bends
_SLOW, _FAST = np.array([0.35, 0.55, 0.85]), np.array([0.85, 0.25, 0.15])
_AXIS_COLOUR = (0.1, 0.1, 0.1)
_BEYOND = 10.0  # Å that an axis is longer than the body that turns


def require_cloud(run: Run) -> None:
    """Raise a TemporemError if a run has no cloud, and name the option that makes one."""
    try:
        cloud_of(run)
    except TemporemError:
        config = run.config
        network = f" --generator {config.model.generator}" if config.method == "tempor" else ""
        raise TemporemError(
            f"{run.path} was made with --method {config.method}{network}, in which density changes "
            "in place and nothing moves",
            expected="a run of --generator cloud",
            hint=f"make one with temporem reconstruct {config.dataset} -o NEW --method tempor "
            "--generator cloud",
        ) from None


def require_motion_folder(out: Path, run: Run, *, overwrite: bool) -> None:
    """Raise a TemporemError if a folder must not be replaced."""
    if overwrite:
        require_replaceable(out, "a folder of motion", holds=RECORD_NAME, inputs=[run.path])


def write_motion_folder(
    run: Run,
    motion: CloudMotion,
    out: Path,
    *,
    movie: str | None = None,
    more: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a motion as a folder.

    Args:
        run: the run that it was measured in.
        motion: what :func:`temporem.volumes.cloud_motion.find_motion` found in it.
        out: the folder.
        movie: also write a model for every frame of this movie.
        more: further entries of ``motion.json``, such as errors against a truth.
        overwrite: replace a folder of this kind.

    Raises:
        TemporemError: no cloud, no such movie; the folder exists, or holds other things.
    """
    require_cloud(run)
    require_motion_folder(out, run, overwrite=overwrite)
    rows = None if movie is None else run.rows_of_movie(movie)
    with fresh_directory(out, overwrite=overwrite) as folder:
        _Writer(run, motion, folder).write(rows, movie, more or {})


def summary(motion: CloudMotion) -> dict[str, Any]:
    """The bodies and hinges of a motion as a document of numbers, lengths in Å."""
    travel = motion.body_travel().tolist()
    displacement = motion.displacement
    widths = (displacement.high - displacement.low).median(0).values.tolist()
    bodies = [
        {
            "body": _letter(index),
            "gaussians": int((motion.bodies.labels == index).sum()),
            "share_of_density": float(motion.bodies.share[index]),
            "travel_angstrom": travel[index],
            "median_band_angstrom": widths[index],
        }
        for index in range(len(motion.bodies))
    ]
    return {
        "moves": motion.moves,
        "misfit_angstrom": list(motion.bodies.misfit),
        "misfit_that_matters_angstrom": motion.least,
        "whole_turn_degrees": motion.whole_degrees,
        "bodies": bodies,
        "hinges": [_hinge_record(hinge) for hinge in motion.hinges],
    }


def _hinge_record(hinge: Hinge) -> dict[str, Any]:
    angle = hinge.angle_degrees
    return {
        "body": _letter(hinge.body),
        "against": _letter(hinge.against),
        "turns": hinge.turns,
        "about_one_axis": hinge.single,
        "axis_direction": hinge.axis.direction.tolist(),
        "axis_point_angstrom": hinge.axis.point.tolist(),
        "share_about_axis": hinge.axis.share,
        "range_degrees": angle.reach,
        "median_band_degrees": angle.width,
        "slide_range_angstrom": Band(hinge.axis.slide, hinge.axis.slide, hinge.axis.slide).reach,
    }


class _Writer:
    def __init__(self, run: Run, motion: CloudMotion, folder: Path) -> None:
        self.run, self.motion, self.folder = run, motion, folder
        self.pixel = run.grid.pixel_size_angstrom
        # Volumes are written with the first voxel at 0, as ChimeraX reads them.
        self.centre = (run.grid.box // 2) * self.pixel

    def write(self, rows: np.ndarray | None, movie: str | None, more: Mapping[str, Any]) -> None:
        in_movie = None if rows is None else self._positions(self.run.latents_of(rows))
        self._write_record(movie, more)
        self._write_arrays(rows, in_movie)
        self._write_frames()
        written = self._write_models("states", self.motion.path)
        if in_movie is not None:
            self._write_models("movie", in_movie)
        z = self.motion.path_latents[self.motion.bodies.reference]
        volume = self.run.volume(z.to(self.run.latent_means.device)).numpy()
        write_volume(self.folder / "reference.mrc", volume, self.pixel)
        self._write_arrows()
        self._write_axes()
        (self.folder / "motion.cxc").write_text(self._commands(written, volume), encoding="ascii")

    def _write_record(self, movie: str | None, more: Mapping[str, Any]) -> None:
        record = {
            "format": FORMAT,
            "temporem_version": __version__,
            "centre_angstrom": self.centre,
            "movie": movie,
            **summary(self.motion),
            **more,
        }
        text = json.dumps(record, indent=1, allow_nan=False)
        (self.folder / RECORD_NAME).write_text(text, encoding="utf-8")

    def _write_arrays(self, rows: np.ndarray | None, in_movie: Tensor | None) -> None:
        motion, axes = self.motion, self.motion.hinges
        arrays: dict[str, Any] = {
            "path_latents": motion.path_latents,
            "path_positions": motion.path.float(),
            "weights": motion.weights,
            "body": motion.bodies.labels,
            "travel": motion.travel,
            "body_displacement": motion.displacement.value,
            "body_displacement_low": motion.displacement.low,
            "body_displacement_high": motion.displacement.high,
            "hinge_bodies": torch.tensor([(h.body, h.against) for h in axes]).reshape(-1, 2),
            "hinge_direction": _stacked([h.axis.direction for h in axes], 3),
            "hinge_point": _stacked([h.axis.point for h in axes], 3),
            "hinge_angle": _stacked([h.angle_degrees.value for h in axes], self.run.n_frames),
            "hinge_angle_low": _stacked([h.angle_degrees.low for h in axes], self.run.n_frames),
            "hinge_angle_high": _stacked([h.angle_degrees.high for h in axes], self.run.n_frames),
            "hinge_path_angle": _stacked([h.path_degrees for h in axes], len(motion.path)),
            "centre": torch.tensor(self.centre),
        }
        if rows is not None and in_movie is not None:
            arrays |= {"movie_rows": torch.from_numpy(rows), "movie_positions": in_movie.float()}
        numbers = {name: value.numpy() for name, value in arrays.items()}
        np.savez_compressed(self.folder / "motion.npz", **numbers)

    def _write_frames(self) -> None:
        columns: dict[str, Any] = {
            "rlnParticleName": self.run.particle_names,
            "rlnMovieFrameNumber": self.run.frame_numbers,
        }
        for number, hinge in enumerate(self.motion.hinges, start=1):
            columns |= _band_columns(f"Hinge{number}Angle", hinge.angle_degrees)
        for index in range(len(self.motion.bodies)):
            band = self.motion.displacement
            its = Band(band.value[:, index], band.low[:, index], band.high[:, index])
            columns |= _band_columns(f"Body{_letter(index)}Displacement", its)
        name = "frames.star"
        write_star(self.folder / name, {"frames": StarTable(columns, where=name)})

    def _write_models(self, name: str, states: Tensor) -> str:
        """Write models of states ``(S, N, 3)``; the name of the file that viewers read best."""
        placed = (states + self.centre).numpy()
        bodies = self.motion.bodies.labels.numpy()
        best = f"{name}.cif"
        suffixes = [".cif", ".pdb"] if fits_pdb(placed, bodies) else [".cif"]
        for suffix in suffixes:
            best = name + suffix
            write_models(
                self.folder / best,
                placed,
                bodies,
                self.motion.weights.numpy(),
                self.motion.travel.numpy(),
            )
        return best

    def _write_arrows(self) -> None:
        drawing, motion = BildDrawing(), self.motion
        drawing.comment("paths of Gaussians from the first state to the last; red moves most")
        path = (motion.path + self.centre).numpy()
        kept = np.unique(np.linspace(0, len(path) - 1, _STEPS + 1).round().astype(int))
        most = float(motion.travel.max())
        for bead in _spread_out(motion, 2 * motion.least) if motion.moves else ():
            part = float(motion.travel[bead]) / most
            drawing.colour((1 - part) * _SLOW + part * _FAST)
            points, radius = path[kept, bead], _SHAFT_VOXELS * self.pixel
            for start, end in pairwise(points[:-1]):
                drawing.cylinder(start, end, radius)
            drawing.arrow(points[-2], points[-1], radius)
        drawing.write(self.folder / "arrows.bild")

    def _write_axes(self) -> None:
        drawing, motion = BildDrawing(), self.motion
        drawing.colour(_AXIS_COLOUR)
        for hinge in motion.hinges:
            if not hinge.turns:
                continue
            drawing.comment(
                f"body {_letter(hinge.body)} turns against {_letter(hinge.against)} by "
                f"{hinge.angle_degrees.reach:.0f} degrees"
            )
            start, end = self._ends(hinge)
            drawing.arrow(start, end, _AXIS_VOXELS * self.pixel)
        drawing.write(self.folder / "hinges.bild")

    def _ends(self, hinge: Hinge) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the part of an axis that is drawn: along the body, and a little further."""
        body = self.motion.reference[self.motion.bodies.labels == hinge.body]
        along = (body - hinge.axis.point) @ hinge.axis.direction
        ends = float(along.min()) - _BEYOND, float(along.max()) + _BEYOND
        points = [hinge.axis.point + end * hinge.axis.direction + self.centre for end in ends]
        return points[0].numpy(), points[1].numpy()

    def _commands(self, models: str, volume: np.ndarray) -> str:
        level = float(volume.mean() + 3 * volume.std())
        lines = [
            "# opens the motion in ChimeraX; the slider of model 1 plays it",
            f"open {models} coordsets true",
            "~bond #1",
            "style #1 sphere",
            f"size #1 atomRadius {0.35 * self.pixel:.2f}",
            "show #1 atoms",
            "color byattribute bfactor #1 palette 0,cornflowerblue:"
            f"{max(float(self.motion.travel.max()), 0.01):.2f},orangered",
            "open reference.mrc",
            f"volume #2 level {level:.4g} color #c0c0c060",
            "open arrows.bild",
            "open hinges.bild",
            "view",
        ]
        return "\n".join(lines) + "\n"

    def _positions(self, z: Tensor) -> Tensor:
        with torch.no_grad():
            return self.pixel * cloud_of(self.run).positions(z).double().cpu()


def _spread_out(motion: CloudMotion, least: float) -> list[int]:
    """Choose Gaussians that move, one of each cell of space, the cells as small as they may be."""
    points, moved = motion.reference.numpy(), motion.travel.numpy()
    moving = np.flatnonzero(moved > least)
    edge = 1.0
    while True:
        cells = np.floor(points[moving] / edge).astype(int)
        chosen = np.unique(cells, axis=0, return_index=True)[1]
        if len(chosen) <= _ARROWS:
            return moving[np.sort(chosen)].tolist()
        edge *= 1.25


def _band_columns(name: str, band: Band) -> dict[str, np.ndarray]:
    parts = {"": band.value, "Low": band.low, "High": band.high}
    return {f"temporem{name}{end}": values.float().numpy() for end, values in parts.items()}


def _stacked(parts: list[Tensor], n: int) -> Tensor:
    return torch.stack(parts) if parts else torch.empty(0, n)


def _letter(body: int) -> str:
    """Name of a body, as of its chain in the models."""
    return chr(ord("A") + body)
