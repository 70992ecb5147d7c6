"""Convolution as a matrix product: im2col lays every patch out as a row, col2im is its adjoint.

'Same' zero padding, stride 1 (Section 4.2). The encoder is `conv`, the decoder is `decode`, the transpose of
`conv` with the same filters: <conv(x, W, 0), h> = <x, decode(h, W)>. So each one's backward is the other.
"""

from slowae.backend import array_module, require


def im2col(x, F):
    """x (N, H, W, C) -> cols (N H W, F F C): the zero-padded F x F patch around each place, as a row."""
    require(F % 2 == 1, f"the filter size must be odd for 'same' padding, not {F}")
    N, H, W, C = x.shape
    p = F // 2
    xp = array_module(x)
    padded = xp.zeros_like(x, shape=(N, H + 2 * p, W + 2 * p, C))
    padded[:, p : p + H, p : p + W] = x
    windows = xp.lib.stride_tricks.sliding_window_view(padded, (F, F), (1, 2))  # (N, H, W, C, F, F)
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(N * H * W, F * F * C)


def col2im(cols, shape, F):
    """cols (N H W, F F C) -> x (N, H, W, C) = `shape`: adds every patch back in place, the adjoint of im2col.

    Fastest when `cols` is the transpose of a C-ordered array: then each of the F F C planes is contiguous. Rows of the
    filter come first, so most of the additions run over whole planes; its columns are left with F C sums.
    """
    N, H, W, C = shape
    require(cols.shape == (N * H * W, F * F * C), f"cols {cols.shape} do not fit {shape} with {F} x {F} patches")
    p = F // 2
    xp = array_module(cols)
    planes = cols.T.reshape(F, F, C, N, H, W)
    columns = xp.zeros_like(cols, shape=(F, C, N, H + 2 * p, W))
    for i in range(F):
        columns[:, :, :, i : i + H] += planes[i]
    padded = xp.zeros_like(cols, shape=(C, N, H, W + 2 * p))
    for j in range(F):
        padded[..., j : j + W] += columns[j, :, :, p : p + H]
    return padded[..., p : p + W].transpose(1, 2, 3, 0)


def _matrix(W):
    """Filters (F, F, C, K) -> (F F C, K)."""
    return W.reshape(-1, W.shape[-1])


def _require_filters(x, W, axis, name):
    require(
        x.ndim == 4 and W.ndim == 4 and W.shape[0] == W.shape[1] and x.shape[-1] == W.shape[axis],
        f"{name} {x.shape} and filters {W.shape} must be (N, H, W, channels) and (F, F, C, K)",
    )
    require(
        x.dtype == W.dtype and x.dtype.kind == "f",
        f"{name} and filters must share one floating dtype, not {x.dtype} and {W.dtype}",
    )


def conv_forward(x, W, b):
    """a = W x + b: x (N, H, W, C), W (F, F, C, K), b (K,) -> a (N, H, W, K), cache."""
    _require_filters(x, W, 2, "x")
    require(b.shape == W.shape[-1:], f"the bias {b.shape} must have one entry per filter of {W.shape}")
    cols = im2col(x, W.shape[0])
    a = cols @ _matrix(W)
    a += b
    return a.reshape(*x.shape[:3], -1), (cols, W)


def conv_backward_filters(da, cache):
    """da (N, H, W, K) -> dW (F, F, C, K), db (K,): conv_backward where the input needs no gradient."""
    cols, W = cache
    da = da.reshape(-1, da.shape[-1])
    ones = array_module(da).ones_like(da, shape=len(da))  # a product adds rows up faster than .sum(0)
    return (cols.T @ da).reshape(W.shape), ones @ da


def conv_backward(da, cache):
    """da (N, H, W, K) -> dx (N, H, W, C), dW (F, F, C, K), db (K,)."""
    return decode_forward(da, cache[1])[0], *conv_backward_filters(da, cache)


def decode_forward(h, W_d):
    """x_hat = W_d h: h (N, H, W, K), W_d (F, F, C, K) -> x_hat (N, H, W, C), cache."""
    _require_filters(h, W_d, 3, "h")
    F, _, C, K = W_d.shape
    cols_T = _matrix(W_d) @ h.reshape(-1, K).T
    return col2im(cols_T.T, (*h.shape[:3], C), F), (h, W_d)


def decode_backward(dx_hat, cache):
    """dx_hat (N, H, W, C) -> dh (N, H, W, K), dW_d (F, F, C, K)."""
    h, W_d = cache
    K = W_d.shape[-1]
    cols = im2col(dx_hat, W_d.shape[0])
    return (cols @ _matrix(W_d)).reshape(h.shape), (cols.T @ h.reshape(-1, K)).reshape(W_d.shape)
