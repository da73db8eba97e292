"""Volumes of a run as a folder of files, which can be stopped and continued.

::

    DIR/export.json                 what the folder holds: the run, the frames, the grid
    DIR/frame_000007_movie_0001_0008_0.35s.mrc
                                    the volume of row 7 of particles.star: movie, number of the
                                    frame, and its time if there is one
    DIR/frame_000007_movie_0001_0008_0.35s_sd.mrc
                                    linear, on request: posterior standard deviation of its voxels

Every file appears whole. A folder is finished when all of its frames are there.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.io.files import fresh_directory, held, readable_size
from temporem.io.json_file import read_json_object
from temporem.io.mrc import MRC_HEADER_BYTES, write_volume
from temporem.io.outputs import require_no_links, require_replaceable
from temporem.progress import Progress
from temporem.runs.decoder import Decoder
from temporem.runs.names import IDENTITY
from temporem.runs.run import Run
from temporem.runs.series import Series
from temporem.version import __version__

RECORD_NAME = "export.json"
FORMAT = "temporem volumes 1"


@dataclass(frozen=True)
class ExportOptions:
    """Size and kind of exported volumes.

    Attributes:
        downsample: edge of the volumes; frequencies beyond its Nyquist are left out. None keeps
            the run's edge.
        crop: edge of the central part to keep; None keeps all.
        deviation: also write the posterior standard deviation of every voxel.
    """

    downsample: int | None = None
    crop: int | None = None
    deviation: bool = False


def export_volumes(
    run: Run,
    out: str | Path,
    series: Series,
    options: ExportOptions,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
    voxels_per_batch: int = 2**22,
) -> None:
    """Write volumes, each as an MRC file of its name.

    Args:
        run: a finished run.
        out: the folder.
        series: the volumes.
        options: size and kind of the volumes.
        overwrite: replace an existing folder of volumes.
        resume: continue a folder that was stopped. It ends as it would have without the stop.
        progress: called after every batch.
        voxels_per_batch: voxels that are decoded at a time; bounds memory.

    Raises:
        TemporemError: the options do not fit the run; the folder exists, or was started from
            another run or with other options, or another process is writing it; the disk is too
            full.
    """
    progress = progress or Progress()
    out = Path(out)
    require_sizes(options, run.grid.box)
    if options.deviation:
        _require_deviation(run, series)
    record = _record(run, series, options)
    if resume:
        require_no_links([out, *out.glob("*")])
        _require_same(out, record)
    elif overwrite:
        require_replaceable(out, "a folder of volumes", holds=RECORD_NAME, inputs=[run.path])
    job = _Job(Cut(series, options), out)
    positions = np.arange(len(series))
    missing = [i for i in range(len(series)) if not (resume and job.has(i))]
    require_space(out, len(missing) * job.bytes_per_frame, replaced=overwrite)
    if not resume:
        with fresh_directory(out, overwrite=overwrite) as directory:
            text = json.dumps(record, indent=1)
            (directory / RECORD_NAME).write_text(text, encoding="utf-8")
    with held(out):
        for leftover in out.glob(".*.partial.mrc"):  # left behind by a killed process
            leftover.unlink()
        # Batches do not depend on which files are missing: so volumes round alike.
        size = max(1, voxels_per_batch // job.cut.decoder.box**3)
        for start in range(0, len(series), size):
            job.write(positions[start : start + size])
            done = min(start + size, len(series))
            progress(done, len(series), f"{done} of {len(series)} volumes")


class Cut:
    """The volumes of a series in the size that is wanted.

    Args:
        series: the volumes.
        options: their size.

    Attributes:
        decoder: decodes them, before they are cropped.
        edge: edge of a volume, voxels.
        pixel_size_angstrom: edge of a voxel, Å.
        origin_angstrom: where the first voxel is, Å from the first voxel of the whole volume.
    """

    def __init__(self, series: Series, options: ExportOptions) -> None:
        self.series = series
        self.options = options
        self.decoder = Decoder(series.source, series.rows, box=options.downsample)
        self.edge = options.crop or self.decoder.box
        self.pixel_size_angstrom = self.decoder.pixel_size_angstrom
        self._start = (self.decoder.box - self.edge) // 2
        self.origin_angstrom = self._start * self.pixel_size_angstrom

    def voxels(self, positions: np.ndarray) -> np.ndarray:
        """Volumes at positions ``(B,)`` in the series: ``(B, d, d, d)`` (z, y, x)."""
        return self._crop(self.decoder.voxels(self.series.rows[positions]))

    def voxel_deviations(self, positions: np.ndarray) -> np.ndarray:
        """Standard deviations of the voxels at positions ``(B,)``: ``(B, d, d, d)``."""
        return self._crop(self.decoder.voxel_deviations(self.series.rows[positions]))

    def each(self, voxels_per_batch: int = 2**22) -> Iterator[np.ndarray]:
        """All volumes ``(d, d, d)`` in order, decoded some at a time."""
        size = max(1, voxels_per_batch // self.decoder.box**3)
        for start in range(0, len(self.series), size):
            yield from self.voxels(np.arange(start, min(start + size, len(self.series))))

    def sample(self, most_voxels: int = 2**26) -> np.ndarray:
        """Some volumes, spread over the series, up to 24: ``(n, d, d, d)``."""
        most = min(24, max(2, most_voxels // self.edge**3))
        n = len(self.series)
        spread = np.linspace(0, n - 1, min(n, most)).round().astype(int)
        # Decoded one after another: the ones between are not kept.
        return np.concatenate([self.voxels(spread[i : i + 1]) for i in range(len(spread))])

    def _crop(self, volumes: np.ndarray) -> np.ndarray:
        kept = slice(self._start, self._start + self.edge)
        return volumes[:, kept, kept, kept]


@dataclass(frozen=True, eq=False)
class _Job:
    cut: Cut
    out: Path

    @property
    def bytes_per_frame(self) -> int:
        n = 2 if self.cut.options.deviation else 1
        return n * (MRC_HEADER_BYTES + 4 * self.cut.edge**3)

    def paths(self, position: int) -> list[Path]:
        """Files of a volume."""
        endings = ("", "_sd") if self.cut.options.deviation else ("",)
        name = self.cut.series.names[position]
        return [self.out / f"{name}{ending}.mrc" for ending in endings]

    def has(self, position: int) -> bool:
        """Tell if all files of a volume exist and are complete."""
        paths = self.paths(position)
        sizes = [path.stat().st_size for path in paths if path.is_file()]
        return len(sizes) == len(paths) and sum(sizes) == self.bytes_per_frame

    def write(self, positions: np.ndarray) -> None:
        """Write the missing files of a batch of volumes."""
        missing = [not self.has(position) for position in positions.tolist()]
        if not any(missing):
            return
        cut = self.cut
        arrays = [cut.voxels(positions)]
        if cut.options.deviation:
            arrays.append(cut.voxel_deviations(positions))
        for index in np.flatnonzero(missing):
            for path, volumes in zip(self.paths(positions[index]), arrays, strict=True):
                write_volume(
                    path,
                    volumes[index],
                    cut.pixel_size_angstrom,
                    origin_angstrom=cut.origin_angstrom,
                )


def require_sizes(options: ExportOptions, box: int) -> None:
    """Raise a TemporemError if options do not fit volumes with this edge."""
    if options.downsample and options.crop:
        raise TemporemError("--downsample and --crop exclude each other", hint="pass one of them")
    for name, size in (("--downsample", options.downsample), ("--crop", options.crop)):
        if size is not None and not (2 <= size <= box and size % 2 == 0):
            raise TemporemError(
                f"{name} {size}: volumes of this run have {box} voxels along an edge",
                expected=f"an even number from 2 to {box}",
            )


def _require_deviation(run: Run, series: Series) -> None:
    if not series.of_frames:
        raise TemporemError(
            "--deviation is the posterior of frames, and these latents are no frames",
            hint="leave it out",
        )
    run.require_covariance()


def _record(run: Run, series: Series, options: ExportOptions) -> dict[str, Any]:
    """Record of all that determines the content of a folder."""
    digest = hashlib.sha256()
    for name in IDENTITY:
        digest.update((run.path / name).read_bytes())
    return {
        "format": FORMAT,
        "temporem_version": __version__,
        "run": digest.hexdigest(),
        "method": run.config.method,
        "arithmetic": run.arithmetic,  # recorded when the run began
        "downsample": options.downsample,
        "crop": options.crop,
        "deviation": options.deviation,
        **series.record,
    }


def _require_same(out: Path, wanted: dict[str, Any]) -> None:
    """Refuse to resume a folder of other volumes, and name the first difference."""
    path = out / RECORD_NAME
    if not path.is_file():
        raise TemporemError(
            f"{out} has no {RECORD_NAME}, so --resume cannot continue it",
            hint="run the command without --resume",
        )
    started = read_json_object(path, hint="pass --overwrite")
    for key, value in wanted.items():
        before = started.get(key)
        if before == value:
            continue
        what = {
            "run": "from another run, or from this one before it changed",
            "rows": "with other frames",
            "latents": "with other latents",
            "names": "with other latents",
        }.get(key, f"with {key.replace('_', ' ')} = {reprlib.repr(before)}, not {value}")
        raise TemporemError(
            f"{out} was started {what}",
            expected="the same run and options as before",
            hint="write to another folder, or replace this one with --overwrite",
        )


def require_space(out: Path, needed: int, *, replaced: bool) -> None:
    """Raise a TemporemError if a disk has less room than volumes need.

    Args:
        out: the output.
        needed: bytes.
        replaced: the files that are there go.
    """
    if not out.parent.is_dir():
        return  # a later check refuses a missing folder
    free = shutil.disk_usage(out.parent).free
    if replaced and out.is_dir():
        free += sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    if needed > free:
        raise TemporemError(
            f"{out}: the volumes need {readable_size(needed)}, but {readable_size(free)} are free",
            hint="make the volumes smaller with --downsample or --crop, or export fewer frames",
        )
