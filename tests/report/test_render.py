"""Pictures of volumes: geometry of the view, the silhouette, what the motion looks like."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from temporem.report.camera import View, revealing_view
from temporem.report.level import find_level, matched_levels
from temporem.report.raster import rasterise
from temporem.report.render import moving_region, render_isosurface, trim
from temporem.report.theme import BODY, MOVING

BOX = 40
SIZE = 160


def ball(centre_xyz: tuple[float, float, float], radius: float, edge: float = 1.0) -> np.ndarray:
    """A soft ball of density 1 about a point (x, y, z) in voxels from the box's centre."""
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip((x, y, z), centre_xyz, strict=True)))
    return 1 / (1 + np.exp((distance - radius) / (0.3 * edge)))


def silhouette(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """Centroid (right, up) in voxels from the picture's middle, and radius of the equal disc."""
    coverage = picture[..., 3] / 255
    middle = (SIZE - 1) / 2
    rows, columns = np.indices(coverage.shape)
    scale = SIZE / BOX
    right = ((columns - middle) * coverage).sum() / coverage.sum() / scale
    up = ((middle - rows) * coverage).sum() / coverage.sum() / scale
    return np.array([right, up]), float(np.sqrt(coverage.sum() / np.pi) / scale)


def test_view_is_a_rotation_that_puts_z_up() -> None:
    rotation = View(25, 130).rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert rotation[0, 2] == pytest.approx(0)  # z has no part to the right
    assert rotation[1, 2] > 0  # and points up


def test_sphere_has_its_radius_from_every_side() -> None:
    volume = ball((0, 0, 0), 9)
    for view in (View(0, 0), View(35, 80), View(-60, 200)):
        centre, radius = silhouette(render_isosurface(volume, 0.5, view, SIZE))
        assert radius == pytest.approx(9, abs=0.12)
        np.testing.assert_allclose(centre, 0, atol=0.05)


def test_level_moves_the_surface() -> None:
    volume = ball((0, 0, 0), 9, edge=6)
    radii = [silhouette(render_isosurface(volume, level, None, SIZE))[1] for level in (0.25, 0.75)]
    # 1/(1 + exp((r - 9)/1.8)) = 1/4 and 3/4
    np.testing.assert_allclose(radii, [9 + 1.8 * np.log(3), 9 - 1.8 * np.log(3)], atol=0.15)


@pytest.mark.parametrize("view", [View(0, 0), View(0, 90), View(90, -90), View(30, -50)])
def test_off_centre_ball_appears_where_the_rotation_puts_it(view: View) -> None:
    position = (7.0, -4.0, 5.0)
    centre, _ = silhouette(render_isosurface(ball(position, 4), 0.5, view, SIZE))
    np.testing.assert_allclose(centre, (view.rotation @ position)[:2], atol=0.15)


def test_views_along_the_axes_show_the_axes_one_expects() -> None:
    np.testing.assert_allclose(View(0, 0).rotation[:2], [[0, 1, 0], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(View(90, -90).rotation[:2], [[1, 0, 0], [0, 1, 0]], atol=1e-12)


def test_refined_surface_lies_where_the_coarse_one_does() -> None:
    position = np.array([3.0, -2.0, 1.0])
    volume = ball(tuple(position), 5)
    for extent in (BOX, 12.0):  # 8 and 27 pixels per voxel
        close = View(0, 0, centre=(position[1], position[2]), extent=extent)
        coverage = render_isosurface(volume, 0.5, close, SIZE)[..., 3] / 255
        radius = np.sqrt(coverage.sum() / np.pi) * extent / SIZE
        assert radius == pytest.approx(5, abs=0.1)
        middle = (SIZE - 1) / 2
        offset = [(c * coverage).sum() / coverage.sum() - middle for c in np.indices((SIZE, SIZE))]
        np.testing.assert_allclose(offset, 0, atol=0.15 * SIZE / extent)


def test_trim_cuts_what_is_empty_in_all_pictures() -> None:
    pictures = np.zeros((2, 30, 40, 4), np.uint8)
    pictures[0, 10, 20], pictures[1, 15, 12] = 255, 255
    trimmed = trim({"a": [pictures[0]], "b": [pictures[1]]})
    np.testing.assert_array_equal(trimmed["a"][0], pictures[0, 6:20, 8:25])
    np.testing.assert_array_equal(trimmed["b"][0], pictures[1, 6:20, 8:25])
    assert trim({"a": [np.zeros((5, 5, 4), np.uint8)]})["a"][0].shape == (5, 5, 4)


def test_near_surface_hides_the_far_one() -> None:
    near, far = ball((0, 0, 10), 4), ball((0, 0, -10), 4)
    from_top, from_below = View(90, -90), View(-90, -90)
    volume, tint = near + far, (far > 0.01).astype(float)
    middle = slice(SIZE // 2 - 3, SIZE // 2 + 3)
    above = render_isosurface(volume, 0.5, from_top, SIZE, tint=tint)[middle, middle]
    below = render_isosurface(volume, 0.5, from_below, SIZE, tint=tint)[middle, middle]
    assert hue_distance(above, BODY) < hue_distance(above, MOVING)
    assert hue_distance(below, MOVING) < hue_distance(below, BODY)


def hue_distance(patch: np.ndarray, colour: tuple[float, float, float]) -> float:
    mean = patch[..., :3].reshape(-1, 3).mean(axis=0)
    return float(np.linalg.norm(mean / np.linalg.norm(mean) - colour / np.linalg.norm(colour)))


def test_light_comes_from_the_upper_left() -> None:
    picture = render_isosurface(ball((0, 0, 0), 12), 0.5, None, SIZE).astype(float).sum(axis=-1)
    quarter = SIZE // 2 - int(5 * SIZE / BOX), SIZE // 2 + int(5 * SIZE / BOX)
    assert picture[quarter[0], quarter[0]] > picture[quarter[1], quarter[1]] + 60


def test_surface_cut_by_the_box_is_closed() -> None:
    volume = np.ones((BOX,) * 3)
    picture = render_isosurface(volume, 0.5, View(0, 0), SIZE)
    assert (picture[8:-8, 8:-8, 3] == 255).all()


def test_nothing_above_the_level_gives_an_empty_picture() -> None:
    assert not render_isosurface(ball((0, 0, 0), 5), 2.0, None, SIZE).any()


def test_matched_levels_enclose_the_same_volume_whatever_the_scale() -> None:
    stack = np.stack([ball((0, 0, 0), 8, 6), ball((2, 0, 0), 8, 6)])
    first, second = (level.value for level in matched_levels([stack, 3 * stack - 7]))
    assert first == pytest.approx(find_level(stack).value)
    assert second == pytest.approx(3 * first - 7, abs=0.05)


def test_moving_region_is_where_the_volumes_differ() -> None:
    body = ball((-6, 0, 0), 6)
    stack = [body + ball((9, y, 0), 3) for y in (-6.0, -2.0, 2.0, 6.0)]
    region = moving_region(np.stack(stack), 0.5)
    assert region[ball((-6, 0, 0), 5) > 0.9].max() < 0.05
    assert region[stack[0] - body > 0.9].min() > 0.8
    assert not moving_region(np.stack([body, body]), 0.5).any()


def test_revealing_view_looks_along_the_axis_of_a_hinge() -> None:
    body = ball((0, 0, 0), 6)
    axis = np.array([1.0, 2.0, 0.5]) / np.linalg.norm([1.0, 2.0, 0.5])
    arm = np.cross(axis, [0, 0, 1]) / np.linalg.norm(np.cross(axis, [0, 0, 1]))
    stack = []
    for angle in np.linspace(-45, 45, 5):
        turned = Rotation.from_rotvec(axis * np.deg2rad(angle)).apply(arm)
        stack.append(
            np.maximum(body, np.max([ball(tuple(turned * r), 3) for r in (8, 12)], axis=0))
        )
    towards = revealing_view(np.stack(stack), 0.5).rotation[2]
    assert abs(towards @ axis) > 0.8


def test_framing_fills_the_picture_with_what_is_there() -> None:
    volume = ball((9, 0, 0), 5)
    view = View(90, -90).framing(volume[None], 0.5)
    assert view.centre == pytest.approx((9, 0), abs=0.6)
    assert view.extent == pytest.approx(8 + 6, abs=0.5)  # voxels at ±4, and the margin
    picture = render_isosurface(volume, 0.5, view, SIZE)[..., 3]
    assert not picture[[0, -1]].any()
    assert not picture[:, [0, -1]].any()
    assert (picture > 0).any(axis=0).mean() > 0.5


def test_rasteriser_covers_a_square_once_and_skips_back_faces() -> None:
    corners = np.array([[1.5, 1.5], [8.5, 1.5], [8.5, 8.5], [1.5, 8.5]])
    anticlockwise = np.array([[0, 2, 1], [0, 3, 2]])  # rows point down
    seen = rasterise(corners, np.zeros(4), anticlockwise, (12, 12))
    rows, columns = np.divmod(np.sort(seen.pixels), 12)
    assert len(seen.pixels) == len(set(seen.pixels)) == 49
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 8, 2, 8)
    np.testing.assert_allclose(seen.weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        seen.interpolate(corners, anticlockwise),
        np.stack(np.divmod(seen.pixels, 12)[::-1], -1),
        atol=1e-4,
    )
    assert not len(rasterise(corners, np.zeros(4), anticlockwise[:, ::-1], (12, 12)).pixels)


def test_rasteriser_keeps_the_nearest_and_clips_at_the_border() -> None:
    square = np.array([[-5.0, -5.0], [20.0, -5.0], [20.0, 20.0], [-5.0, 20.0]])
    faces = np.array([[0, 2, 1], [0, 3, 2]])
    both, depth = np.concatenate([square, square]), np.repeat([1.0, 2.0], 4)
    seen = rasterise(both, depth, np.concatenate([faces, faces + 4]), (10, 8))
    assert len(seen.pixels) == 80
    assert (seen.triangles >= 2).all()
