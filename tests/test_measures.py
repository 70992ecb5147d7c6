"""Measures of what was learned: known Gabors, planted groups and known linear maps are recovered."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import seeds

from slowae import measures
from slowae.measures import PADDED, circular_spread, coherence, measure
from slowae.plane_measures import judge, linear_map

S = 20


def gabors(frequency, orientation, phase, centre=(9.5, 9.5), width=np.inf):
    """(S, S, K): cos(2 pi f . (p - patch centre) + phase) times an envelope whose square has deviation width."""
    y, x = np.mgrid[:S, :S][..., None].astype(float)
    frequency, orientation, phase, width = np.broadcast_arrays(frequency, orientation, phase, width)
    along = (x - 9.5) * np.cos(orientation) + (y - 9.5) * np.sin(orientation)
    distance = (y - centre[0]) ** 2 + (x - centre[1]) ** 2
    return np.exp(-distance / (4 * width**2)) * np.cos(2 * np.pi * frequency * along + phase)


def apart(a, b, period):
    """|a - b| on a circle."""
    return np.abs((a - b + period / 2) % period - period / 2)


@given(st.floats(0.12, 0.35), st.floats(0, np.pi), st.floats(-np.pi, np.pi), st.floats(2, 3),
       st.tuples(st.floats(8, 11), st.floats(8, 11)))  # fmt: skip
def test_a_known_gabor_is_recovered(frequency, orientation, phase, width, centre):
    result = measure(gabors(np.array([frequency]), orientation, phase, centre, width), group=1)
    assert abs(result["frequency"][0] - frequency) < 1.5 / PADDED
    assert apart(result["orientation"][0], orientation, np.pi) < 1 / PADDED / frequency
    assert not result["blob"][0] and 0 <= result["orientation"][0] < np.pi
    np.testing.assert_allclose(result["area"][0], 4 * np.pi * width**2, rtol=0.1)
    # A wave (f, orientation, phase) is also (f, orientation + pi, -phase); the half plane measured is fx >= 0.
    result = measure(gabors(np.array([frequency]), orientation, phase, width=3.0), group=1)
    assert apart(result["phase"][0], np.sign(np.cos(orientation) + 1e-9) * phase, 2 * np.pi) < 0.2


def test_areas_and_blobs():
    wave, point = gabors(np.array([0.2]), 0.3, 0.0), np.zeros((S, S, 1))
    assert 330 < measure(wave, group=1)["area"][0] <= S**2
    point[4, 13] = 1
    result = measure(point + 1e-3 * wave, group=1)
    assert result["area"][0] < 6
    blob, edge = gabors(np.array([0.0]), 0.0, 0.0, width=4.0), gabors(np.array([0.05]), 0.0, np.pi / 2)
    assert measure(np.concatenate([blob, edge], axis=2), group=1)["blob"].tolist() == [True, False]


def test_spreads_by_hand():
    # 179 and 1 degrees are 2 apart where the period is 180, and 178 apart where it is 360.
    angles = np.radians([179.0, 1.0])
    np.testing.assert_allclose(np.degrees(circular_spread(angles, np.pi, 2)), [1], rtol=1e-3)
    assert np.degrees(circular_spread(angles, 2 * np.pi, 2))[0] > 75
    # Quadrature spreads over the whole circle, also with the angles doubled; a wave and its negative do not.
    quadrature = np.radians([10.0, 100.0, 190.0, 280.0])
    np.testing.assert_allclose(circular_spread(quadrature, 2 * np.pi), [np.sqrt(2)])
    np.testing.assert_allclose(circular_spread(quadrature, np.pi), [np.sqrt(2) / 2])
    np.testing.assert_allclose(circular_spread(np.radians([10.0, 190.0, 10.0, 190.0]), np.pi), [0], atol=1e-7)
    angles = np.random.default_rng(0).normal(3.1, 0.02, 400)
    np.testing.assert_allclose(circular_spread(angles % np.pi, np.pi, 400), [angles.std()], rtol=1e-2)
    angles = np.array([0.3, np.nan, 0.3, 0.5, np.nan, np.nan, np.nan, 1.0])  # NaN is left out
    result = circular_spread(angles, np.pi)
    np.testing.assert_allclose(result, [circular_spread(angles[[0, 2, 3]], np.pi, 3)[0], np.nan])


def test_groups_in_quadrature_differ_from_copies_and_from_random_groups():
    """Each group is one wave, as in Figure 2a."""
    rng = np.random.default_rng(0)
    frequency, orientation = rng.uniform(0.1, 0.35, 64).repeat(4), rng.uniform(0, np.pi, 64).repeat(4)
    phase = rng.uniform(0, 2 * np.pi, 64).repeat(4) + np.tile(np.radians([0, 90, 180, 270]), 64)
    units = measure(grouped := gabors(frequency, orientation, phase))
    result = coherence(units, rng, draws=50)
    assert result["frequency"]["ratio"] < 0.1 and result["orientation"]["ratio"] < 0.1
    within = units["frequency"].reshape(64, 4).std(1).mean()
    assert result["frequency"]["within"] == pytest.approx(within)
    # Four phases all 90 degrees apart: both spreads are the largest there are.
    np.testing.assert_allclose(result["phase"]["within"], np.sqrt(2), rtol=0.02)
    np.testing.assert_allclose(result["quadrature"]["within"], np.sqrt(2) / 2, rtol=0.05)
    assert result["phase"]["ratio"] > 1.15 and result["quadrature"]["ratio"] > 1.15

    copies = grouped[..., ::4].repeat(4, axis=2)
    copies[..., ::4] *= -1
    result = coherence(measure(copies), rng, draws=50)
    assert result["frequency"]["ratio"] < 0.01 and result["quadrature"]["ratio"] < 0.01 < 0.5 < result["phase"]["ratio"]

    result = coherence(measure(grouped[..., rng.permutation(256)]), rng, draws=100)
    assert all(0.85 < numbers["ratio"] < 1.15 for numbers in result.values())


def test_filters_are_alike_after_a_shift_and_so_are_groups_of_such():
    rng = np.random.default_rng(0)
    pattern, other = np.zeros((9, 9, 3)), rng.standard_normal((9, 9, 3))
    pattern[2:5, 2:5] = rng.standard_normal((3, 3, 3))
    moved = np.roll(pattern, (3, 2), (0, 1))
    similarity = measures.filter_similarity(np.stack([pattern, 5 * moved, other, np.zeros_like(other)], -1))
    np.testing.assert_allclose(similarity[0, :2], 1)
    np.testing.assert_allclose(similarity[3], 0, atol=1e-12)
    padded = np.pad(pattern, ((8, 8), (8, 8), (0, 0)))
    best = max((padded[i : i + 9, j : j + 9] * other).sum() for i, j in np.ndindex(17, 17))
    assert similarity[0, 2] == pytest.approx(best / np.linalg.norm(pattern) / np.linalg.norm(other))
    ends = np.zeros((2, 9, 9, 3))  # the largest shift brings one end upon the other, and not upon both
    ends[:, 0], ends[:, -1] = 1, [[[1]], [[-1]]]
    for turned in (ends, ends.swapaxes(1, 2)):
        assert measures.filter_similarity(np.stack([*turned], -1))[0, 1] == pytest.approx(0.5)
    within, between = measures.group_similarity(rng.standard_normal((5, 5, 3, 4)).repeat(4, axis=-1), 4)
    assert within == pytest.approx(1) and between < 0.6


def test_slowness_of_entries_by_a_loop():
    z = np.random.default_rng(0).random((10, 6))
    z[:, 2] = 0  # silent
    slowness, delta = np.full((2, 6), np.inf)
    for i in (0, 1, 3, 4, 5):
        changes = [z[n, i] - z[n + 5, i] for n in range(5)]
        slowness[i] = sum(map(abs, changes)) / 5 / z[:, i].mean()
        delta[i] = sum(change**2 for change in changes) / 5 / np.var(z[:, i])
    np.testing.assert_allclose(measures.group_slowness(z), slowness)
    np.testing.assert_allclose(measures.delta(3 * z - 7), delta)


@given(seeds)
def test_linear_map_finds_a_known_one(seed):
    rng = np.random.default_rng(seed)
    angles, half, matrix = rng.uniform(0, 90, (60, 2)), np.arange(60) < 30, rng.standard_normal((2, 2))
    assume(np.linalg.cond(matrix) < 20)
    r2, degrees = linear_map(angles @ matrix + 3, angles, half, ~half)
    np.testing.assert_allclose(r2, 1)
    a, b = np.linalg.inv(matrix).T
    assert degrees == pytest.approx(np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))), abs=1e-4)


def test_the_judge_fits_on_the_training_views_and_judges_the_others():
    rng = np.random.default_rng(0)
    angles, training = rng.uniform(0, 90, (400, 2)), np.arange(400) % 4 > 0
    z = angles + np.where(training, 0, 15)[:, None] * rng.standard_normal((400, 2))  # noise where it is not fitted
    result = judge(z, angles, training)
    there = angles[~training]
    expected = 1 - ((z[~training] - there) ** 2).sum(0) / ((there - there.mean(0)) ** 2).sum(0)
    found = {"views": 100, "r2_yaw": pytest.approx(expected[0]), "r2_roll": pytest.approx(expected[1])}
    assert result["held_out"] == found
    assert result["degrees_between_gradients"] == pytest.approx(90)


CLOUDS = measure(gabors(np.zeros(8), 0.0, 0.0, width=4.0))


@pytest.mark.parametrize(
    ("call", "arguments", "sentence"),
    [
        (coherence, (CLOUDS, np.random.default_rng(0)), "no group holds two waves"),
        (linear_map, (np.eye(2), np.eye(2), np.ones(2, bool), np.arange(2) < 1), "hold out more"),
        *((measures.group_similarity, (np.ones((3, 3, 2, 4)), n), "do not divide") for n in (1, 3, 4)),
        (measures.group_slowness, (np.ones((3, 2)),), "equal division"),  # half of them would be broadcast
        (measures.delta, (np.ones((3, 2)),), "equal division"),
    ],
)
def test_one_sentence_for_what_cannot_be(call, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(*arguments)
