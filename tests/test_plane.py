"""The turning plane: each picture is what the mesh says, and all of them are a sheet without folds."""

from collections import Counter

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


def test_the_parts_are_closed_and_have_their_places_and_volumes():
    triangles, albedo = plane.build()
    assert np.linalg.norm(triangles, axis=-1).max() == pytest.approx(0.95)
    assert triangles[albedo == 0.45][..., 2].min() > 0  # the fin stands above
    assert triangles[albedo == 0.2][..., 1].min() > 0  # the dark tip is to port
    edges = Counter()
    for corners in triangles.tolist():
        edges.update((tuple(p), tuple(q)) for p, q in zip(corners, corners[1:] + corners[:1], strict=True))
    assert all(edges[q, p] == count for (p, q), count in edges.items())  # each side is walked once in each direction
    scale = 0.95 / np.linalg.norm([0.93, 0.015, 0.42])  # the tip of the fin is farthest out
    volume = {a: np.linalg.det(triangles[albedo == a]).sum() / 6 / scale**3 for a in np.unique(albedo)}
    assert volume[0.45] == pytest.approx(0.03 * 0.34 * (0.23 + 0.13) / 2)  # the fin
    assert volume[0.3] == pytest.approx(4 / 3 * np.pi * 0.17 * 0.08**2, rel=0.02)  # the cockpit


def test_the_z_buffer_equals_a_loop_over_samples_and_triangles(monkeypatch):
    monkeypatch.setattr(plane, "SIZE", 6)
    triangles = np.random.default_rng(0).uniform(-1.5, 1.5, (25, 3, 3))  # they cross, and reach beyond the picture
    expected = np.full((12, 12), -1)
    for row, column in np.ndindex(12, 12):
        depth = np.inf
        for number, (right, away, up) in enumerate(triangles.swapaxes(1, 2)):
            weights = np.linalg.solve([right, up, [1, 1, 1]], [(column + 0.5) / 6 - 1, 1 - (row + 0.5) / 6, 1])
            if weights.min() > 0 and weights @ away < depth:
                depth, expected[row, column] = weights @ away, number
    assert len(np.unique(expected)) > 8 and (expected == -1).any()
    np.testing.assert_array_equal(plane.z_buffer(triangles), expected)


def test_a_view_is_the_nearest_triangle_at_each_sample_in_its_shade(monkeypatch):
    monkeypatch.setattr(plane, "SIZE", 12)
    triangles, albedo = plane.build()
    cos, sin = np.cos(np.radians([30, 20, 35])), np.sin(np.radians([30, 20, 35]))
    pitch = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
    yaw = np.array([[cos[1], -sin[1], 0], [sin[1], cos[1], 0], [0, 0, 1]])
    roll = np.array([[1, 0, 0], [0, cos[2], -sin[2]], [0, sin[2], cos[2]]])
    turned = triangles @ (pitch @ yaw @ roll).T
    normal = np.cross(turned[:, 1] - turned[:, 0], turned[:, 2] - turned[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    light = np.array([-0.5, -0.6, 0.9]) / np.linalg.norm([-0.5, -0.6, 0.9])
    front = normal[:, 1] < 0
    shade = 255 * albedo[front] * (0.25 + 0.75 * np.maximum(0, normal[front] @ light))
    samples = np.append(shade, 0)[plane.z_buffer(turned[front])]  # -1 is black
    view = plane.render([20.0], [35.0])[0]
    np.testing.assert_allclose(view, samples.reshape(12, 2, 12, 2).mean((1, 3)), atol=0.51)


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


def test_views_are_rendered_once(grid, monkeypatch):
    views, _, folder = grid
    monkeypatch.setenv("SLOWAE_DATA", str(folder))
    monkeypatch.setattr(plane, "render", None)
    np.testing.assert_array_equal(plane.load(5)[0], views)


def test_held_out_views_stand_in_no_pair():
    training, pairs = plane.split(np.random.default_rng(0), 5, 0.25)
    assert (~training).sum() == 81
    assert pairs.tolist() == [pair for pair in plane.neighbours(5).tolist() if training[pair].all()]
    other, _ = plane.split(np.random.default_rng(1), 5, 0.25)
    assert (other != training).any()


def test_bad_arguments_get_a_sentence():
    for step in (7, 30, 0, 2.5):
        with pytest.raises(ValueError, match="must divide 90 and be at most 18"):
            plane.load(step)
    for share in (0.0, 0.01, 0.96, 2.0):
        with pytest.raises(ValueError, match="of 25 views holds out none, or leaves no neighbours"):
            plane.split(np.random.default_rng(0), 18, share)
