"""conv and decode: finite differences, plain loops, adjoints."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import conv_shapes, seeds

from slowae.backend import to_device, to_host
from slowae.conv import (
    col2im,
    conv_backward,
    conv_backward_filters,
    conv_forward,
    decode_backward,
    decode_forward,
    im2col,
)
from slowae.gradcheck import check_gradients


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
    rng = np.random.default_rng(seed)
    x_shape, W_shape = shapes
    h_shape = (*x_shape[:3], W_shape[3])
    return (
        rng,
        rng.standard_normal(x_shape),
        rng.standard_normal(W_shape),
        rng.standard_normal(W_shape[3]),
        rng.standard_normal(h_shape),
    )


@given(conv_shapes(), seeds)
def test_conv_equals_the_loop(shapes, seed):
    _, x, W, b, _ = draw(shapes, seed)
    a, _ = conv_forward(*map(to_device, (x, W, b)))
    np.testing.assert_allclose(to_host(a), conv_by_loop(x, W, b), rtol=1e-10, atol=1e-10)


@given(conv_shapes(), seeds)
def test_conv_gradients(shapes, seed):
    rng, x, W, b, _ = draw(shapes, seed)
    check_gradients(conv_forward, conv_backward, {"x": x, "W": W, "b": b}, rng)


@given(conv_shapes(), seeds)
def test_decode_gradients(shapes, seed):
    rng, _, W, _, h = draw(shapes, seed)
    check_gradients(decode_forward, decode_backward, {"h": h, "W_d": W}, rng)


@given(conv_shapes(), seeds)
def test_decode_is_the_transpose_of_conv(shapes, seed):
    _, x, W, b, h = draw(shapes, seed)
    a = to_host(conv_forward(*map(to_device, (x, W, 0 * b)))[0])
    x_hat = to_host(decode_forward(to_device(h), to_device(W))[0])
    np.testing.assert_allclose((a * h).sum(), (x * x_hat).sum(), rtol=1e-9, atol=1e-9)


@given(conv_shapes(), st.sampled_from([1, 3, 5, (3, 1), (1, 5)]), seeds)
def test_col2im_is_the_transpose_of_im2col(shapes, F, seed):
    rng, x, *_ = draw(shapes, seed)
    cols = to_host(im2col(to_device(x), F))
    c = rng.standard_normal(cols.shape)
    back = to_host(col2im(to_device(c), x.shape, F))
    np.testing.assert_allclose((cols * c).sum(), (x * back).sum(), rtol=1e-9, atol=1e-9)


def test_im2col_rows_are_padded_patches():
    x = np.arange(1.0, 10).reshape(1, 3, 3, 1)
    rows = to_host(im2col(to_device(x), 3))
    assert rows[0].tolist() == [0, 0, 0, 0, 1, 2, 0, 4, 5]
    assert rows[4].tolist() == list(range(1, 10))
    columns = to_host(im2col(to_device(x), (3, 1)))
    assert columns[0].tolist() == [0, 1, 4]
    assert columns[4].tolist() == [2, 5, 8]


def test_filter_gradients_alone_are_the_same():
    _, x, W, b, da = draw(((2, 4, 5, 3), (3, 3, 3, 4)), 0)
    x, W, b, da = map(to_device, (x, W, b, da))
    _, cache = conv_forward(x, W, b)
    for one, other in zip(conv_backward_filters(da, cache), conv_backward(da, cache)[1:], strict=True):
        np.testing.assert_array_equal(to_host(one), to_host(other))


def test_float32_loses_no_more_than_rounding():
    _, x, W, b, h = draw(((2, 32, 32, 3), (9, 9, 3, 16)), 2)
    results = []
    for dtype in (np.float64, np.float32):
        one, filters, bias, other = (to_device(v.astype(dtype)) for v in (x, W, b, h))
        a, conv_cache = conv_forward(one, filters, bias)
        x_hat, decode_cache = decode_forward(other, filters)
        results.append([a, x_hat, *conv_backward(other, conv_cache), *decode_backward(one, decode_cache)])
    for exact, rounded in zip(*results, strict=True):
        exact = to_host(exact)
        np.testing.assert_allclose(to_host(rounded), exact, rtol=0, atol=2e-6 * np.abs(exact).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays_and_arguments_do_not_change(dtype):
    _, x, W, b, h = (v.astype(dtype) if isinstance(v, np.ndarray) else v for v in draw(((2, 4, 4, 3), (3, 3, 3, 4)), 1))
    x, W, b, h = map(to_device, (x, W, b, h))
    before = [to_host(v).copy() for v in (x, W, b, h)]
    a, conv_cache = conv_forward(x, W, b)
    x_hat, decode_cache = decode_forward(h, W)
    results = [a, x_hat, *conv_backward(h, conv_cache), *decode_backward(x, decode_cache)]
    assert {v.dtype for v in results} == {np.dtype(dtype)}
    for old, new in zip(before, (x, W, b, h), strict=True):
        np.testing.assert_array_equal(old, to_host(new))


@pytest.mark.parametrize(
    ("x", "W", "b", "complaint"),
    [
        (np.zeros((1, 4, 4, 2)), np.zeros((3, 3, 3, 4)), np.zeros(4), "must be"),
        (np.zeros((4, 4, 3)), np.zeros((3, 3, 3, 4)), np.zeros(4), "must be"),
        (np.zeros((1, 4, 4, 3)), np.zeros((2, 2, 3, 4)), np.zeros(4), "odd"),
        (np.zeros((1, 4, 4, 3)), np.zeros((3, 3, 3, 4)), np.zeros(3), "bias"),
        (np.zeros((1, 4, 4, 3), int), np.zeros((3, 3, 3, 4)), np.zeros(4), "dtype"),
        (np.zeros((1, 4, 4, 3), np.float32), np.zeros((3, 3, 3, 4)), np.zeros(4), "dtype"),
    ],
)
def test_bad_arguments_get_a_sentence(x, W, b, complaint):
    with pytest.raises(ValueError, match=complaint):
        conv_forward(x, W, b)


def test_decode_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="must be"):
        decode_forward(np.zeros((1, 4, 4, 3)), np.zeros((3, 3, 3, 4)))
    with pytest.raises(ValueError, match="odd"):
        decode_forward(np.zeros((1, 4, 4, 4)), np.zeros((2, 2, 3, 4)))
    with pytest.raises(ValueError, match="do not fit"):
        col2im(np.zeros((16, 9)), (1, 4, 4, 3), 3)
