"""The figure and the words of kinetics on the page."""

from __future__ import annotations

from dataclasses import replace

from helpers.reports import reconstruction
from temporem.kinetics.facts import Basin, Curve, Estimate, KineticsFacts, Rate
from temporem.report.kinetics_plot import kinetics_files, kinetics_section


def known(value: float) -> Estimate:
    return Estimate(value=value, low=0.9 * value, high=1.1 * value)


def facts() -> KineticsFacts:
    """Two basins, with a gap in the energy between them."""
    energy = Curve(x=[0, 1, 2], value=[0, None, 1], low=[0, None, 0.5], high=[0.1, None, 2])
    times = Curve(x=[0.1, 0.2], value=[0.5, 0.6], low=[0.4, 0.5], high=[0.6, None])
    basin = Basin(
        centre=known(1), width=known(1), population=known(0.5), dwell=known(2), dwell_known=True
    )
    rate = Rate(start=1, end=2, rate=known(0.5), jumps=40, known=True)
    return KineticsFacts(
        along="path",
        unit="s",
        n_movies=9,
        n_frames=90,
        interval=0.1,
        longest=1,
        watched=9,
        deviation=1,
        frame_error=0.3,
        level=0.9,
        samples=20,
        energy=energy,
        correlation=times,
        timescales=times,
        bic={"1": 90.0, "2": 10.0, "diffusion": 60.0},
        states_given=False,
        basins=[basin, basin],
        rates=[rate, rate.model_copy(update={"start": 2, "end": 1})],
        relaxation=known(1),
        diffusion=known(1),
        diffusion_relaxation=known(1),
        diffusion_known=False,
        warnings=["Movies are not in equilibrium."],
    )


def test_only_runs_that_were_measured_have_a_figure() -> None:
    one, other = reconstruction("one", 0.1, 0.1), reconstruction("other", 0.1, 0.2)
    assert not kinetics_section([one]).drawings
    section = kinetics_section([one, replace(other, kinetics=facts())])
    (drawing,) = section.drawings
    assert "Kinetics of other" in drawing.svg
    assert any("Rate 1 → 2: 0.5 [0.45, 0.55] per s" in text for text in section.words)
    assert any("not in equilibrium" in text for text in section.words)


def test_curves_are_written_with_holes_where_nothing_is_known() -> None:
    files = kinetics_files(facts())
    head, *rows = files["curves.csv"].splitlines()
    assert head.split(",")[:2] == ["path", '"energy']
    assert rows[1].startswith("1,,")
    assert files["kinetics.svg"].startswith("<?xml")
