"""The layers: finite differences, plain loops, kinks, silent groups, scale, and what they refuse."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from strategies import off_zero, pooled_shapes, seeds

from slowae import layers
from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.layers import l2_pool_backward, l2_pool_forward, relu_backward, relu_forward

# Every layer, and the shapes of its arguments.
LAYERS = {
    "linear": {"x": (3, 4), "W": (4, 2), "b": (2,)},
    "linear_decode": {"h": (3, 2), "W_d": (4, 2)},
    "relu": {"a": (2, 3, 4)},
    "l2_pool": {"h": (2, 4, 4, 8)},
    "unpool": {"z": (2, 2, 2, 3), "a": (2, 2, 2, 3, 8)},
    "batch_norm": {"a": (5, 2, 3), "b": (3,)},
}
EVERY = pytest.mark.parametrize("name", LAYERS)


def layer(name):
    forward, backward = (getattr(layers, f"{name}_{way}") for way in ("forward", "backward"))
    groups = {"l2_pool": 4, "unpool": 2}
    return (partial(forward, group=groups[name], size=2) if name in groups else forward), backward


def draw(name, seed, dtype=float):
    rng = np.random.default_rng(seed)
    return {key: off_zero(rng, shape).astype(dtype) for key, shape in LAYERS[name].items()}


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


@EVERY
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.float16])
def test_what_is_not_float32_or_float64_is_refused_by_name(name, dtype):
    (forward, backward), arrays = layer(name), draw(name, 0)
    for key, value in arrays.items():
        with pytest.raises(ValueError, match=f"{key} {np.dtype(dtype)}.*convert with .astype"):
            forward(**arrays | {key: value.astype(dtype)})
    out, cache = forward(**arrays)
    with pytest.raises(ValueError, match=f"^float32 or float64 is needed.* d[a-z_]+ {np.dtype(dtype)}"):
        backward(np.ones(out.shape, dtype), cache)


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
    ((N, H, W, K), group, size), rng = shapes, np.random.default_rng(seed)
    h = off_zero(rng, (N, H, W, K))
    z = np.zeros((N, H // size, W // size, K // group))
    for n, y, x, k in np.ndindex(N, H, W, K):
        z[n, y // size, x // size, k // group] += h[n, y, x, k] ** 2
    found, _ = l2_pool_forward(to_device(h), group, size)
    np.testing.assert_allclose(to_host(found), np.sqrt(z), rtol=1e-12)
    check_gradients(lambda h: l2_pool_forward(h, group, size), l2_pool_backward, {"h": h}, rng)


def test_l2_pool_of_vectors_is_that_of_single_places():
    h = to_device(draw("l2_pool", 0)["h"][0, 0])
    (z, cache), (z_places, cache_places) = l2_pool_forward(h, 4), l2_pool_forward(h[:, None, None], 4)
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


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_l2_pool_where_squares_leave_float32(scale):
    h = draw("l2_pool", 0, np.float32)["h"]
    (z, cache), (z_scaled, cache_scaled) = l2_pool_forward(h, 4, 2), l2_pool_forward(h * np.float32(scale), 4, 2)
    np.testing.assert_allclose(z_scaled / np.float32(scale), z, rtol=1e-5)
    np.testing.assert_allclose(l2_pool_backward(z, cache_scaled), l2_pool_backward(z, cache), rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_none_stays_in_its_group(value):
    h = np.ones((1, 2))
    h[0, 0] = value
    np.testing.assert_array_equal(l2_pool_forward(h, 1)[0], h)


@pytest.mark.parametrize(
    ("shape", "group", "size", "complaint"),
    [
        ((1, 4, 4, 6), 4, 2, "groups of 4"),
        ((1, 3, 4, 8), 4, 2, "2 x 2"),
        ((1, 4, 3, 8), 4, 2, "2 x 2"),
        ((2, 8), 4, 2, "must be"),
        ((8,), 4, 1, "must be"),
        *(((1, 4, 4, 8), *bad, "at least 1") for bad in ((0, 1), (-2, 1), (4, 0), (4, -2))),
    ],
)
def test_pool_refuses_what_does_not_divide(shape, group, size, complaint):
    with pytest.raises(ValueError, match=complaint):
        l2_pool_forward(np.zeros(shape), group, size)


@pytest.mark.parametrize(
    ("forward", "shapes"),
    [
        (layers.linear_forward, [(2, 3), (4, 5), (5,)]),
        (layers.linear_forward, [(2, 3), (3, 5), (4,)]),
        (layers.linear_decode_forward, [(2, 3), (3, 4)]),
        (layers.batch_norm_forward, [(4, 3), (2,)]),
        (layers.batch_norm_forward, [(0, 3), (3,)]),
    ],
)
def test_shapes_that_do_not_fit_get_a_sentence(forward, shapes):
    with pytest.raises(ValueError, match="must be"):
        forward(*map(np.zeros, shapes))


@EVERY
def test_a_backward_refuses_what_would_broadcast(name):
    (forward, backward), arrays = layer(name), draw(name, 0)
    out, cache = forward(**arrays)
    wrong = [out[(slice(None),) * axis + (slice(0, 1),)] for axis in range(out.ndim)]
    if name == "batch_norm":
        wrong = [out.swapaxes(1, 2)]  # all axes before the last are one long one
    for dout in wrong:
        with pytest.raises(ValueError):
            backward(dout, cache)
    if name == "linear":  # nothing else in this one looks at the last axis
        with pytest.raises(ValueError, match="must be"):
            layers.linear_backward_weights(np.ones((3, 5)), cache)


@pytest.mark.parametrize("rows", [(4,), (3, 2, 2)])
def test_batch_norm_leaves_each_map_its_bias_as_mean_and_variance_1(rows):
    rng = np.random.default_rng(0)
    a, b = 3 * rng.standard_normal((*rows, 3)) + 5, np.array([0.0, 1.0, -2.0])
    a[..., 2] = 2.0  # a map that never changes is its bias
    out = to_host(layers.batch_norm_forward(to_device(a), to_device(b))[0]).reshape(-1, 3)
    variance = a.reshape(-1, 3).var(0)
    np.testing.assert_allclose(out.mean(0), b, atol=1e-12)
    np.testing.assert_allclose(out.var(0), variance / (variance + 1e-5), atol=1e-12)
