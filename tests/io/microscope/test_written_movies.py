"""Movies in formats without specimens: MIB and Berkeley EMD, written by their layouts."""

import h5py
import numpy as np
import pytest
from rsciio.emd import file_writer

from helpers.movie_files import write_emd, write_mib
from temporem.errors import TemporemError
from temporem.io.microscope.readers import open_movie

RANDOM = np.random.default_rng(0)
MOVIE = RANDOM.integers(0, 250, (5, 12, 18)).astype(np.uint16)
T, Y, X = ("time", "s", 0.25), ("y", "nm", 0.4), ("x", "nm", 0.4)
TIMES = 0.5 * np.arange(5) / 10


def frames(path):
    """All frames, and the movie."""
    movie = open_movie(path)
    return movie.frames(0, movie.n_frames), movie


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32])
def test_mib_frames_and_times(tmp_path, kind):
    pixels, movie = frames(write_mib(tmp_path / "a.mib", MOVIE.astype(kind), TIMES))
    # RosettaSciIO, like the camera's own viewer, has the first line of the file at the bottom.
    assert np.array_equal(pixels, MOVIE[:, ::-1])
    assert movie.frame_seconds == pytest.approx(0.05)
    assert movie.pixel_size_angstrom is None
    assert np.array_equal(movie.frames(3, 4)[0], MOVIE[3, ::-1])


def test_uneven_times_of_a_mib_movie_are_no_scan(tmp_path):
    times = [0.0, 0.1, 0.2, 0.9, 1.0 - 1e-9]
    movie = open_movie(write_mib(tmp_path / "a.mib", MOVIE, times))
    assert movie.shape == MOVIE.shape
    assert movie.frame_seconds == pytest.approx(0.1, rel=0.01)


def test_one_mib_frame(tmp_path):
    movie = open_movie(write_mib(tmp_path / "a.mib", MOVIE[:1], TIMES[:1]))
    assert (movie.shape, movie.frame_seconds) == ((1, 12, 18), None)


def test_a_mib_movie_that_ends_early(tmp_path):
    path = write_mib(tmp_path / "a.mib", MOVIE, TIMES)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(TemporemError, match="cut short: its last frame has 806 bytes"):
        open_movie(path)


def test_a_mib_movie_of_fewer_frames_than_its_notes_say(tmp_path):
    path = write_mib(tmp_path / "a.mib", MOVIE, TIMES)
    notes = tmp_path / "a.hdr"
    notes.write_text("HDR,\t\nFrames in Acquisition (Number):\t5\nEnd\t\n")
    assert open_movie(path).n_frames == 5
    notes.write_text("HDR,\t\nFrames in Acquisition (Number):\t6\nEnd\t\n")
    with pytest.raises(TemporemError, match=r"has 5 frames, and a\.hdr says 6"):
        open_movie(path)


def test_raw_chips_of_a_mib_movie_are_refused(tmp_path):
    path = write_mib(tmp_path / "a.mib", MOVIE, TIMES)
    path.write_bytes(path.read_bytes().replace(b",U16,", b",R64,"))
    with pytest.raises(TemporemError, match="RAW MIB data not supported"):
        open_movie(path)


