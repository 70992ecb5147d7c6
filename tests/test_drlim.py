"""Eq. 1: gradients by finite differences, values by a plain loop, the kinks exactly."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds
from strict import Strict

from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.losses import drlim

MARGIN = 1.5
sizes = st.tuples(st.integers(1, 6), st.integers(1, 4))
forms = pytest.mark.parametrize("squared", [False, True])


def pairs_off_kinks(shape, seed):
    """-> z, z_other (N, D), near (N,), with every |dz| at least .1 from 0 and from the margin."""
    rng = np.random.default_rng(seed)
    z, direction = rng.standard_normal((2, *shape))
    distance = rng.uniform(0.1, 1.4, shape[0]) + rng.integers(2, size=shape[0]) * MARGIN
    direction *= (distance / np.linalg.norm(direction, axis=1))[:, None]
    return z, z + direction, rng.integers(2, size=shape[0]).astype(bool)


def of_host(function, *arrays):
    """function on the chosen backend, its results on the host."""
    loss, *grads = function(*(to_device(a) for a in arrays))
    return float(loss), *(to_host(g) for g in grads)


@forms
@given(sizes, seeds)
def test_gradients(squared, shape, seed):
    z, z_other, near = pairs_off_kinks(shape, seed)

    def forward(z, z_other):
        loss, *grads = of_host(lambda a, b, c: drlim(a, b, c, MARGIN, squared), z, z_other, near)
        return loss, grads

    def backward(dout, grads):
        return tuple(dout * g for g in grads)

    check_gradients(forward, backward, {"z": z, "z_other": z_other}, np.random.default_rng(seed))


@forms
@given(sizes, seeds)
def test_equals_a_plain_loop(squared, shape, seed):
    z, z_other, near = pairs_off_kinks(shape, seed)
    total = 0.0
    for a, b, adjacent in zip(z.tolist(), z_other.tolist(), near, strict=True):
        distance = math.dist(a, b)
        term = distance if adjacent else max(0.0, MARGIN - distance)
        total += term**2 / 2 if squared else term
    loss, *_ = of_host(lambda a, b, c: drlim(a, b, c, MARGIN, squared), z, z_other, near)
    assert loss == pytest.approx(total / len(z), rel=1e-12)


@forms
def test_at_distance_zero_the_gradient_is_zero(squared):
    z = np.ones((2, 3))
    near = np.array([True, False])
    loss, dz, dz_other = of_host(lambda a, b, c: drlim(a, b, c, MARGIN, squared), z, z, near)
    assert loss == (MARGIN**2 / 2 if squared else MARGIN) / 2  # only the far pair pays
    assert not dz.any() and not dz_other.any()


@forms
@pytest.mark.parametrize("distance", [5.0, 5.1, 1e6])
def test_at_the_margin_and_beyond_a_far_pair_rests(squared, distance):
    z, z_other = np.zeros((1, 2)), np.array([[0.6, 0.8]]) * distance
    z_other = np.array([[3.0, 4.0]]) if distance == 5 else z_other  # exactly 5
    loss, dz, dz_other = of_host(lambda a, b, c: drlim(a, b, c, 5.0, squared), z, z_other, np.array([False]))
    assert loss == 0 and not dz.any() and not dz_other.any()


def test_eq_1_pulls_and_pushes_with_unit_force_and_hadsell_does_not():
    z, near = np.zeros((2, 2)), np.array([True, False])
    for distance in (0.5, 1.0):
        z_other = np.array([[distance, 0.0], [distance, 0.0]])
        _, dz, _ = of_host(lambda a, b, c: drlim(a, b, c, 2.0), z, z_other, near)
        assert (2 * dz).tolist() == [[-1, 0], [1, 0]]
        _, dz, _ = of_host(lambda a, b, c: drlim(a, b, c, 2.0, squared=True), z, z_other, near)
        assert (2 * dz).tolist() == [[-distance, 0], [2 - distance, 0]]


@forms
@given(sizes, seeds)
def test_only_distances_matter_and_the_margin_is_their_unit(squared, shape, seed):
    z, z_other, near = pairs_off_kinks(shape, seed)
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((shape[1], shape[1])))[0]
    shift = rng.standard_normal(shape[1])
    loss, dz, dz_other = of_host(lambda a, b, c: drlim(a, b, c, MARGIN, squared), z, z_other, near)
    np.testing.assert_allclose(dz + dz_other, 0)
    moved, dz_moved, _ = of_host(
        lambda a, b, c: drlim(a, b, c, 3 * MARGIN, squared),
        3 * z @ turn + shift,
        3 * z_other @ turn + shift,
        near,
    )
    assert moved == pytest.approx((9 if squared else 3) * loss, rel=1e-9)
    np.testing.assert_allclose(dz_moved, (3 if squared else 1) * dz @ turn, atol=1e-9)


@forms
def test_float32_stays_and_arguments_are_left_alone(squared):
    z, z_other, near = pairs_off_kinks((4, 2), 0)
    z, z_other = z.astype(np.float32), z_other.astype(np.float32)
    before = z.copy(), z_other.copy(), near.copy()
    _, dz, dz_other = drlim(to_device(z), to_device(z_other), to_device(near), MARGIN, squared)
    assert dz.dtype == dz_other.dtype == np.float32
    for value, kept in zip((z, z_other, near), before, strict=True):
        np.testing.assert_array_equal(value, kept)


@forms
def test_on_the_device_alone(squared):
    loss, dz, _ = drlim(*map(Strict.of, pairs_off_kinks((4, 2), 0)), MARGIN, squared)
    assert type(dz) is Strict and float(loss) > 0


def test_bad_arguments_get_a_sentence():
    z, near = np.zeros((2, 2)), np.array([True, False])
    with pytest.raises(ValueError, match="must both be"):
        drlim(z, z[:1], near, 1.0)
    with pytest.raises(ValueError, match="bool, not int64"):
        drlim(z, z, near.astype(np.int64), 1.0)
    with pytest.raises(ValueError, match="margin must be positive"):
        drlim(z, z, near, 0.0)
