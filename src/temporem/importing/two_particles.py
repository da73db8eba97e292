"""Evidence against movies: two particles of one micrograph in one of them."""

from __future__ import annotations

import numpy as np

from temporem.importing.table import ForeignParticles

_COORDINATES = (
    ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"),
    ("location/micrograph_path", "location/center_x_frac", "location/center_y_frac"),
)
_NEAR_FRACTION = 0.01  # of a micrograph of cryoSPARC: about half a box


def two_particles(
    particles: ForeignParticles, movies: np.ndarray, numbers: np.ndarray
) -> str | None:
    """Find neighbouring frames of a movie that lie half a box or more apart in one micrograph.

    Args:
        particles: N images; their boxes must be known.
        movies: movie of each, ``(N,)``.
        numbers: position in its movie, ``(N,)``.

    Returns:
        What was found, for a message, or None.
    """
    for micrograph, *axes in _COORDINATES:
        if not all(name in particles.columns for name in (micrograph, *axes)):
            continue
        try:
            at = np.stack([particles.columns[n].astype(np.float64) for n in axes], axis=1)
        except ValueError:
            return None
        names = particles.columns[micrograph]
        in_pixels = micrograph.startswith("rln")
        # Coordinates of RELION count pixels of the micrograph, which are no larger than ours.
        near = particles.box / 2 if in_pixels else np.full(len(names), _NEAR_FRACTION)
        order = np.lexsort((numbers, np.unique(movies, return_inverse=True)[1]))
        one, other = order[:-1], order[1:]
        distance = np.linalg.norm(at[one] - at[other], axis=1)
        apart = (
            (movies[one] == movies[other]) & (names[one] == names[other]) & (distance > near[one])
        )
        if apart.any():
            i = int(np.argmax(apart))
            a, b = sorted((int(particles.rows[one[i]]), int(particles.rows[other[i]])))
            unit = "pixels" if in_pixels else "of its width"
            return (
                f"rows {a} and {b} (counted from 0) would be frames of the movie "
                f"{movies[one[i]]}, but they are two particles of the micrograph "
                f"{names[one[i]]}, {distance[i]:.4g} {unit} apart"
            )
    return None


def unplaced(particles: ForeignParticles, movies: np.ndarray) -> str | None:
    """Name a micrograph of which a movie has several images, where nothing tells their places."""
    for micrograph, *axes in _COORDINATES:
        if micrograph not in particles.columns or all(n in particles.columns for n in axes):
            continue
        names = particles.columns[micrograph]
        # Frames of RELION's movies are NUMBER@MOVIE: each has a name of its own.
        keys = [np.unique(values, return_inverse=True)[1] for values in (movies, names)]
        pairs = np.stack(keys, axis=1)
        _, first, counts = np.unique(pairs, axis=0, return_index=True, return_counts=True)
        if (counts > 1).any():
            return str(names[first[np.argmax(counts)]])
    return None
