"""Units of a grey basis: known Gabors are recovered, the angles are angles, and groups are told from random ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from slowae.gabor import PADDED, circular_spread, coherence, measure, spread

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


quantities = st.fixed_dictionaries(
    {
        "frequency": st.floats(0.12, 0.35),
        "orientation": st.floats(0, np.pi),
        "phase": st.floats(-np.pi, np.pi),
    }
)


@given(quantities, st.floats(2, 3), st.floats(8, 11), st.floats(8, 11))
def test_a_known_gabor_is_recovered(wave, width, row, column):
    found = measure(gabors(**{k: np.array([v]) for k, v in wave.items()}, centre=(row, column), width=width), group=1)
    assert abs(found["frequency"][0] - wave["frequency"]) < 1.5 / PADDED
    assert apart(found["orientation"][0], wave["orientation"], np.pi) < 1 / PADDED / wave["frequency"]
    assert not found["blob"][0]
    np.testing.assert_allclose(found["area"][0], 4 * np.pi * width**2, rtol=0.1)
    np.testing.assert_allclose(found["centre"][0], (row, column), atol=0.25)


@given(quantities)
def test_phase_is_that_of_the_patch_centre(wave):
    found = measure(gabors(**{k: np.array([v]) for k, v in wave.items()}, width=3.0), group=1)
    # A wave (f, orientation, phase) is also (f, orientation + pi, -phase); the half plane measured is fx >= 0.
    sign = 1 if np.cos(wave["orientation"]) >= 0 else -1
    assert apart(found["phase"][0], sign * wave["phase"], 2 * np.pi) < 0.2


def test_a_wave_fills_the_patch_and_a_point_does_not():
    wave = gabors(np.array([0.2]), 0.3, 0.0)
    assert 330 < measure(wave, group=1)["area"][0] <= S**2
    point = np.zeros((S, S, 1))
    point[4, 13] = 1
    found = measure(point + 1e-3 * wave, group=1)
    assert found["area"][0] < 6
    np.testing.assert_allclose(found["centre"][0], (4, 13), atol=0.6)


def test_a_unit_without_a_wave_is_a_blob():
    blob = gabors(np.array([0.0]), 0.0, 0.0, width=4.0)
    edge = gabors(np.array([0.05]), 0.0, np.pi / 2)
    assert measure(np.concatenate([blob, edge], axis=2), group=1)["blob"].tolist() == [True, False]


@settings(max_examples=10)
@given(seeds)
def test_scale_sign_and_rotation(seed):
    rng = np.random.default_rng(seed)
    W = gabors(rng.uniform(0.12, 0.35, 8), rng.uniform(0, np.pi, 8), rng.uniform(0, 6, 8), width=2.5)
    found = measure(W)
    scaled = measure(4 * W)  # a power of two: not one bit of the spectrum's shape may change
    for name in found:
        np.testing.assert_array_equal(scaled[name], found[name])
    negative = measure(-W)
    np.testing.assert_array_equal(negative["frequency"], found["frequency"])
    np.testing.assert_allclose(apart(negative["phase"], found["phase"], 2 * np.pi), np.pi, atol=1e-3)
    turned = measure(np.rot90(W, axes=(1, 0)))  # x -> y: a quarter turn in the sense of `orientation`
    np.testing.assert_allclose(turned["frequency"], found["frequency"], atol=1.5 / PADDED)
    np.testing.assert_allclose(apart(turned["orientation"], found["orientation"], np.pi), np.pi / 2, atol=0.1)
    np.testing.assert_allclose(turned["area"], found["area"], rtol=0.05)


def test_spreads_by_hand():
    np.testing.assert_allclose(spread(np.array([1.0, 3.0, 5.0, 5.0]), 2), [1, 0])
    # 179 and 1 degrees are 2 apart where the period is 180, and 178 apart where it is 360.
    angles = np.radians([179.0, 1.0])
    np.testing.assert_allclose(np.degrees(circular_spread(angles, np.pi, 2)), [1], rtol=1e-3)
    assert np.degrees(circular_spread(angles, 2 * np.pi, 2))[0] > 75
    # Quadrature spreads over the whole circle, also with the angles doubled; a wave and its negative do not.
    quadrature = np.radians([10.0, 100.0, 190.0, 280.0])
    np.testing.assert_allclose(circular_spread(quadrature, 2 * np.pi), [np.sqrt(2)])
    np.testing.assert_allclose(circular_spread(quadrature, np.pi), [np.sqrt(2) / 2])
    np.testing.assert_allclose(circular_spread(np.radians([10.0, 190.0, 10.0, 190.0]), np.pi), [0], atol=1e-7)


def test_small_circular_spread_is_the_standard_deviation():
    angles = np.random.default_rng(0).normal(3.1, 0.02, 400)
    np.testing.assert_allclose(circular_spread(angles % np.pi, np.pi, 400), [angles.std()], rtol=1e-2)


def test_angles_without_meaning_are_left_out():
    angles = np.array([0.3, np.nan, 0.3, 0.5, np.nan, np.nan, np.nan, 1.0])
    without = circular_spread(np.array([0.3, 0.3, 0.5]), np.pi, 3)
    found = circular_spread(angles, np.pi)
    np.testing.assert_allclose(found[0], without[0])
    assert np.isnan(found[1])


def grouped_units(rng, groups=64):
    """Each group one wave in quadrature, as in Figure 2a."""
    frequency, orientation = rng.uniform(0.1, 0.35, groups), rng.uniform(0, np.pi, groups)
    phase = (rng.uniform(0, 2 * np.pi, groups)[:, None] + np.radians([0, 90, 180, 270])).ravel()
    return gabors(frequency.repeat(4), orientation.repeat(4), phase)


def test_planted_groups_are_coherent_and_in_quadrature():
    rng = np.random.default_rng(0)
    found = coherence(measure(grouped_units(rng)), rng, draws=50)
    assert found["frequency"]["ratio"] < 0.1 and found["orientation"]["ratio"] < 0.1
    # Four phases all 90 degrees apart: both spreads are the largest there are.
    np.testing.assert_allclose(found["phase"]["within"], np.sqrt(2), rtol=0.02)
    np.testing.assert_allclose(found["quadrature"]["within"], np.sqrt(2) / 2, rtol=0.05)
    assert found["phase"]["ratio"] > 1.15 and found["quadrature"]["ratio"] > 1.15


def test_copies_are_coherent_but_not_in_quadrature():
    rng = np.random.default_rng(1)
    W = gabors(*(rng.uniform(low, high, 64).repeat(4) for low, high in ((0.1, 0.35), (0, np.pi), (0, 2 * np.pi))))
    W[..., ::4] *= -1
    found = coherence(measure(W), rng, draws=50)
    assert found["frequency"]["ratio"] < 0.01 and found["quadrature"]["ratio"] < 0.01
    assert found["phase"]["ratio"] > 0.5


def test_random_groups_have_ratio_one():
    rng = np.random.default_rng(2)
    W = grouped_units(rng)[..., rng.permutation(256)]
    found = coherence(measure(W), rng, draws=100)
    for name in ("frequency", "orientation", "phase", "quadrature"):
        assert 0.85 < found[name]["ratio"] < 1.15, name


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="must be"):
        measure(np.ones((4, 5, 8)))
    with pytest.raises(ValueError, match="do not divide"):
        measure(np.ones((4, 4, 6)))
