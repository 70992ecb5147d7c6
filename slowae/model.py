"""The slow feature pooling auto-encoder of Eq. 2: encode, rectify, pool; decode from before the pool.

One body for the fully connected model (x (N, D), filters (D, K)) and the convolutional one (x (N, H, W, C),
filters (F, F, C, K)): `W_e.ndim` tells them apart. A batch holds pairs: all x_t, then all x_t'.
"""

from dataclasses import dataclass

import numpy as np

from slowae import losses
from slowae.backend import array_module, map_blocks, require
from slowae.conv import conv_backward_filters, conv_forward, decode_backward, decode_forward
from slowae.layers import (
    l2_pool_backward,
    l2_pool_forward,
    linear_forward,
    relu_backward,
    relu_forward,
)

FILTERS = (9, 9, 3, 64), (5, 5, 16, 64)  # of the two layers (Section 5)


@dataclass(frozen=True)
class Config:
    """Eq. 2: alpha (sparsity) and beta (slowness) in units of |x|^2 per activation; P_i = group maps x size x size."""

    alpha: float = 1.0
    beta: float = 4.0
    group: int = 4
    size: int = 2

    def __post_init__(self):
        require(
            self.alpha >= 0 and self.beta >= 0,
            f"alpha and beta must not be negative: {self.alpha}, {self.beta}",
        )
        require(
            self.group >= 1 and self.size >= 1,
            f"group and size must be at least 1: {self.group}, {self.size}",
        )


def init_params(rng, shape):
    """Filters of `shape` (F, F, C, K) or (D, K) -> W_e, b_e, W_d, float32.

    Random unit-norm atoms W_d, b_e = 0, and W_e = min(1/2, 2 C / K) W_d: K random atoms for C numbers a place, half of
    them rectified away, then give x_hat near x, where W_e = W_d would give K / 2C times x.
    """
    W_d = rng.standard_normal(shape, dtype=np.float32)
    W_d /= np.sqrt((W_d * W_d).sum(tuple(range(len(shape) - 1))))
    return {"W_e": W_d * min(0.5, 2 * shape[-2] / shape[-1]), "b_e": np.zeros(shape[-1], np.float32), "W_d": W_d}


def _filter_forward(x, W, b):
    return (conv_forward if W.ndim == 4 else linear_forward)(x, W, b)


def _filter_backward(da, cache):
    """dW, db of either encoder; the frames need no gradient."""
    if cache[1].ndim == 4:
        return conv_backward_filters(da, cache)
    return cache[0].T @ da, da.sum(0)


def _decode_forward(h, W_d):
    if W_d.ndim == 4:
        return decode_forward(h, W_d)
    return h @ W_d.T, (h, W_d)


def _decode_backward(dx_hat, cache):
    if cache[1].ndim == 4:
        return decode_backward(dx_hat, cache)
    h, W_d = cache
    return dx_hat @ W_d, dx_hat.T @ h


