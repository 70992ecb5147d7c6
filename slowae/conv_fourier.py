"""The functions of `conv` with fewer operations: a Fourier transform along rows of a frame, im2col along columns.

By im2col alone the patch of a place is F F C numbers. But in the spectrum of a row, convolving is multiplying (the
convolution theorem), and F C complex numbers are left of it. For layer 1, with filters of 9 x 9 on rows of 32, that is
two fifths of the work, transforms included; for layer 2 a little over half. Rounding is relative to the largest numbers
of a row, no longer to those of a patch.
"""

import numpy as np

from slowae.backend import array_module
from slowae.conv import require_bias, require_filters


def _row_transform(width, F):
    """For rows of `width` places and filters of F: analysis (2 R, width), synthesis (width, 2 R), phases (R, 2, 2, F).

    analysis: x_u -> X_r = sum_u x_u e^(-2 pi i r u / L), real and imaginary part, r = 0 ... L // 2, which are R.
    synthesis: back. A row is periodic here: in L = width + F // 2 places one zero padding serves both of its ends.
    phases: w_j -> sum_j w_j e^(2 pi i r (j - F // 2) / L), with which the filter's row multiplies X_r, as the 2 x 2
    matrix that does so to the column (real, imaginary).
    """
    L = width + F // 2
    r = np.arange(L // 2 + 1)[:, None]
    angle = 2 * np.pi * r * np.arange(width) / L
    analysis = np.stack([np.cos(angle), -np.sin(angle)], 1).reshape(-1, width)
    weight = np.where((r == 0) | (2 * r == L), 1, 2) / L  # all others stand for -r as well
    angle = 2 * np.pi * r * (np.arange(F) - F // 2) / L
    phases = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return analysis, analysis.T * weight.repeat(2), phases.transpose(2, 0, 1, 3)


_transforms = {}  # what _transform has made: on a GPU each of them costs a trip


def _transform(x, W):
    """_row_transform for the frames x (N, H, W, ...) and the filters W, in the dtype of x and where x is."""
    width, F = x.shape[2], len(W)
    key = type(x), str(getattr(x, "device", "")), x.dtype, width, F  # NumPy 1 has no .device, and CuPy's has no hash
    if key not in _transforms:
        _transforms[key] = [np.asarray(matrix, x.dtype, like=x) for matrix in _row_transform(width, F)]
    return _transforms[key]


def _analyse(x, analysis):
    """x (N, H, W, C), analysis (2 R, W) -> (R, N H, 2 C): at each frequency and row real parts, then imaginary ones."""
    rows = x.reshape(-1, *x.shape[2:])
    return (analysis @ rows).reshape(len(rows), -1, 2 * x.shape[3]).swapaxes(0, 1)


def _filters(W, phases):
    """W (F, F, C, K) -> (R, 2 F C, 2, K): what a patch of the spectrum is multiplied by, for either part of W x."""
    filters = array_module(W).tensordot(phases, W, (3, 1)).transpose(0, 3, 2, 4, 1, 5)  # (R, F, 2, C, 2, K)
    return filters.reshape(len(phases), -1, 2, W.shape[-1])


def _patches(x, F):
    """x (M, H, C) -> (M, H, F C): the zero-padded F entries around each of the H, in a row."""
    (M, H, C), p, xp = x.shape, F // 2, array_module(x)
    padded = xp.zeros_like(x, shape=(M, H + 2 * p, C))
    padded[:, p : p + H] = x
    return xp.lib.stride_tricks.sliding_window_view(padded, F, 1).swapaxes(2, 3).reshape(M, H, F * C)


def _add_patches(planes, F):
    """planes (F, C, M, H) -> (C, M, H): the adjoint of _patches, with the places last, where they add up fastest."""
    (_, C, M, H), p = planes.shape, F // 2
    padded = array_module(planes).zeros_like(planes, shape=(C, M, H + 2 * p))
    for i, plane in enumerate(planes):
        padded[..., i : i + H] += plane
    return padded[..., p : p + H]


def _conv(x, W):
    """x (N, H, W, C) -> W x (N, H, W, K), and the patches (R, N H, 2 F C) of the spectrum of x."""
    analysis, synthesis, phases = _transform(x, W)
    (N, H, _, C), R = x.shape, len(phases)
    spectrum = _analyse(x, analysis).reshape(R * N, H, 2 * C)
    patches = _patches(spectrum, len(W)).reshape(R, N * H, -1)
    products = patches[:, None] @ _filters(W, phases).swapaxes(1, 2)  # (R, 2, N H, K)
    a = synthesis @ products.transpose(2, 0, 1, 3).reshape(N * H, 2 * R, -1)
    return a.reshape(*x.shape[:3], -1), patches


def _decode(h, W):
    """The transpose of _conv: h (N, H, W, K) -> (N, H, W, C), and its first step, dproducts (R, N H, 2 K).

    That is the spectrum of h times the weights of the way back: synthesis.T where another's spectrum has analysis.
    """
    analysis, synthesis, phases = _transform(h, W)
    (N, H, _, K), (F, _, C, _), R = h.shape, W.shape, len(phases)
    dproducts = _analyse(h, synthesis.T)
    filters = _filters(W, phases).reshape(R, -1, 2 * K)
    planes = (filters @ dproducts.swapaxes(1, 2)).swapaxes(0, 1).reshape(F, 2 * C, R * N, H)
    spectrum = _add_patches(planes, F).reshape(2, C, R, N * H)
    x_hat = analysis.T @ spectrum.transpose(3, 2, 0, 1).reshape(N * H, 2 * R, C)
    return x_hat.reshape(*h.shape[:3], C), dproducts


def _filter_gradient(patches, dproducts, phases, shape):
    """The gradient (F, F, C, K) = `shape` of <W x, h>: patches of _conv(x, W), dproducts of _decode(h, W)."""
    F, _, C, K = shape
    dfilters = (patches.swapaxes(1, 2) @ dproducts).reshape(-1, F, 2, C, 2, K)
    return array_module(phases).tensordot(phases, dfilters, ((0, 1, 2), (0, 4, 2))).swapaxes(0, 1)


def conv_forward(x, W, b):
    """a = W x + b: x (N, H, W, C), W (F, F, C, K), b (K,) -> a (N, H, W, K), cache (x, W, ...)."""
    require_filters(x, W, 2, "x")
    require_bias(b, W)
    a, patches = _conv(x, W)
    a += b
    return a, (x, W, patches)


def _sum_over_places(da):
    da = da.reshape(-1, da.shape[-1])
    return array_module(da).ones_like(da, shape=len(da)) @ da  # a product adds rows up faster than .sum(0)


def conv_backward_filters(da, cache):
    """da (N, H, W, K) -> dW (F, F, C, K), db (K,): conv_backward where the input needs no gradient."""
    x, W, patches = cache
    _, synthesis, phases = _transform(x, W)
    return _filter_gradient(patches, _analyse(da, synthesis.T), phases, W.shape), _sum_over_places(da)


def conv_backward(da, cache):
    """da (N, H, W, K) -> dx (N, H, W, C), dW (F, F, C, K), db (K,)."""
    x, W, patches = cache
    dx, dproducts = _decode(da, W)
    return dx, _filter_gradient(patches, dproducts, _transform(x, W)[2], W.shape), _sum_over_places(da)


def decode_forward(h, W_d):
    """x_hat = W_d h: h (N, H, W, K), W_d (F, F, C, K) -> x_hat (N, H, W, C), cache (h, W_d, ...)."""
    require_filters(h, W_d, 3, "h")
    x_hat, dproducts = _decode(h, W_d)
    return x_hat, (h, W_d, dproducts)


def decode_backward(dx_hat, cache):
    """dx_hat (N, H, W, C) -> dh (N, H, W, K), dW_d (F, F, C, K)."""
    h, W_d, dproducts = cache
    dh, patches = _conv(dx_hat, W_d)
    return dh, _filter_gradient(patches, dproducts, _transform(h, W_d)[2], W_d.shape)
