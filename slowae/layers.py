"""The other layers, each a pair of pure functions: forward -> (out, cache), backward(dout, cache) -> gradients."""

from slowae.backend import array_module
from slowae.checks import require, require_alike


def linear_forward(x, W, b):
    """a = x W + b: x (N, D), W (D, K), b (K,) -> a (N, K), cache."""
    require(b.shape == W.shape[1:], f"b {b.shape} must have one entry for each column of W {W.shape}")
    return x @ W + b, (x, W)


def linear_backward_weights(da, cache):
    """da (N, K) -> dW (D, K), db (K,): linear_backward where the input needs no gradient."""
    x, _ = cache
    return x.T @ da, da.sum(0)


def linear_backward(da, cache):
    """da (N, K) -> dx (N, D), dW (D, K), db (K,)."""
    dW, db = linear_backward_weights(da, cache)
    return da @ cache[1].T, dW, db


def linear_decode_forward(h, W_d):
    """x_hat = W_d h: h (N, K), W_d (D, K) -> x_hat (N, D), cache."""
    return h @ W_d.T, (h, W_d)


def linear_decode_backward(dx_hat, cache):
    """dx_hat (N, D) -> dh (N, K), dW_d (D, K)."""
    h, W_d = cache
    return dx_hat @ W_d, dx_hat.T @ h


def relu_forward(a):
    """h = max(0, a), any shape -> h, cache."""
    h = a.clip(0)
    return h, h


def relu_backward(dh, cache):
    """da = dh where a > 0, else 0: at the kink a = 0 the subgradient chosen is 0."""
    require_alike(dh=dh, h=cache)
    return dh * (cache > 0)


def l2_pool_forward(h, group, size=1):
    """z_i = (sum over P_i of h_j^2)^(1/2), P_i = `group` adjacent maps x `size` x `size` places (Section 4, p = 2).

    h (N, H, W, K) -> z (N, H/size, W/size, K/group), cache; or h (N, K) -> z (N, K/group), with size 1.
    """
    require(h.shape[-1] % group == 0, f"{h.shape[-1]} maps do not divide into groups of {group}")
    whole = all(places % size == 0 for places in h.shape[1:-1])
    require(whole, f"the places of {h.shape} do not divide into squares of {size} x {size}")
    q = h * h
    if size > 1:
        N, H, W, K = h.shape
        q = q.reshape(N, H // size, size, W // size, size, K)
        q = sum(q[:, :, i, :, j] for i in range(size) for j in range(size))
    # Slices, not .sum(-1): a strided reduction over four numbers is ten times slower in NumPy.
    z = array_module(h).sqrt(sum(q[..., j::group] for j in range(group)))
    return z, (h, z, group, size)


def l2_pool_backward(dz, cache):
    """dh_j = dz_i h_j / z_i, and 0 in a silent group, z_i = 0."""
    h, z, group, size = cache
    require_alike(dz=dz, z=z)
    ratio = (dz / (z + (z == 0))).repeat(group, axis=-1)
    if size == 1:
        return ratio * h
    N, H, W, K = h.shape
    ratio = ratio.reshape(N, H // size, 1, W // size, 1, K)
    return (ratio * h.reshape(N, H // size, size, W // size, size, K)).reshape(h.shape)


def unpool_forward(z, a, group, size=1):
    """h_j = z_i q_j, q_j^2 = exp(a_j) / sum over P_i of exp(a_k): l2_pool_forward the other way (Section 6).

    z (N, H, W, K), a (N, H, W, K, group size^2), each P_i in the order (row, column, map) -> h (N, H size, W size,
    K group), cache.
    """
    require(a.shape == (*z.shape, group * size**2), f"a {a.shape} must be {(*z.shape, group * size**2)}")
    (N, H, W, K), xp = z.shape, array_module(z)
    share = xp.exp(a - a.max(-1, keepdims=True))
    q = xp.sqrt(share / share.sum(-1, keepdims=True))
    h = (z[..., None] * q).reshape(N, H, W, K, size, size, group).transpose(0, 1, 4, 2, 5, 3, 6)
    return h.reshape(N, H * size, W * size, K * group), (z, q, group, size)


def unpool_backward(dh, cache):
    """dz_i = sum over P_i of dh_j q_j, da_j = q_j z_i (dh_j - q_j dz_i) / 2."""
    z, q, group, size = cache
    N, H, W, K = z.shape
    dh = dh.reshape(N, H, size, W, size, K, group).transpose(0, 1, 3, 5, 2, 4, 6).reshape(q.shape)
    dz = (dh * q).sum(-1)
    return dz, 0.5 * q * z[..., None] * (dh - q * dz[..., None])


def batch_norm_forward(a, b, epsilon=1e-5):
    """(a - mean) / (variance + epsilon)^(1/2) + b, moments over all axes but the last (Ioffe, Szegedy 2015).

    a (..., K), b (K,) -> the same shape, cache. It has no scale: what follows here can learn one.
    """
    require(b.shape == a.shape[-1:], f"b {b.shape} must have one entry for each map of a {a.shape}")
    rows = a.reshape(-1, a.shape[-1])
    mean = rows.mean(0)
    y = rows - mean
    deviation = array_module(a).sqrt((y * y).mean(0) + epsilon)
    y /= deviation
    return (y + b).reshape(a.shape), (y, mean, deviation)


def batch_norm_backward(dout, cache):
    """dout (..., K) -> da = (dout - mean dout - y mean (dout y)) / deviation, y = out - b, and db (K,)."""
    y, _, deviation = cache
    dy = dout.reshape(y.shape)
    da = (dy - dy.mean(0) - y * (dy * y).mean(0)) / deviation
    return da.reshape(dout.shape), dy.sum(0)
