"""conv and decode, by patches and by Fourier transform: finite differences, plain loops, adjoints, each other."""

import numpy as np
import pytest
from hypothesis import given
from strategies import conv_shapes, seeds
from strict import Strict

from slowae import conv, conv_fourier
from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients

BOTH = pytest.mark.parametrize("module", [conv, conv_fourier], ids=lambda module: module.__name__)


def conv_by_loop(x, W, b):
    """a[n, y, x, k] = b[k] + sum over the patch, one multiplication at a time."""
    (N, H, Wd, C), (F, _, _, K) = x.shape, W.shape
    a = np.zeros((N, H, Wd, K)) + b
    for n, y, u, k, i, j, c in np.ndindex(N, H, Wd, K, F, F, C):
        v, w = y + i - F // 2, u + j - F // 2
        if 0 <= v < H and 0 <= w < Wd:
            a[n, y, u, k] += x[n, v, w, c] * W[i, j, c, k]
    return a


def draw(shapes, seed):
    """-> a generator, and from it x, W, b, and h of the shape of a."""
    rng, (x_shape, W_shape) = np.random.default_rng(seed), shapes
    drawn = [rng.standard_normal(shape) for shape in (x_shape, W_shape, W_shape[3:], (*x_shape[:3], W_shape[3]))]
    return rng, *drawn


def everything(module, x, W, b, h):
    """All that a module computes, by name."""
    a, conv_cache = module.conv_forward(x, W, b)
    x_hat, decode_cache = module.decode_forward(h, W)
    names = "a x_hat dx dW db dh dW_d".split()
    found = a, x_hat, *module.conv_backward(h, conv_cache), *module.decode_backward(x, decode_cache)
    return dict(zip(names, found, strict=True))


@BOTH
@given(conv_shapes(), seeds)
def test_conv_equals_the_loop(module, shapes, seed):
    _, x, W, b, _ = draw(shapes, seed)
    a, _ = module.conv_forward(*map(to_device, (x, W, b)))
    np.testing.assert_allclose(to_host(a), conv_by_loop(x, W, b), rtol=1e-10, atol=1e-10)


@BOTH
@given(conv_shapes(), seeds)
def test_gradients(module, shapes, seed):
    rng, x, W, b, h = draw(shapes, seed)
    check_gradients(module.conv_forward, module.conv_backward, {"x": x, "W": W, "b": b}, rng)
    check_gradients(module.decode_forward, module.decode_backward, {"h": h, "W_d": W}, rng)


@BOTH
@given(conv_shapes(), seeds)
def test_decode_is_the_transpose_of_conv(module, shapes, seed):
    _, x, W, b, h = draw(shapes, seed)
    found = to_host(everything(module, *map(to_device, (x, W, 0 * b, h))))
    np.testing.assert_allclose((found["a"] * h).sum(), (x * found["x_hat"]).sum(), rtol=1e-9, atol=1e-9)


@BOTH
@pytest.mark.parametrize("shapes", [((2, 32, 32, 3), (9, 9, 3, 16)), ((3, 16, 16, 16), (5, 5, 16, 64))], ids=str)
def test_both_modules_agree_but_for_rounding(module, shapes, monkeypatch):
    monkeypatch.setattr(conv_fourier, "_cached", {})  # or float64's cosines might serve float32 here
    arrays = draw(shapes, 2)[1:]
    rounded = to_host(everything(module, *(to_device(array.astype(np.float32)) for array in arrays)))
    found, expected = (to_host(everything(by, *map(to_device, arrays))) for by in (module, conv))
    for name, value in expected.items():
        largest = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-13 * largest, err_msg=name)
        np.testing.assert_allclose(rounded[name], value, rtol=0, atol=2e-6 * largest, err_msg=name)


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays_and_arguments_do_not_change(module, dtype):
    arrays = [array.astype(dtype) for array in draw(((2, 4, 4, 3), (3, 3, 3, 4)), 1)[1:]]
    moved = [to_device(array.copy()) for array in arrays]
    assert {value.dtype for value in everything(module, *moved).values()} == {np.dtype(dtype)}
    for array, after in zip(arrays, moved, strict=True):
        np.testing.assert_array_equal(array, to_host(after))


@BOTH
def test_constants_of_the_host_do_not_reach_the_device(module):
    arrays = draw(((2, 4, 6, 3), (3, 3, 3, 4)), 1)[1:]
    on_host = everything(module, *arrays)  # first, so that what it keeps is there to be mixed up
    on_device = everything(module, *map(Strict.of, arrays))
    for name, value in on_host.items():
        assert type(on_device[name]) is Strict and type(value) is np.ndarray
        np.testing.assert_array_equal(on_device[name].get(), value)


@BOTH
def test_a_bias_that_would_broadcast_is_refused(module):
    with pytest.raises(ValueError, match=r"bias \(1,\) must have one entry per filter"):
        module.conv_forward(np.zeros((1, 4, 4, 3)), np.zeros((3, 3, 3, 4)), np.zeros(1))
