"""The functions of `conv` for a CPU, by Fourier transform: in the spectrum of a frame, convolving is multiplying.

By patches a place of layer 2 is 5 x 5 x 16 = 400 numbers; by the convolution theorem a frequency is 16 complex ones. So
a step takes 19 million operations a frame and not 66, and in layer 1, with filters of 9 x 9 x 3, 59 million and not
159; those for the filters' own spectra are shared by a block of frames. All are products with matrices, and `decode`
and the gradients are the same products, transposed.

1. Rows. W places x_u become X_r = sum_u x_u e^(-2 pi i r u / L), by a matrix of cosines and sines: for so few places a
   fast Fourier transform is no faster. Waves are periodic: in L = W + F // 2 places one zero padding serves both ends.
   As x is real, r = 0 ... L // 2 are enough, which are R.
2. Columns, in one of two ways. Together: as complex numbers, at S = H + F // 2 frequencies, each with 2 parts, real and
   imaginary. Apart: first the real parts and then the imaginary ones, as if they were rows, at half as many, each with
   2 x 2 parts. Apart takes half the operations here and twice those of the product, and is for few channels.
3. The filters' spectrum is (R, S, A, K): at a frequency their parts stand below each other, A = 2 C or 4 C.
4. The frames' is (R, S, 2 N or 4 N, A), a row for each part of the product. Together, of frames x' + i x'' and filters
   w' + i w'': (x', -x'') for the real part, (x'', x') for the imaginary one, both to multiply w' above w''.
5. The product is the maps' spectrum, (R, S, 2 N or 4 N, K). The way back takes the columns first, with a weight for
   each frequency: all but 0 and L / 2 stand for -r as well.

Rounding is relative to the largest numbers of a frame, no longer to those of a patch.
"""

from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np

from slowae.checks import require


class _Fourier(NamedTuple):
    """For frames, maps and filters, the matrices of rows (a, R b, W) and of columns (a', S d, H, or 2 H for complex).

    A product has b d parts, each a sum over a a' parts. grid: (R, S). places: L of the rows times L of the columns.
    """

    frames: tuple
    maps: tuple
    filters: tuple
    grid: tuple
    places: int


