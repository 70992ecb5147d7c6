"""The layers: finite differences, plain loops, kinks, silent groups, and what would broadcast."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from strategies import off_zero, pooled_shapes, seeds

from slowae import layers
from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.layers import l2_pool_backward, l2_pool_forward, relu_backward, relu_forward

SHAPES = {  # of each layer's arguments
    "linear": {"x": (3, 4), "W": (4, 2), "b": (2,)},
    "linear_decode": {"h": (3, 2), "W_d": (4, 2)},
    "relu": {"a": (2, 3, 4)},
    "l2_pool": {"h": (2, 4, 4, 8)},
    "unpool": {"z": (2, 2, 2, 3), "a": (2, 2, 2, 3, 8)},
    "batch_norm": {"a": (5, 2, 3), "b": (3,)},
}
# All layers of the module: one without shapes fails.
EVERY = pytest.mark.parametrize("name", [n.removesuffix("_forward") for n in vars(layers) if n.endswith("_forward")])


def layer(name):
    forward, backward = (getattr(layers, f"{name}_{way}") for way in ("forward", "backward"))
    groups = {"l2_pool": 4, "unpool": 2}
    return (partial(forward, group=groups[name], size=2) if name in groups else forward), backward


def draw(name, seed, dtype=float):
    rng = np.random.default_rng(seed)
    return {key: off_zero(rng, shape).astype(dtype) for key, shape in SHAPES[name].items()}


def members(h, group, size):
    """h (N, H, W, K) -> the h_j of each P_i by a loop, (N, H/size, W/size, K/group, group size^2)."""
    N, H, W, K = h.shape
    out = np.zeros((N, H // size, W // size, K // group, size, size, group))
    for n, y, x, k in np.ndindex(N, H, W, K):
        out[n, y // size, x // size, k // group, y % size, x % size, k % group] = h[n, y, x, k]
    return out.reshape(*out.shape[:4], -1)


def pool_by_loop(h, group, size):
    return np.sqrt((members(h, group, size) ** 2).sum(-1))


@EVERY
@given(seeds)
def test_gradients(name, seed):
    check_gradients(*layer(name), draw(name, seed), np.random.default_rng(seed))


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays_and_arguments_do_not_change(name, dtype):
    (forward, backward), arrays = layer(name), draw(name, 0, dtype)
    moved = to_device({key: value.copy() for key, value in arrays.items()})
    out, cache = forward(**moved)
    dout = out - 2
    grads = backward(dout, cache)
    assert {value.dtype for value in (out, *(grads if isinstance(grads, tuple) else [grads]))} == {np.dtype(dtype)}
    for key, value in arrays.items():
        np.testing.assert_array_equal(to_host(moved[key]), value)
    np.testing.assert_array_equal(to_host(dout), to_host(out) - 2)


def test_linear_decode_is_the_transpose_of_linear():
    x, W, _ = draw("linear", 0).values()
    h = np.random.default_rng(1).standard_normal((3, 2))
    a, x_hat = layers.linear_forward(x, W, np.zeros(2))[0], layers.linear_decode_forward(h, W)[0]
    np.testing.assert_allclose((a * h).sum(), (x * x_hat).sum())
    np.testing.assert_allclose(a, [[sum(x[n] * W[:, k]) for k in range(2)] for n in range(3)])


def test_relu_at_the_kink_is_flat():
    h, cache = relu_forward(to_device(np.array([-1.0, 0.0, 2.0])))
    assert to_host(h).tolist() == [0, 0, 2]
    assert to_host(relu_backward(to_device(np.full(3, 5.0)), cache)).tolist() == [0, 0, 5]


@given(pooled_shapes(), seeds)
def test_l2_pool_equals_the_loop_and_its_gradients_the_differences(shapes, seed):
    (shape, group, size), rng = shapes, np.random.default_rng(seed)
    h = off_zero(rng, shape)
    found, _ = l2_pool_forward(to_device(h), group, size)
    np.testing.assert_allclose(to_host(found), pool_by_loop(h, group, size), rtol=1e-12)
    check_gradients(lambda h: l2_pool_forward(h, group, size), l2_pool_backward, {"h": h}, rng)


def test_l2_pool_of_vectors_is_that_of_single_places():
    h = to_device(draw("l2_pool", 0)["h"][0, 0])
    (z, cache), (z_places, cache_places) = l2_pool_forward(h, 4), l2_pool_forward(h[:, None, None], 4)
    dh, dh_places = l2_pool_backward(z, cache), l2_pool_backward(z_places, cache_places)
    for found, expected in ((z, z_places), (dh, dh_places)):
        np.testing.assert_array_equal(to_host(found), to_host(expected)[:, 0, 0])


def test_a_silent_group_has_gradient_zero_not_nan():
    z, cache = l2_pool_forward(to_device(np.array([[0.0, 0.0, 3.0, 4.0]])), 2)
    assert to_host(z).tolist() == [[0, 5]]
    assert to_host(l2_pool_backward(to_device(np.full((1, 2), 5.0)), cache)).tolist() == [[0, 0, 3, 4]]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: layers.linear_forward(np.ones((2, 3)), np.ones((3, 5)), np.ones(1)), "one entry for each column"),
        (lambda: relu_backward(np.ones((1, 4)), np.ones((3, 4))), r"dh \(1, 4\) and h \(3, 4\) must have one shape"),
        (lambda: l2_pool_forward(np.ones((2, 3)), 2), "3 maps do not divide into groups of 2"),
        (lambda: l2_pool_forward(np.ones((2, 4, 3, 2)), 2, 2), "do not divide into squares of 2 x 2"),
        (lambda: l2_pool_backward(np.ones((1, 2)), l2_pool_forward(np.ones((3, 4)), 2)[1]), "must have one shape"),
        (lambda: layers.unpool_forward(np.ones((1, 2, 2, 3)), np.ones((1, 2, 2, 1, 8)), 2, 2), "must be"),
        (lambda: layers.batch_norm_forward(np.ones((4, 3)), np.ones(1)), "one entry for each map"),
    ],
)
def test_what_would_broadcast_is_refused(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()


@pytest.mark.parametrize("epsilon", [1e-5, 1.0])
def test_batch_norm_leaves_each_map_its_bias_as_mean_and_variance_1(epsilon):
    a, b = 3 * np.random.default_rng(0).standard_normal((3, 2, 2, 3)) + 5, np.array([0.0, 1.0, -2.0])
    a[..., 2] = 2.0  # never changes
    out = to_host(layers.batch_norm_forward(to_device(a), to_device(b), epsilon)[0])
    variance = a.var((0, 1, 2))
    np.testing.assert_allclose(out.mean((0, 1, 2)), b, atol=1e-12)
    np.testing.assert_allclose(out.var((0, 1, 2)), variance / (variance + epsilon))
