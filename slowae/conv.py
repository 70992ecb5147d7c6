"""Convolution as a matrix product: patches of frames, as rows, times filters, as columns.

'Same' zero padding, stride 1 (Section 4.2). The encoder is `conv`, the decoder is `decode`, the transpose of `conv`
with the same filters: <conv(x, W, 0), h> = <x, decode(h, W)>. So each one's backward is the other. This is what a GPU
runs; `conv_fourier` has the same functions with fewer operations, which is what a CPU runs, or this one for
SLOWAE_CONV=plain.
"""

from slowae.backend import array_module
from slowae.checks import require


def im2col(x, F):
    """x (N, H, W, C) -> cols (N H W, F F C): the zero-padded F x F patch around each place, as a row."""
    (N, H, W, C), p, xp = x.shape, F // 2, array_module(x)
    padded = xp.zeros_like(x, shape=(N, H + 2 * p, W + 2 * p, C))
    padded[:, p : p + H, p : p + W] = x
    windows = xp.lib.stride_tricks.sliding_window_view(padded, (F, F), (1, 2))  # (N, H, W, C, F, F)
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(N * H * W, F * F * C)


def col2im(cols, shape, F):
    """cols (N H W, F F C) -> x (N, H, W, C) = `shape`: adds every patch back in place, the adjoint of im2col.

    First the F rows of each patch, and then the F columns of the sums: 2 F additions of slices where places need F F.
    """
    (N, H, W, C), p, xp = shape, F // 2, array_module(cols)
    patches = cols.reshape(N, H, W, F, F, C)
    by_row = xp.zeros_like(cols, shape=(N, H + 2 * p, W, F, C))
    for i in range(F):
        by_row[:, i : i + H] += patches[:, :, :, i]
    x = xp.zeros_like(cols, shape=(N, H, W + 2 * p, C))
    for j in range(F):
        x[:, :, j : j + W] += by_row[:, p : p + H, :, j]
    return x[:, :, p : p + W]


def conv_forward(x, W, b):
    """a = W x + b: x (N, H, W, C), W (F, F, C, K), b (K,) -> a (N, H, W, K), cache (x, W, cols)."""
    require(b.shape == W.shape[3:], f"the bias {b.shape} must have one entry per filter of {W.shape}")
    cols = im2col(x, len(W))
    a = cols @ W.reshape(-1, len(b)) + b
    return a.reshape(*x.shape[:3], len(b)), (x, W, cols)


def conv_backward_filters(da, cache):
    """da (N, H, W, K) -> dW (F, F, C, K), db (K,): conv_backward where the input needs no gradient."""
    _, W, cols = cache
    da = da.reshape(-1, W.shape[-1])
    return (cols.T @ da).reshape(W.shape), da.sum(0)


def conv_backward(da, cache):
    """da (N, H, W, K) -> dx (N, H, W, C), dW (F, F, C, K), db (K,)."""
    x, W, _ = cache
    K = W.shape[-1]
    dcols = da.reshape(-1, K) @ W.reshape(-1, K).T
    return col2im(dcols, x.shape, len(W)), *conv_backward_filters(da, cache)


def decode_forward(h, W_d):
    """x_hat = W_d h: h (N, H, W, K), W_d (F, F, C, K) -> x_hat (N, H, W, C), cache (h, W_d)."""
    F, _, C, K = W_d.shape
    cols = h.reshape(-1, K) @ W_d.reshape(-1, K).T
    return col2im(cols, (*h.shape[:3], C), F), (h, W_d)


def decode_backward(dx_hat, cache):
    """dx_hat (N, H, W, C) -> dh (N, H, W, K), dW_d (F, F, C, K)."""
    h, W_d = cache
    F, K = len(W_d), W_d.shape[-1]
    cols = im2col(dx_hat, F)
    dh = cols @ W_d.reshape(-1, K)
    return dh.reshape(h.shape), (cols.T @ h.reshape(-1, K)).reshape(W_d.shape)