@pytest.mark.parametrize(
    ("order", "axes"),
    [
        ((0, 1, 2), (T, Y, X)),  # as ncempy
        ((2, 1, 0), (X, Y, T)),  # as HyperSpy
        ((0, 2, 1), (T, X, Y)),
        ((0, 1, 2), (("", "s", 0.25), ("", "nm", 0.4), ("", "nm", 0.4))),
        ((2, 1, 0), (("", "nm", 0.4), ("", "nm", 0.4), ("", "s", 0.25))),
        ((0, 1, 2), (("", "", 1.0), ("a", "[n_m]", 0.4), ("b", "[n_m]", 0.4))),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_berkeley_emd_in_any_order_of_axes(tmp_path, order, axes, first):
    path = write_emd(tmp_path / "a.emd", MOVIE.transpose(order), axes, first)
    pixels, movie = frames(path)
    assert np.array_equal(pixels, MOVIE)
    assert np.array_equal(movie.frames(2, 4), MOVIE[2:4])
    assert movie.pixel_size_angstrom == pytest.approx(4)
    told = any(unit == "s" for _, unit, _ in axes)
    assert movie.frame_seconds == (pytest.approx(0.25) if told else None)


@pytest.mark.parametrize(("order", "axes"), [((0, 1), (Y, X)), ((1, 0), (X, Y))])
def test_a_berkeley_emd_image(tmp_path, order, axes):
    pixels, _ = frames(write_emd(tmp_path / "a.emd", MOVIE[0].transpose(order), axes))
    assert np.array_equal(pixels, MOVIE[:1])


def test_berkeley_emd_as_rosettasciio_writes_it(tmp_path):
    axes = [
        {"name": name, "units": units, "scale": step, "offset": 0.0, "size": n, "navigate": i == 0}
        for i, ((name, units, step), n) in enumerate(zip((T, Y, X), MOVIE.shape, strict=True))
    ]
    signal = {
        "data": MOVIE,
        "axes": axes,
        "metadata": {"General": {"title": "a"}, "Signal": {}},
        "original_metadata": {},
    }
    file_writer(str(tmp_path / "a.emd"), signal)
    pixels, movie = frames(tmp_path / "a.emd")
    assert np.array_equal(pixels, MOVIE)
    assert movie.pixel_size_angstrom == pytest.approx(4)
    assert movie.frame_seconds == pytest.approx(0.25)


@pytest.mark.parametrize(
    "axes",
    [
        (("", "", 1.0),) * 3,
        (("z", "nm", 0.4), ("y", "nm", 0.4), ("x", "nm", 0.4)),
        (Y, T, X),
    ],
)
def test_a_berkeley_emd_whose_frames_are_not_told(tmp_path, axes):
    path = write_emd(tmp_path / "a.emd", MOVIE, axes)
    with pytest.raises(TemporemError, match="does not tell which of its axes"):
        open_movie(path)


def test_a_berkeley_emd_of_a_scan(tmp_path):
    path = write_emd(tmp_path / "a.emd", np.zeros((2, 3, 4, 5)), (T, Y, X, X))
    with pytest.raises(TemporemError, match="holds 2 x 3 x 4 x 5 of float64"):
        open_movie(path)


@pytest.mark.parametrize("way", ["link", "external", "virtual"])
def test_emd_data_in_another_file_is_not_read(tmp_path, way):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["data"] = MOVIE
    (tmp_path / "raw").write_bytes(MOVIE.tobytes())
    path = write_emd(tmp_path / "a.emd", MOVIE, (T, Y, X))
    with h5py.File(path, "a") as file:
        group = file["data/movie"]
        del group["data"]
        if way == "link":
            group["data"] = h5py.ExternalLink(str(secret), "data")
        elif way == "external":
            raw = [(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)]
            group.create_dataset("data", MOVIE.shape, MOVIE.dtype, external=raw)
        else:
            layout = h5py.VirtualLayout(MOVIE.shape, MOVIE.dtype)
            layout[:] = h5py.VirtualSource(str(secret), "data", MOVIE.shape)
            group.create_virtual_dataset("data", layout)
    with pytest.raises(TemporemError, match=r"a\.emd"):
        open_movie(path).frames(0, 1)


def test_pixels_that_are_not_square_are_no_obstacle_to_another_pixel_size(tmp_path):
    movie = open_movie(write_emd(tmp_path / "a.emd", MOVIE, (T, ("y", "nm", 0.8), X)))
    assert movie.pixel_size_angstrom is None
    assert "pixels of 4 x 8 Å, which are not square" in movie.pixel_size_fault
