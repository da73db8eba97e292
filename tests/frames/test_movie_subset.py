"""Some movies of a dataset as a dataset of their own."""

from __future__ import annotations

import numpy as np

from helpers.blobs import simulate_blobs
from temporem.frames.movie_subset import some_movies


def test_some_movies_keep_their_frames_in_order() -> None:
    data = simulate_blobs([3, 4, 2]).take([8, 7, 6, 5, 4, 3, 2, 1, 0]).dataset
    some = some_movies(data, [data.movies[2], data.movies[0]])
    assert [len(movie) for movie in some.movies] == [2, 3]
    before = np.concatenate([data.movies[2], data.movies[0]])
    after = np.concatenate(some.movies)
    np.testing.assert_array_equal(some.images[after], data.images[before])
    assert [some.particle_names[row] for row in after] == [data.particle_names[r] for r in before]
    assert (some.poses.rotations[after] == data.poses.rotations[before]).all()
    assert (some.ctf.defocus_u_angstrom[after] == data.ctf.defocus_u_angstrom[before]).all()
    assert some.frame_numbers[some.movies[1]].tolist() == [1, 2, 3]
