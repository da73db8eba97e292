"""Which images become a movie, and what speaks against it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.foreign import table
from temporem.errors import TemporemError
from temporem.importing.movies import MovieRule, make_movies
from temporem.importing.table import ForeignParticles, Optics


def particles(stacks: list[int], sections: list[int], **columns: list) -> ForeignParticles:
    n = len(stacks)
    text = np.dtypes.StringDType()
    return ForeignParticles(
        file=Path("a.star"),
        format="RELION 3.1",
        rows=np.arange(n),
        stacks=[Path(f"dir/stack {i}.mrcs") for i in range(max(stacks) + 1)],
        stack_index=np.array(stacks),
        sections=np.array(sections),
        pixel_size_angstrom=np.full(n, 2.0),
        box=np.full(n, 64),
        ctf=None,
        poses=None,
        poses_in_pixels=False,
        optics=[Optics()],
        optics_index=np.zeros(n, dtype=int),
        sign=np.zeros(n, dtype=int),
        uids=None,
        columns={k: np.array([str(x) for x in v], dtype=text) for k, v in columns.items()},
    )


SIX = ([0, 0, 0, 1, 1, 1], [2, 0, 1, 0, 1, 2])


def test_existing_columns_are_the_rule_that_needs_no_option() -> None:
    found = make_movies(
        particles(*SIX, rlnParticleName=list("aabbcc"), rlnMovieFrameNumber=[1, 3, 1, 2, 1, 2]),
        MovieRule(),
    )
    assert found.names.tolist() == list("aabbcc")
    assert found.numbers.tolist() == [1, 3, 1, 2, 1, 2]
    assert "rlnParticleName" in found.rule


def test_columns_order_frames_by_number_time_or_dose() -> None:
    given = particles(*SIX, group=["x y", "b"] * 3, dose=[6.0, 1.5, 3.0, 0.5, 0.0, 4.5])
    found = make_movies(given, MovieRule("group", "dose"))
    assert found.names.tolist() == ["x_y", "b"] * 3
    assert found.numbers.tolist() == [3, 2, 2, 1, 1, 3]
    by_rows = make_movies(given, MovieRule("_group"))
    assert by_rows.numbers.tolist() == [1, 1, 2, 2, 3, 3]
    whole = replace(given, columns={**given.columns, "dose": given.columns["dose"].copy()})
    whole.columns["dose"][:] = ["2", "2", "5", "7", "9", "9"]
    assert make_movies(whole, MovieRule("group", "dose")).numbers.tolist() == [2, 2, 5, 7, 9, 9]


def test_counted_and_whole_stacks() -> None:
    found = make_movies(particles(*SIX), MovieRule(frames_per_movie=3))
    assert found.numbers.tolist() == [3, 1, 2, 1, 2, 3]
    assert len(set(found.names[:3])) == len(set(found.names[3:])) == 1
    stacks = make_movies(particles(*SIX), MovieRule(stack_is_movie=True))
    assert stacks.names.tolist() == ["stack_0"] * 3 + ["stack_1"] * 3
    assert stacks.numbers.tolist() == [3, 1, 2, 1, 2, 3]


@pytest.mark.parametrize(
    ("stacks", "sections", "length", "message"),
    [
        ([0] * 5, range(5), 2, "5 images are in use, which is no multiple of 2"),
        ([0] * 4, [0, 1, 2, 4], 2, "images are missing from the stack"),
        ([0, 0, 1, 1], [0, 1, 0, 1], 4, "no multiple of 4"),
        ([0] * 4, range(4), 0, "--frames-per-movie 0"),
    ],
)
def test_counting_is_refused_where_it_cannot_hold(
    stacks: list[int], sections: list[int], length: int, message: str
) -> None:
    with pytest.raises(TemporemError, match=message):
        make_movies(particles(stacks, list(sections)), MovieRule(frames_per_movie=length))


@pytest.mark.parametrize(
    "rule",
    [MovieRule(stack_is_movie=True), MovieRule(frames_per_movie=3), MovieRule("rlnMicrographName")],
)
def test_two_particles_of_a_micrograph_never_become_one_movie(rule: MovieRule) -> None:
    extracted = particles(
        [0] * 3, [0, 1, 2],
        rlnMicrographName=["m.mrc"] * 3, rlnCoordinateX=[100, 900, 420], rlnCoordinateY=[50] * 3,
    )  # fmt: skip
    with pytest.raises(TemporemError, match=r"two particles of the micrograph m\.mrc"):
        make_movies(extracted, rule)
    still = replace(extracted, columns={**extracted.columns})
    still.columns["rlnCoordinateX"] = np.array(["100", "104", "99"], dtype=np.dtypes.StringDType())
    assert make_movies(still, rule).numbers.tolist() == [1, 2, 3]


def test_a_table_of_movies_is_taken_at_its_word_with_a_warning() -> None:
    columns = {
        "rlnMicrographName": ["m.mrc"] * 3,
        "rlnCoordinateX": [100, 900, 420],
        "rlnCoordinateY": [50] * 3,
    }
    extracted = particles([0] * 3, [0, 1, 2], **columns)
    csv = table({"image": ["1", "2", "3"], "movie": ["a"] * 3})
    own = {"rlnParticleName": ["a"] * 3, "rlnMovieFrameNumber": [1, 2, 3]}
    for found in (
        make_movies(extracted, MovieRule(csv=csv)),
        make_movies(particles([0] * 3, [0, 1, 2], **columns, **own), MovieRule()),
    ):
        assert found.doubt is not None
        assert "rows 0 and 1 (counted from 0)" in found.doubt
        assert "800 pixels apart" in found.doubt
    apart = table({"image": ["1", "2", "3"], "movie": ["a", "b", "c"]})
    assert make_movies(extracted, MovieRule(csv=apart)).doubt is None


def test_images_of_one_micrograph_without_coordinates_are_doubted() -> None:
    extracted = particles([0] * 4, range(4), rlnMicrographName=["m.mrc"] * 2 + ["n.mrc"] * 2)
    by_micrograph = make_movies(extracted, MovieRule("rlnMicrographName"))
    assert by_micrograph.doubt is not None
    assert "several images of one micrograph (m.mrc)" in by_micrograph.doubt
    assert make_movies(extracted, MovieRule(frames_per_movie=1)).doubt is None
    frames = [f"{i}@m.mrcs" for i in range(4)]  # as RELION names the frames of a movie
    movie = particles([0] * 4, range(4), rlnMicrographName=frames)
    assert make_movies(movie, MovieRule(stack_is_movie=True)).doubt is None


def test_every_rule_keeps_recorded_times() -> None:
    given = particles(*SIX, group=list("aabbcc"), temporemTimeSeconds=[0, 1, 0, 2, 0.5, 1])
    for rule in (MovieRule("group"), MovieRule("group", "temporemTimeSeconds")):
        times = make_movies(given, rule).times_seconds
        assert times is not None
        assert times.tolist() == [0, 1, 0, 2, 0.5, 1]
    falling = particles(*SIX, group=list("aabbcc"), temporemTimeSeconds=[0, 1, 2, 1, 0, 1])
    with pytest.raises(TemporemError, match=r"row 3 .*not later than that of the frame before"):
        make_movies(falling, MovieRule("group"))


def test_two_images_at_one_place_are_refused() -> None:
    twice = particles(*SIX, rlnParticleName=["a"] * 6, rlnMovieFrameNumber=[1, 2, 3, 4, 5, 3])
    with pytest.raises(TemporemError, match=r"row 5 .*movie a has another frame 3 already"):
        make_movies(twice, MovieRule())
    dose = particles(*SIX, group=["a"] * 6, dose=[0.5, 1, 2, 2.5, 3, 1])
    with pytest.raises(TemporemError, match=r"row 5 .*has the same dose"):
        make_movies(dose, MovieRule("group", "dose"))


def test_without_a_rule_the_columns_that_could_serve_are_listed() -> None:
    given = particles(
        *SIX, group=["a", "a", "b", "b", "c", "c"], alone=range(6), same=[1] * 6,
        rlnMicrographName=["m", "m", "n", "n", "m", "m"], rlnCoordinateX=[0, 3, 5, 5, 900, 903],
        rlnCoordinateY=[0] * 6,
    )  # fmt: skip
    with pytest.raises(TemporemError) as caught:
        make_movies(given, MovieRule())
    message = str(caught.value)
    assert "group (3 movies of 2 frames)" in message
    assert "the stack (2 movies of 3 frames)" in message
    assert "rlnMicrographName (" not in message  # it would mix particles
    assert "alone" not in message
    assert "same" not in message


def test_a_csv_file_names_images_in_any_order() -> None:
    csv = table(
        {
            "image": [f"{s + 1}@stack {k}.mrcs" for k, s in zip(*SIX, strict=True)][::-1],
            "movie": list("ffeedd"),
            "frame": [2, 1, 2, 1, 2, 1],
        }
    )
    found = make_movies(particles(*SIX), MovieRule(csv=csv))
    assert found.names.tolist() == list("ddeeff")
    assert found.numbers.tolist() == [1, 2, 1, 2, 1, 2]
    short = table({"image": ["1@stack 0.mrcs"], "movie": ["a"]})
    with pytest.raises(TemporemError, match=r"row 0 .*has no row for the image"):
        make_movies(particles(*SIX), MovieRule(csv=short))


def test_only_one_rule_and_only_known_columns() -> None:
    with pytest.raises(TemporemError, match="several rules"):
        make_movies(particles(*SIX), MovieRule(frames_per_movie=3, stack_is_movie=True))
    with pytest.raises(TemporemError, match="no column nothing; expected group"):
        make_movies(particles(*SIX, group=[1] * 6), MovieRule("nothing"))
    with pytest.raises(TemporemError, match="--frame-from needs --movie-from"):
        make_movies(particles(*SIX, group=[1] * 6), MovieRule(frame_column="group"))


def test_times_rise_within_a_movie() -> None:
    names = [f"{s + 1}@stack {k}.mrcs" for k, s in zip(*SIX, strict=True)]
    columns = {"image": names, "movie": list("aaabbb"), "frame": [1, 2, 3] * 2}
    good = table({**columns, "time": [0, 1, 2, 0, 0.5, 7]})
    found = make_movies(particles(*SIX), MovieRule(csv=good))
    assert found.times_seconds is not None
    assert found.times_seconds.tolist() == [0, 1, 2, 0, 0.5, 7]
    bad = table({**columns, "time": [0, 1, 2, 0, 5, 5]})
    with pytest.raises(TemporemError, match=r"row 5 .*not later than that of the frame before"):
        make_movies(particles(*SIX), MovieRule(csv=bad))
