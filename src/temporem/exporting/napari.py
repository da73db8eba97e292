"""An OME-Zarr image (OME-NGFF 0.4, Moore et al. 2021) with the axes time, z, y, x for napari."""

from __future__ import annotations

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

_LEVEL_NAME = "0"  # the array at full size, and the only one: volumes are small


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
            folders=[_LEVEL_NAME],
            inputs=[job.run.path],
        )
        require_space(job.out, 4 * n * cut.edge**3, replaced=job.overwrite)
        sample = cut.sample()
        level = find_level(sample, job.pictures.level)
        shape = (n, *(cut.edge,) * 3)
        with fresh_directory(job.out, overwrite=job.overwrite) as folder:
            group = zarr.open_group(str(folder), mode="a", zarr_format=2)
            array = group.create_array(
                _LEVEL_NAME,
                shape=shape,
                chunks=(1, *shape[1:]),
                dtype="<f4",
                chunk_key_encoding={"name": "v2", "separator": "/"},
            )
            for i, volume in enumerate(cut.each()):
                array[i] = volume
                job.progress(i + 1, n, f"{i + 1} of {n} volumes")
            group.attrs.update(metadata(job, cut, sample, level.value))
        return [
            f"Surface at {level}: the contrast begins there.",
            f"Next:  napari --plugin napari-ome-zarr {job.out}",
        ]


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
    transformations: list[dict[str, Any]] = [
        {"type": "scale", "scale": [interval or 1.0, spacing, spacing, spacing]},
        {"type": "translation", "translation": [begin, *(cut.origin_angstrom,) * 3]},
    ]
    least, most = float(sample.min()), float(sample.max())
    times = series.times_seconds
    return {
        "multiscales": [
            {
                "version": "0.4",
                "name": job.out.name,
                "axes": [time, *space],
                "datasets": [{"path": _LEVEL_NAME, "coordinateTransformations": transformations}],
                "type": "none",
                "metadata": {"description": "one scale", "method": "none", "version": "none"},
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
