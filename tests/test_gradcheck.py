"""The test of the test: planted wrong backwards must all be caught, by the name of the gradient that is wrong."""

import numpy as np
import pytest
from strategies import off_zero

from slowae import layers
from slowae.conv import conv_backward, conv_forward
from slowae.gradcheck import check_gradients
from slowae.layers import l2_pool_backward, linear_backward, linear_forward, relu_backward, relu_forward


def pool(h):
    return layers.l2_pool_forward(h, 4, 2)


def wrong(backward, position, change):
    """`backward` with one of its gradients changed."""

    def planted(dout, cache):
        grads = backward(dout, cache)
        grads = list(grads) if isinstance(grads, tuple) else [grads]
        grads[position] = change(grads[position])
        return tuple(grads)

    return planted


LINEAR = {"x": (5, 5), "W": (5, 5), "b": (5,)}
CONV = {"x": (2, 4, 4, 3), "W": (3, 3, 3, 4), "b": (4,)}
PLANTED = {
    "pool without 1/z": (pool, lambda dz, cache: l2_pool_backward(dz * cache[1], cache), {"h": (1, 4, 4, 8)}, "dh"),
    "relu without its mask": (relu_forward, lambda dh, cache: dh, {"a": (4, 4)}, "da"),
    "relu off by 1e-4": (relu_forward, wrong(relu_backward, 0, lambda g: 1.0001 * g), {"a": (4, 4)}, "da"),
    "relu not a number": (relu_forward, lambda dh, cache: np.nan * dh, {"a": (4, 4)}, "da"),
    "linear, dW transposed": (linear_forward, wrong(linear_backward, 1, np.transpose), LINEAR, "dW"),
    "conv, dx flipped": (conv_forward, wrong(conv_backward, 0, lambda g: g[:, ::-1]), CONV, "dx"),
    "conv, db of the wrong shape": (conv_forward, wrong(conv_backward, 2, lambda g: g[None]), CONV, "db"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_errors_are_caught_by_name(name):
    forward, backward, shapes, culprit = PLANTED[name]
    rng = np.random.default_rng(0)
    arrays = {key: off_zero(rng, shape) for key, shape in shapes.items()}
    with pytest.raises(AssertionError, match=f"^{culprit} (is wrong|has shape)"):
        check_gradients(forward, backward, arrays, rng)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_size_does_not_matter_as_long_as_it_is_one(size):
    rng = np.random.default_rng(0)
    check_gradients(lambda x: (size * x, None), lambda d, _: size * d, {"x": rng.standard_normal(4)}, rng)
    with pytest.raises(AssertionError, match="dx is wrong"):
        check_gradients(lambda x: (size * x, None), lambda d, _: 1.0001 * size * d, {"x": np.ones(4)}, rng)


@pytest.mark.parametrize("slope", [0, 1, 1.0001, 2])
def test_where_rounding_hides_the_gradient_it_does_not_pass(slope):
    """Nor where the constants cancel in the sum over the outputs."""
    rng, (a, b) = np.random.default_rng(0), np.random.default_rng(0).standard_normal(2)  # dout
    constant = 1e12 * np.array([b, -a])
    with pytest.raises(AssertionError, match="dx cannot be checked: rounding"):
        check_gradients(lambda x: (x + constant, None), lambda d, _: slope * d, {"x": np.ones(2)}, rng)


def test_float32_is_refused():
    with pytest.raises(ValueError, match="checks need float64"):
        check_gradients(relu_forward, relu_backward, {"a": np.ones(3, np.float32)}, np.random.default_rng(0))
