"""Links between detections of neighbouring frames, by laptrack (Jaqaman et al., 2008)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from temporem.extraction.detection import Detections
from temporem.extraction.tracks import Track, track_of_places


def link(
    detections: Sequence[Detections],
    drift: np.ndarray,
    *,
    max_step: float,
    gap: int,
    min_frames: int,
) -> list[Track]:
    """Link detections to tracks.

    Linear assignment between neighbouring frames, then between ends and beginnings of tracks over
    gaps. In the frames of a gap, the particle is on the straight line between both ends. Steps are
    measured without the drift.

    Args:
        detections: of each frame.
        drift: displacement of each frame, ``(T, 2)`` pixels.
        max_step: largest distance from frame to frame, pixels.
        gap: longest gap, frames.
        min_frames: shorter tracks are left out.
    """
    counts = [len(found.places) for found in detections]
    if sum(counts) == 0:
        return []
    from laptrack import LapTrack

    frames = np.repeat(np.arange(len(counts)), counts)
    places = np.concatenate([found.places for found in detections])
    strength = np.concatenate([found.strength for found in detections])
    scale = np.concatenate([found.scale for found in detections])
    still = places - drift[frames]
    tracker = LapTrack(
        cutoff=max_step**2,
        # A particle that diffuses goes √(gap + 1) times as far.
        gap_closing_cutoff=max_step**2 * (gap + 1) if gap else False,
        gap_closing_max_frame_count=gap,
        splitting_cutoff=False,
        merging_cutoff=False,
    )
    by_frame = np.split(still, np.cumsum(counts)[:-1])
    tree = tracker.predict(by_frame)
    start = np.cumsum([0, *counts])
    tracks = []
    for nodes in _chains(tree, counts):
        rows = np.array([start[frame] + index for frame, index in nodes])
        if len(rows) >= min_frames:
            track = _filled(frames[rows], still[rows], strength[rows], drift)
            tracks.append(replace(track, scale=float(np.median(scale[rows]))))
    return tracks


def _chains(tree: object, counts: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Split the graph of links, which has no branches, into lists of (frame, index)."""
    import networkx as nx

    assert isinstance(tree, nx.Graph)
    chains = [sorted(part) for part in nx.connected_components(nx.Graph(tree))]
    linked = {node for chain in chains for node in chain}
    alone = [
        [(frame, i)] for frame, n in enumerate(counts) for i in range(n) if (frame, i) not in linked
    ]
    return chains + alone


def _filled(
    frames: np.ndarray, still: np.ndarray, strength: np.ndarray, drift: np.ndarray
) -> Track:
    """Fill gaps with places on the straight line between both ends."""
    every = np.arange(frames[0], frames[-1] + 1)
    line = np.stack([np.interp(every, frames, still[:, axis]) for axis in (0, 1)], axis=1)
    track = track_of_places("", every, line + drift[every])
    filled = np.full(len(every), np.nan)
    filled[frames - frames[0]] = strength
    return replace(track, strength=filled)
