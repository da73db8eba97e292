"""Clusters of the latents, with a volume of each."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

from PIL import Image

from temporem.errors import TemporemError
from temporem.physics.k_means import n_different
from temporem.report.render import render_isosurface
from temporem.runs.latent_points import cluster_frames, cluster_points, latents_of_run
from temporem.viewing.gallery import Panel
from temporem.viewing.latents import packed_whole
from temporem.viewing.sources import points_key

MOST = 12
"""Clusters that a page shows."""

_SEED = 0  # as temporem export has it
_PICTURE = 160  # pixels


def clusters_document(panel: Panel, k: int) -> dict[str, Any]:
    """Group the frames of a panel; its volumes become a path, as ``temporem export --clusters``.

    There are fewer clusters than asked for where fewer latents differ.

    Returns:
        A JSON value: cluster of every frame from 0, name and labels of the path, and for each
        cluster its number of frames, the row of the frame nearest to its centre, and a picture.

    Raises:
        TemporemError: no latents, or too many clusters.
    """
    run = panel.run().run
    if not 1 <= k <= MOST:
        raise TemporemError(f"{k} clusters", expected=f"a number from 1 to {MOST}")
    latents = latents_of_run(run)
    k = min(k, n_different(latents))
    found = cluster_frames(latents, k, _SEED)
    points = cluster_points(latents, found)
    key = points_key(points.z)
    series = panel.run().series_of(points)
    panel.keep_path(key, replace(series, record={**series.record, "clusters": k}))
    return {
        "id": key,
        "labels": points.labels,
        "label": packed_whole(found.label - 1),
        "sizes": found.sizes.tolist(),
        "nearest": found.nearest.tolist(),
        "pictures": [_picture(panel, key, number) for number in range(k)],
    }


def _picture(panel: Panel, key: str, number: int) -> str:
    """A volume as base64 of a PNG, without ground."""
    volume = panel.volume(key, number)
    height = panel.levels.value(panel.levels.start)
    drawn = render_isosurface(volume, height, panel.view, _PICTURE, tint=panel.still)
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