def frames_per_block(x, W):
    """As many frames as keep h and the patches within 4 MB of cache on the host, within 512 MB on a GPU."""
    if W.ndim == 2:
        return len(x)
    F, _, C, K = W.shape
    numbers = 2**20 if array_module(x) is np else 2**27
    return max(2, numbers // (x[0, ..., 0].size * (2 * F * C + K)))


def _require_frames(params, x):
    W = params["W_e"]
    require(
        x.ndim == W.ndim and x.shape[-1] == W.shape[-2] and x.dtype == W.dtype,
        f"frames {x.shape} {x.dtype} do not fit the filters {W.shape} {W.dtype}",
    )
    # On a GPU this look would stall every step; there `train` checks the loss that it logs.
    require(array_module(x) is not np or bool(np.isfinite(x).all()), "the frames hold NaN or Inf")


def _code_forward(params, x, config):
    """x -> h, z and what the backward needs."""
    a, filter_cache = _filter_forward(x, params["W_e"], params["b_e"])
    h, relu_cache = relu_forward(a)
    z, pool_cache = l2_pool_forward(h, config.group, config.size)
    return h, z, (filter_cache, relu_cache, pool_cache)


def encode(params, x, config):
    """z = G_W(x), any number of frames: x (N, H, W, C) -> z (N, H/size, W/size, K/group), or (N, D) -> (N, K/group)."""
    _require_frames(params, x)
    step = frames_per_block(x, params["W_e"])
    parts = map_blocks(lambda i: _code_forward(params, x[i : i + step], config)[1], range(0, len(x), step))
    return array_module(x).concatenate(parts)


def encode_stack(layers, x):
    """layers [(params, config), ...], each trained on the codes of those before it -> the last one's code of x."""
    for params, config in layers:
        x = encode(params, x, config) - params.get("mean", 0)
    return x


def standardise(params, z):
    """A layer whose codes of training frames are z -> the one that a layer above it is trained on.

    (W_e, b_e, W_d) -> (W_e / c, b_e / c, c W_d) gives z / c, for the L2 pool is homogeneous: c makes its variance 1, so
    that alpha and beta keep their units. `mean` (K / group,), of each map, is for encode_stack to take away: codes are
    never negative, and along their common mean the loss is so steep that units die at a rate that suits the rest.
    """
    z = z.reshape(-1, z.shape[-1])
    mean = z.mean(0)
    c = float(((z - mean) ** 2).mean()) ** 0.5
    require(c > 0, "every code is the same: the layer is dead")
    return {"W_e": params["W_e"] / c, "b_e": params["b_e"] / c, "W_d": params["W_d"] * c, "mean": mean / c}


def mean_over_blocks(sums, blocks, N):
    """sums(block) -> loss, gradients, both summed over the block -> both summed over all blocks, divided by N."""
    parts = map_blocks(sums, blocks)
    return sum(loss for loss, _ in parts) / N, {name: sum(g[name] for _, g in parts) / N for name in parts[0][1]}


def _pairs_in_blocks(x, W):
    """A batch -> blocks of its pairs, each all x_t, then all x_t'."""
    require(len(x) >= 2 and len(x) % 2 == 0, f"a batch is pairs: all x_t, then all x_t', not {len(x)} frames")
    N = len(x) // 2
    count = -(-len(x) // frames_per_block(x, W))
    step = -(-N // count)  # blocks of one size, or a thread waits for the other
    pairs = x.reshape(2, N, *x.shape[1:])
    return [pairs[:, i : i + step].reshape(-1, *x.shape[1:]) for i in range(0, N, step)]


def _sums(params, x, config):
    """Eq. 2 summed over the pairs of one block."""
    h, z, (filter_cache, relu_cache, pool_cache) = _code_forward(params, x, config)
    x_hat, decode_cache = _decode_forward(h, params["W_d"])

    reconstruction, dx_hat = losses.reconstruction(x_hat, x)
    slowness, dz = losses.slowness(z)
    # h is never negative: |h|_1 is its sum, and has the gradient 1 wherever the ReLU lets any through.
    loss = reconstruction + config.alpha * h.sum() + config.beta * slowness

    dh, dW_d = _decode_backward(dx_hat, decode_cache)  # of the reconstruction,
    dh += config.alpha  # of the sparsity,
    dh += l2_pool_backward(config.beta * dz, pool_cache)  # and of the slowness
    da = relu_backward(dh, relu_cache)
    dW_e, db_e = _filter_backward(da, filter_cache)
    return loss, {"W_e": dW_e, "b_e": db_e, "W_d": dW_d}


def loss_and_gradients(params, x, config):
    """Eq. 2: x (2N, H, W, C) or (2N, D), all x_t then all x_t' -> loss, gradients keyed as params.

    sum over tau of (|W_d h_tau - x_tau|^2 + alpha |h_tau|_1) + beta sum_i |z_t,i - z_t',i|, mean over the N pairs.
    ValueError for frames that do not fit the filters, an odd number of them, NaN or Inf.
    """
    _require_frames(params, x)
    blocks = _pairs_in_blocks(x, params["W_e"])
    return mean_over_blocks(lambda block: _sums(params, block, config), blocks, len(x) // 2)


def statistics(params, x, config):
    """What to watch, on a batch of pairs as in loss_and_gradients -> dict of floats.

    reconstruction: |x_hat - x|^2 / |x|^2. sparsity: mean h. slowness: mean |z_t - z_t'| / mean z.
    active: share of h > 0. dead: share of units that no frame of the batch activates.
    """
    _require_frames(params, x)

    def part(block):
        h, z, _ = _code_forward(params, block, config)
        x_hat, _ = _decode_forward(h, params["W_d"])
        active = (h > 0).reshape(-1, h.shape[-1]).sum(0)
        return losses.reconstruction(x_hat, block)[0], h.sum(), losses.slowness(z)[0], z.sum(), active

    parts = map_blocks(part, _pairs_in_blocks(x, params["W_e"]))
    error, h, change, z, active = (sum(column) for column in zip(*parts, strict=True))
    places = len(x) * (x[0, ..., 0].size if x.ndim == 4 else 1)
    return {
        "reconstruction": float(error / (x * x).sum()),
        "sparsity": float(h) / (places * len(active)),
        "slowness": float(2 * change / (z + (z == 0))),
        "active": float(active.sum()) / (places * len(active)),
        "dead": float((active == 0).mean()),
    }
