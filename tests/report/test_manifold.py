"""The manifold figure shows the latents' principal components, in one orientation, by state."""

import io

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from temporem.report import theme
from temporem.report.manifold import manifold_figure, oriented_components

STATES = np.tile(np.arange(9), 20)


@pytest.fixture
def arch() -> np.ndarray:
    """A half circle in five dimensions, wider than high, with little noise, turned at random."""
    rng = np.random.default_rng(0)
    angle = np.pi * STATES / 8
    flat = np.stack([-2 * np.cos(angle), np.sin(angle)], axis=1)
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0][:2]
    return flat @ basis + 0.01 * rng.normal(size=(len(STATES), 5))


def drawn(figure: Figure) -> Figure:
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure


def figure_of(latents: dict[str, np.ndarray], state: np.ndarray) -> Figure:
    return manifold_figure(latents, state, 10.0 * state, "Angle (°)")


def dots(figure: Figure) -> list[PathCollection]:
    return [c for ax in figure.axes for c in ax.collections if isinstance(c, PathCollection)]


@pytest.mark.parametrize("sign", [[1, 1], [-1, 1], [1, -1]])
def test_components_are_turned_alike_whatever_their_signs(arch, sign) -> None:
    u, spread, rows = np.linalg.svd(arch - arch.mean(0), full_matrices=False)
    flipped = (u[:, :2] * spread[:2] * sign) @ rows[:2]
    components, shares = oriented_components(flipped, STATES)
    assert spearmanr(components[:, 0], STATES).statistic > 0.99
    middle = components[STATES == 4, 1].mean()
    assert middle > max(components[s == STATES, 1].mean() for s in (0, 8)) + 0.5
    # Variances of −2 cos and sin over nine even angles from 0 to π.
    angle = np.pi * np.arange(9) / 8
    variances = np.array([np.var(2 * np.cos(angle)), np.var(np.sin(angle))])
    np.testing.assert_allclose(shares, variances / variances.sum(), atol=0.01)


def test_every_run_has_a_plane_and_two_margins_on_its_axes(arch) -> None:
    figure = drawn(figure_of({"a": arch, "b": arch[:, :3], "c": -arch, "d": arch}, STATES))
    planes = dots(figure)
    assert len(planes) == 4
    for plane in planes:
        np.testing.assert_array_equal(plane.get_array(), 10 * STATES)
        assert plane.get_cmap() is theme.STATE_COLOURS
    first, above, beside = figure.axes[:3]
    assert first.get_xlabel().startswith("PC 1 (")
    assert first.get_ylabel().startswith("PC 2 (")
    assert above.get_title(loc="left") == "a"
    assert above.get_xlim() == first.get_xlim()
    assert beside.get_ylim() == first.get_ylim()
    assert len(above.lines) == len(beside.lines) == 9
    assert figure.axes[-1].get_ylabel() == "True angle (°)"


def test_densities_peak_where_the_states_are(arch) -> None:
    figure = figure_of({"a": arch}, STATES)
    components, _ = oriented_components(arch, STATES)
    for margin, component, sideways in zip(figure.axes[1:3], components.T, (0, 1), strict=True):
        for state, line in enumerate(margin.lines):
            at, height = line.get_xydata().T[:: -1 if sideways else 1]
            assert height.max() == pytest.approx(1)
            expected = component[state == STATES].mean()
            assert at[height.argmax()] == pytest.approx(expected, abs=0.03)


@pytest.mark.filterwarnings("error")
def test_states_far_narrower_than_their_distances_have_their_densities() -> None:
    rng = np.random.default_rng(2)
    points = 10 * np.stack([np.cos(STATES), np.sin(STATES)], axis=1)
    points += 1e-4 * rng.normal(size=points.shape)
    figure = figure_of({"narrow": points}, STATES)
    components, _ = oriented_components(points, STATES)
    for margin, component, sideways in zip(figure.axes[1:3], components.T, (0, 1), strict=True):
        assert len(margin.lines) == 9
        for state, line in enumerate(margin.lines):
            at, height = line.get_xydata().T[:: -1 if sideways else 1]
            assert len(at) > 100
            assert height.max() == 1
            expected = component[state == STATES].mean()
            assert at[height.argmax()] == pytest.approx(expected, abs=3e-4)


def test_nothing_of_one_panel_lies_in_another(arch) -> None:
    figure = drawn(figure_of({f"a long name {i}": 100 * arch for i in range(5)}, STATES))
    renderer = figure.canvas.get_renderer()
    boxes = [ax.get_tightbbox(renderer) for ax in figure.axes if dots_of(ax) or ax.lines]
    groups = [boxes[i : i + 3] for i in range(0, 15, 3)]
    for i, one in enumerate(groups):
        for other in groups[i + 1 :]:
            assert not any(a.overlaps(b) for a in one for b in other)
    for box in boxes:
        assert figure.bbox.contains(box.x0, box.y0)
        assert figure.bbox.contains(box.x1, box.y1)


def dots_of(ax) -> bool:
    return any(isinstance(c, PathCollection) for c in ax.collections)


def test_one_dimension_has_the_states_for_its_other_axis(arch) -> None:
    line = STATES[:, None] + 0.1 * np.random.default_rng(1).normal(size=(len(STATES), 1))
    figure = drawn(figure_of({"line": -line}, STATES))
    (plane,) = dots(figure)
    x, y = plane.get_offsets().T
    np.testing.assert_array_equal(y, STATES)
    assert spearmanr(x, STATES).statistic > 0.9
    assert figure.axes[0].get_ylabel() == "True state"
    assert not figure.axes[2].lines


def test_latents_that_say_nothing_and_lone_states_do_no_harm() -> None:
    figure = drawn(figure_of({"flat": np.ones((10, 3))}, np.arange(10)))
    assert "do not vary" in figure.axes[0].texts[0].get_text()
    values = np.random.default_rng(0).normal(size=(100, 2))
    figure = drawn(figure_of({"each its own": values}, np.arange(100)))
    assert len(figure.axes[1].lines) == 1  # of all frames
    drawn(figure_of({"one": values}, np.zeros(100, int)))
