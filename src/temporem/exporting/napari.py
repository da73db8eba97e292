"""An OME-Zarr image (OME-NGFF 0.4, Moore et al. 2021) with the axes time, z, y, x for napari.

It holds a pyramid: each array has half as many voxels along an edge as the one before. Viewers show
the coarse ones while they load, and turn.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.exporting.base import ExportJob
from temporem.io.files import fresh_directory, require_new_directory
from temporem.io.outputs import require_replaceable
from temporem.report.level import find_level
from temporem.runs.export import Cut, require_sizes, require_space
from temporem.version import __version__

_MOST_LEVELS = 6
_SMALLEST = 32  # voxels along an edge of the coarsest array


class Napari:
    """An OME-Zarr folder, which napari and Fiji open."""

    name = "napari"
    summary = "an OME-Zarr image for napari (time, z, y, x)"
    resumes = False

    def check(self, out: Path) -> None:
        _library()

    def write(self, job: ExportJob) -> list[str]:
        if job.options.deviation:
            raise TemporemError("--deviation writes MRC files", hint="pass --format mrc")
        require_sizes(job.options, job.run.grid.box)
        zarr = _library()
        cut, n = Cut(job.series, job.options), len(job.series)
        require_new_directory(job.out, overwrite=job.overwrite)
        require_replaceable(
            job.out,
            "an OME-Zarr image",
            holds=".zgroup",
            folders=list(map(str, range(_MOST_LEVELS))),
            inputs=[job.run.path],
        )
        edges = pyramid(cut.edge)
        require_space(job.out, 4 * n * sum(edge**3 for edge in edges), replaced=job.overwrite)
        sample = cut.sample()
        level = find_level(sample, job.pictures.level)
        with fresh_directory(job.out, overwrite=job.overwrite) as folder:
            group = zarr.open_group(str(folder), mode="a", zarr_format=2)
            arrays = [
                group.create_array(
                    str(i),
                    shape=(n, edge, edge, edge),
                    chunks=(1, edge, edge, edge),
                    dtype="<f4",
                    chunk_key_encoding={"name": "v2", "separator": "/"},
                )
                for i, edge in enumerate(edges)
            ]
            for i, volume in enumerate(cut.each()):
                for array in arrays:
                    array[i] = volume
                    volume = halved(volume) if array is not arrays[-1] else volume
                job.progress(i + 1, n, f"{i + 1} of {n} volumes")
            group.attrs.update(metadata(job, cut, sample, level.value))
        return [
            f"Surface at {level}: the contrast begins there.",
            f"Next:  napari --plugin napari-ome-zarr {shlex.quote(str(job.out))}",
        ]


def pyramid(edge: int) -> list[int]:
    """Edges of the arrays in voxels, the full one first; each is half of the one before."""
    edges = [edge]
    while edges[-1] % 2 == 0 and edges[-1] // 2 >= _SMALLEST and len(edges) < _MOST_LEVELS:
        edges.append(edges[-1] // 2)
    return edges


def halved(volume: np.ndarray) -> np.ndarray:
    """Average blocks of 2 x 2 x 2 voxels."""
    half = volume.shape[0] // 2
    blocks = volume.reshape(half, 2, half, 2, half, 2)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float64).astype(np.float32))


def metadata(job: ExportJob, cut: Cut, sample: np.ndarray, level: float) -> dict[str, Any]:
    """Metadata of the image: axes with units, scale, origin, contrast.

    Where times are unknown or uneven, the first axis counts volumes and has no unit. The times
    stand beside the standard's entries in any case.
    """
    series, spacing = job.series, cut.pixel_size_angstrom
    interval = series.interval_seconds
    time: dict[str, str] = {"name": "t", "type": "time"}
    begin = 0.0
    if interval is not None:
        time["unit"] = "second"
        begin = float(series.times_seconds[0])
    space = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    datasets = []
    for i, edge in enumerate(pyramid(cut.edge)):
        size = spacing * cut.edge / edge
        # The centre of a block lies half a large voxel, less half a small one, beyond its first.
        start = cut.origin_angstrom + (size - spacing) / 2
        scale = {"type": "scale", "scale": [interval or 1.0, size, size, size]}
        place = {"type": "translation", "translation": [begin, start, start, start]}
        datasets.append({"path": str(i), "coordinateTransformations": [scale, place]})
    least, most = float(sample.min()), float(sample.max())
    times = series.times_seconds
    return {
        "multiscales": [
            {
                "version": "0.4",
                "name": job.out.name,
                "axes": [time, *space],
                "datasets": datasets,
                "type": "mean",
                "metadata": {
                    "description": "means of blocks of 2 x 2 x 2 voxels",
                    "method": "numpy.mean",
                    "version": np.__version__,
                },
            }
        ],
        "omero": {
            "name": job.out.name,
            "channels": [
                {
                    "label": "density",
                    "color": "FFFFFF",
                    "active": True,
                    "window": {"min": least, "max": most, "start": level, "end": most},
                }
            ],
            "rdefs": {"model": "greyscale"},
        },
        "temporem": {
            "version": __version__,
            "labels": series.labels,
            "times_seconds": times.tolist() if np.isfinite(times).all() else None,
            **series.record,
        },
    }


def _library() -> Any:
    try:
        import zarr
    except ImportError:
        raise TemporemError(
            "OME-Zarr images need the package zarr",
            hint="pip install 'temporem[napari]', or pass --format mrc, which napari reads with a "
            "plugin",
        ) from None
    return zarr
