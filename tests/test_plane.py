"""The turning plane: each picture is what the mesh says, and all of them are a sheet without folds."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from slowae.data import plane


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Every fifth degree -> views (324, 96, 96), angles (324, 2), and the cache folder."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOWAE_DATA", str(folder))
        views, yaw, roll = plane.load(5)
    return views, np.column_stack([yaw, roll]), folder


def test_the_parts_are_closed_and_within_the_frame():
    mesh, albedo = plane.build()
    assert len(albedo) == len(mesh.faces) and albedo.min() > 0 and albedo.max() <= 1
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(0.95)
    for part in mesh.split(only_watertight=False):
        assert part.is_watertight and part.volume > 0


def test_a_view_equals_ray_by_ray_intersection_with_every_triangle(monkeypatch):
    monkeypatch.setattr(plane, "SIZE", 16)
    monkeypatch.setattr(plane, "SAMPLES", 1)
    view = plane.render(np.array([20.0]), np.array([35.0]))[0]
    mesh, albedo = plane.build()
    cos, sin = np.cos(np.radians([30, 20, 35])), np.sin(np.radians([30, 20, 35]))
    pitch = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
    yaw = np.array([[cos[1], -sin[1], 0], [sin[1], cos[1], 0], [0, 0, 1]])
    roll = np.array([[1, 0, 0], [0, cos[2], -sin[2]], [0, sin[2], cos[2]]])
    a, b, c = (mesh.triangles @ (pitch @ yaw @ roll).T).transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    light = np.array([-0.5, -0.6, 0.9]) / np.linalg.norm([-0.5, -0.6, 0.9])
    shade = albedo * (0.25 + 0.75 * np.maximum(0, normal @ light))
    expected = np.zeros((16, 16))
    for row, column in np.ndindex(16, 16):
        x, z = (column + 0.5) / 8 - 1, 1 - (row + 0.5) / 8
        # Barycentric coordinates of (x, z) in each triangle, seen along y.
        area = (b - a)[:, 0] * (c - a)[:, 2] - (b - a)[:, 2] * (c - a)[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            u = ((x - a[:, 0]) * (c - a)[:, 2] - (z - a[:, 2]) * (c - a)[:, 0]) / area
            v = ((b - a)[:, 0] * (z - a[:, 2]) - (b - a)[:, 2] * (x - a[:, 0])) / area
            hit = (u >= 0) & (v >= 0) & (u + v <= 1)
            depth = np.where(hit, a[:, 1] + u * (b - a)[:, 1] + v * (c - a)[:, 1], np.inf)
        if hit.any():
            expected[row, column] = 255 * shade[depth.argmin()]
    different = np.abs(view - expected) > 1
    assert (expected > 0).sum() > 20
    assert different.sum() <= 1  # a ray may pass an edge on either side


def test_whole_in_the_frame_and_shaded(grid):
    views = grid[0]
    for edge in (views[:, 0], views[:, -1], views[:, :, 0], views[:, :, -1]):
        assert not edge.any()
    assert ((views > 0).mean((1, 2)) > 0.05).all()
    assert min(len(np.unique(view)) for view in views) > 30


def test_near_views_are_near_and_no_distant_views_coincide(grid):
    views, angles, _ = grid
    pixels = views.reshape(len(views), -1) / 255.0
    between = cdist(pixels, pixels) + np.diag(np.full(len(views), np.inf))
    apart = cdist(angles, angles, "chebyshev")
    nearest = between.argmin(1)
    assert (apart[np.arange(len(views)), nearest] == 5).all()
    one_step = between[cdist(angles, angles) == 5]
    assert between[apart >= 20].min() > one_step.max() / 2  # a fold would bring it to 0


def test_grid_and_neighbours_agree(grid):
    _, angles, _ = grid
    assert angles[0].tolist() == [0, 0] and angles[1].tolist() == [0, 5] and angles[-1].tolist() == [85, 85]
    pairs = plane.neighbours(5)
    assert {tuple(pair) for pair in pairs.tolist()} == {
        (i, j) for i in range(324) for j in range(i, 324) if np.abs(angles[i] - angles[j]).sum() == 5
    }


def test_the_cache_is_read_and_a_damaged_one_is_named(grid, monkeypatch):
    views, _, folder = grid
    monkeypatch.setenv("SLOWAE_DATA", str(folder))
    monkeypatch.setattr(plane, "render", None)
    np.testing.assert_array_equal(plane.load(5)[0], views)
    (kept,) = folder.iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"{kept.name} is damaged"):
        plane.load(5)


@pytest.mark.parametrize("patch", [1, 3])
def test_held_out_views_stand_in_no_pair(patch):
    training, pairs = plane.split(np.random.default_rng(0), 5, 0.25, patch)
    assert (~training).sum() == 81
    assert training[pairs].all()
    everywhere = {tuple(pair) for pair in plane.neighbours(5).tolist()}
    kept = {tuple(pair) for pair in pairs.tolist()}
    assert kept == {(i, j) for i, j in everywhere if training[i] and training[j]}
    squares = training.reshape(18 // patch, patch, 18 // patch, patch)
    assert (squares == squares[:, :1, :, :1]).all()
    other, _ = plane.split(np.random.default_rng(1), 5, 0.25, patch)
    assert (other != training).any()


def test_bad_arguments_get_a_sentence():
    with pytest.raises(ValueError, match="must divide 90"):
        plane.load(7)
    with pytest.raises(ValueError, match="at most 18"):
        plane.load(30)
    with pytest.raises(ValueError, match="between 0 and 1"):
        plane.split(np.random.default_rng(0), 5, 0.0)
    with pytest.raises(ValueError, match="patches of 4"):
        plane.split(np.random.default_rng(0), 5, 0.2, 4)
    with pytest.raises(ValueError, match="equal length"):
        plane.render([1.0], [1.0, 2.0])