def waves(n, F, half):
    """Of n places and F taps -> there (2, R, n), back (2, R, n), taps (2, R, F), each a real and an imaginary part.

    L = n + F // 2. e^(-2 pi i r u / L), to X_r; the same over L, twice that where r stands for -r as well: transposed,
    the way back; e^(2 pi i r (j - F // 2) / L), as a filter is not turned round. half: r up to L // 2, else below L.
    """
    L = n + F // 2
    r = np.arange(L // 2 + 1 if half else L)[:, None]
    weight = np.where(half & (r > 0) & (2 * r < L), 2, 1) / L
    there = np.exp(-2j * np.pi * r * np.arange(n) / L)
    taps = np.exp(2j * np.pi * r * (np.arange(F) - F // 2) / L)
    return tuple(np.array([wave.real, wave.imag]) for wave in (there, weight * there, taps))


def _times(z):
    """z, real and imaginary part -> the 2 x 2 matrix that multiplies by it."""
    return np.array([[z[0], -z[1]], [z[1], z[0]]])


def _factors(there, back, taps):
    """Of frames, maps and filters -> (b, a, ...): b parts of a product, each of a parts of the filters times frames."""
    return _times(there), back[:, None], taps[None]


_cached = {}  # what _matrices has made


def _matrices(x, W):
    """_Fourier for the frames or maps x (N, H, W, ...) and the filters W, in the dtype of x and where x is."""
    (_, H, width, _), (F, _, C, _) = x.shape, W.shape
    apart = 5 * C < 2 * H  # from the operations of a step: four transforms of K maps, five products
    key = type(x), str(x.device), x.dtype, H, width, F, apart
    if key not in _cached:
        rows, columns = waves(width, F, half=True), waves(H, F, half=apart)
        grid = rows[0].shape[1], columns[0].shape[1]
        columns = _factors(*(wave[:, None] if apart else _times(wave) for wave in columns))
        rows = _factors(*(wave[:, None] for wave in rows)) if apart else [wave[:, None, None] for wave in rows]

        def matrix(m):  # (b, a, 1 or 2, R, n) -> (a, R b, n or 2 n)
            m = m.transpose(1, 3, 0, 2, 4).reshape(m.shape[1], m.shape[3] * m.shape[0], -1)
            return np.asarray(m, x.dtype, like=x)

        pairs = [[*map(matrix, pair)] for pair in zip(rows, columns, strict=True)]
        _cached[key] = _Fourier(*pairs, grid, (H + F // 2) * (width + F // 2))
    return _cached[key]


def _spectrum(x, pair, grid):
    """x (N, H, W, C) -> (R, S, d b N, a' a C)."""
    (N, H, _, C), (rows, columns), (R, S) = x.shape, pair, grid
    by_row = np.empty_like(x, shape=(N, rows.shape[1], H, len(rows), C))
    np.matmul(rows[:, None, None], x, out=by_row.transpose(3, 0, 2, 1, 4))
    by_row = by_row.reshape(N, R, -1, columns.shape[2], len(rows) * C)
    spectrum = np.empty_like(x, shape=(R, columns.shape[1], by_row.shape[2], N, len(columns), len(rows) * C))
    np.matmul(columns[:, None, None, None], by_row, out=spectrum.transpose(4, 3, 0, 2, 1, 5))
    return spectrum.reshape(R, S, -1, len(columns) * len(rows) * C)


def _spectrum_transposed(spectrum, pair, shape):
    """(R, S, d b N, a' a C) -> x (N, H, W, C) = `shape`: the transpose of _spectrum. For maps it is the way back."""
    (N, H, _, C), (rows, columns), R = shape, pair, len(spectrum)
    spectrum = spectrum.reshape(R, columns.shape[1], -1, N, len(columns), len(rows) * C).transpose(4, 3, 0, 2, 1, 5)
    by_row = reduce(add, columns.swapaxes(1, 2)[:, None, None, None] @ spectrum)
    by_row = by_row.reshape(N, rows.shape[1], H, len(rows), C).transpose(3, 0, 2, 1, 4)
    return reduce(add, rows.swapaxes(1, 2)[:, None, None] @ by_row)


def _filter_spectrum(W, fourier):
    """W (F, F, C, K) -> (R, S, A, K)."""
    F, K = len(W), W.shape[-1]
    return _spectrum(W.reshape(1, F, F, -1), fourier.filters, fourier.grid).reshape(*fourier.grid, -1, K)


def _filter_gradient(of_frames, of_maps, fourier, shape):
    """The gradient (F, F, C, K) = `shape` of <W x, h>, from the spectra of x and h."""
    (F, _, C, K), (R, S) = shape, fourier.grid
    products = of_frames.swapaxes(2, 3) @ of_maps  # (R, S, A, K)
    return _spectrum_transposed(products.reshape(R, S, 1, -1), fourier.filters, (1, F, F, C * K)).reshape(shape)


def conv_forward(x, W, b):
    """a = W x + b: x (N, H, W, C), W (F, F, C, K), b (K,) -> a (N, H, W, K), cache (x, W, ...)."""
    require(b.shape == W.shape[3:], f"the bias {b.shape} must have one entry per filter of {W.shape}")
    fourier = _matrices(x, W)
    of_frames, filters = _spectrum(x, fourier.frames, fourier.grid), _filter_spectrum(W, fourier)
    of_maps = of_frames @ filters
    of_maps[0, 0] += fourier.places * b  # frequency 0 is the same at all places, and its imaginary parts are lost
    return _spectrum_transposed(of_maps, fourier.maps, (*x.shape[:3], len(b))), (x, W, fourier, of_frames, filters)


def _backward_filters(of_maps, cache):
    _, W, fourier, of_frames, _ = cache
    return _filter_gradient(of_frames, of_maps, fourier, W.shape), fourier.places * of_maps[0, 0].sum(0)


def conv_backward_filters(da, cache):
    """da (N, H, W, K) -> dW (F, F, C, K), db (K,): conv_backward where the input needs no gradient."""
    fourier = cache[2]
    return _backward_filters(_spectrum(da, fourier.maps, fourier.grid), cache)


def conv_backward(da, cache):
    """da (N, H, W, K) -> dx (N, H, W, C), dW (F, F, C, K), db (K,)."""
    x, _, fourier, _, filters = cache
    of_maps = _spectrum(da, fourier.maps, fourier.grid)
    dx = _spectrum_transposed(of_maps @ filters.swapaxes(2, 3), fourier.frames, x.shape)
    return dx, *_backward_filters(of_maps, cache)


def decode_forward(h, W_d):
    """x_hat = W_d h: h (N, H, W, K), W_d (F, F, C, K) -> x_hat (N, H, W, C), cache (h, W_d, ...)."""
    fourier = _matrices(h, W_d)
    of_maps, filters = _spectrum(h, fourier.maps, fourier.grid), _filter_spectrum(W_d, fourier)
    of_frames = of_maps @ filters.swapaxes(2, 3)
    x_hat = _spectrum_transposed(of_frames, fourier.frames, (*h.shape[:3], W_d.shape[2]))
    return x_hat, (h, W_d, fourier, of_maps, filters)


def decode_backward(dx_hat, cache):
    """dx_hat (N, H, W, C) -> dh (N, H, W, K), dW_d (F, F, C, K)."""
    h, W_d, fourier, of_maps, filters = cache
    of_frames = _spectrum(dx_hat, fourier.frames, fourier.grid)
    dh = _spectrum_transposed(of_frames @ filters, fourier.maps, h.shape)
    return dh, _filter_gradient(of_frames, of_maps, fourier, W_d.shape)
