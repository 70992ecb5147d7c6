"""linear, ReLU, L2 pooling: finite differences, plain loops, kinks, silent groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import off_zero, pooled_shapes, seeds

from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.layers import (
    batch_norm_backward,
    batch_norm_forward,
    l2_pool_backward,
    l2_pool_forward,
    linear_backward,
    linear_forward,
    relu_backward,
    relu_forward,
)


@given(st.tuples(*[st.integers(1, 5)] * 3), seeds)
def test_linear_gradients(sizes, seed):
    rng, (N, D, K) = np.random.default_rng(seed), sizes
    arrays = {"x": rng.standard_normal((N, D)), "W": rng.standard_normal((D, K)), "b": rng.standard_normal(K)}
    check_gradients(linear_forward, linear_backward, arrays, rng)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), seeds)
def test_relu_gradients(shape, seed):
    rng = np.random.default_rng(seed)
    check_gradients(relu_forward, relu_backward, {"a": off_zero(rng, shape)}, rng)


def test_relu_at_the_kink_is_flat():
    a = to_device(np.array([-1.0, 0.0, 2.0]))
    h, cache = relu_forward(a)
    assert to_host(h).tolist() == [0, 0, 2]
    assert to_host(relu_backward(to_device(np.full(3, 5.0)), cache)).tolist() == [0, 0, 5]


@given(pooled_shapes(), seeds)
def test_l2_pool_equals_the_loop(shapes, seed):
    (N, H, W, K), group, size = shapes
    h = np.random.default_rng(seed).standard_normal((N, H, W, K)).clip(0)
    z = np.zeros((N, H // size, W // size, K // group))
    for n, y, x, k in np.ndindex(N, H, W, K):
        z[n, y // size, x // size, k // group] += h[n, y, x, k] ** 2
    found, _ = l2_pool_forward(to_device(h), group, size)
    np.testing.assert_allclose(to_host(found), np.sqrt(z), rtol=1e-12, atol=1e-12)


@given(pooled_shapes(), seeds)
def test_l2_pool_gradients(shapes, seed):
    shape, group, size = shapes
    rng = np.random.default_rng(seed)
    check_gradients(lambda h: l2_pool_forward(h, group, size), l2_pool_backward, {"h": off_zero(rng, shape)}, rng)


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 2, 4]), seeds)
def test_l2_pool_of_vectors_is_that_of_single_places(N, groups, group, seed):
    h = to_device(np.random.default_rng(seed).standard_normal((N, groups * group)))
    z, cache = l2_pool_forward(h, group)
    z_places, cache_places = l2_pool_forward(h[:, None, None], group, 1)
    np.testing.assert_array_equal(to_host(z), to_host(z_places)[:, 0, 0])
    dh, dh_places = l2_pool_backward(z, cache), l2_pool_backward(z_places, cache_places)
    np.testing.assert_array_equal(to_host(dh), to_host(dh_places)[:, 0, 0])


def test_a_silent_group_has_gradient_zero_not_nan():
    h = np.zeros((1, 2, 2, 8))
    h[..., 4:] = 1.0
    z, cache = l2_pool_forward(to_device(h), 4, 2)
    dh = to_host(l2_pool_backward(to_device(np.ones(z.shape)), cache))
    assert to_host(z).ravel().tolist() == [0, 4]
    assert (dh[..., :4] == 0).all()
    np.testing.assert_allclose(dh[..., 4:], 0.25)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays_and_arguments_do_not_change(dtype):
    h = np.random.default_rng(0).standard_normal((2, 4, 4, 8)).astype(dtype)
    before, h = h.copy(), to_device(h)
    z, cache = l2_pool_forward(h, 4, 2)
    a, relu_cache = relu_forward(h)
    assert {v.dtype for v in (z, l2_pool_backward(z, cache), a, relu_backward(h, relu_cache))} == {np.dtype(dtype)}
    np.testing.assert_array_equal(to_host(h), before)


@pytest.mark.parametrize(
    ("shape", "group", "size", "complaint"),
    [
        ((1, 4, 4, 6), 4, 2, "groups of 4"),
        ((1, 3, 4, 8), 4, 2, "2 x 2"),
        ((2, 8), 4, 2, "must be"),
        ((8,), 4, 1, "must be"),
    ],
)
def test_pool_refuses_what_does_not_divide(shape, group, size, complaint):
    with pytest.raises(ValueError, match=complaint):
        l2_pool_forward(np.zeros(shape), group, size)


def test_linear_refuses_shapes_and_dtypes():
    with pytest.raises(ValueError, match="must be"):
        linear_forward(np.zeros((2, 3)), np.zeros((4, 5)), np.zeros(5))
    with pytest.raises(ValueError, match="dtype"):
        linear_forward(np.zeros((2, 3), np.float32), np.zeros((3, 5)), np.zeros(5))


@given(st.sampled_from([(4,), (3, 2, 2)]), st.integers(1, 3), seeds)
def test_batch_norm_equals_the_loop(rows, K, seed):
    rng = np.random.default_rng(seed)
    a, b = 3 * rng.standard_normal((*rows, K)) + 5, rng.standard_normal(K)
    expected = np.empty_like(a)
    for k in range(K):
        values = a[..., k].ravel().tolist()
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        for place in np.ndindex(rows):
            expected[(*place, k)] = (a[(*place, k)] - mean) / (variance + 1e-5) ** 0.5 + b[k]
    out, _ = batch_norm_forward(to_device(a), to_device(b))
    np.testing.assert_allclose(to_host(out), expected, rtol=1e-9, atol=1e-9)


@given(st.sampled_from([(4,), (3, 2, 2)]), st.integers(1, 3), seeds)
def test_batch_norm_gradients(rows, K, seed):
    rng = np.random.default_rng(seed)
    arrays = {"a": 3 * rng.standard_normal((*rows, K)) + 5, "b": rng.standard_normal(K)}
    check_gradients(batch_norm_forward, batch_norm_backward, arrays, rng)


def test_batch_norm_takes_away_shift_and_scale_and_leaves_its_input():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((50, 3)), np.array([0.0, 1.0, -2.0])
    before = a.copy()
    out = to_host(batch_norm_forward(to_device(a), to_device(b))[0])
    np.testing.assert_array_equal(a, before)
    np.testing.assert_allclose(out.mean(0), b, atol=1e-12)
    moved = to_host(batch_norm_forward(to_device(100 * a + 7), to_device(b))[0])
    np.testing.assert_allclose(moved, out, atol=1e-4)
    flat = to_host(batch_norm_forward(to_device(np.full((5, 3), 2.0)), to_device(b))[0])
    np.testing.assert_allclose(flat, np.tile(b, (5, 1)))  # a map that never changes is its bias
