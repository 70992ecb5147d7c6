"""The slow feature pooling auto-encoder of Eq. 2: encode, rectify, pool; decode from before the pool.

Fully connected, x (N, D) and filters (D, K), or convolutional, x (N, H, W, C) and filters (F, F, C, K). A batch holds
pairs: all x_t, then all x_t'; for acceleration triplets: all x_t-1, then all x_t, then all x_t+1.
"""

import os
from collections import namedtuple
from dataclasses import dataclass
from functools import partial

import numpy as np

from slowae import conv, conv_fourier, layers, losses
from slowae.backend import array_module
from slowae.blocks import frame_blocks, map_blocks, mean_over_blocks
from slowae.checks import require

# Each term of z, under the name of its weight in Config.
TERMS_OF_Z = {"beta": losses.slowness, "group_sparsity": losses.sparsity, "acceleration": losses.acceleration}
Filters = namedtuple("Filters", "forward backward decode_forward decode_backward")
LARGEST = 1e15  # number of the frames: it and its inverse leave room for squares and sums in float32


@dataclass(frozen=True)
class Config:
    """Eq. 2: alpha (sparsity) and beta (slowness) in units of |x|^2 per activation; P_i = group maps x size x size.

    rise: the share of a training over which the weights of z rise from 0. kappa: the bound on biases (optim.project).
    filters, side: how many filters of side x side places a row of the table learns. In place of slowness:
    group_sparsity (Kavukcuoglu et al. 2009, whose groups overlap), acceleration (Section 6).
    """

    alpha: float = 1.0
    beta: float = 4.0
    group: int = 4
    size: int = 2
    filters: int = 64
    side: int = 9
    rise: float = 0.0
    kappa: float = 0.5
    group_sparsity: float = 0.0
    acceleration: float = 0.0

    def __post_init__(self):
        for name in ("alpha", "rise", "kappa", *TERMS_OF_Z):  # a float64 of NumPy would make float64 of float32
            weight = float(getattr(self, name))
            require(0 <= weight < float("inf"), f"{name} must be finite and not negative, not {weight}")
            object.__setattr__(self, name, weight)
        for name in ("group", "size", "filters", "side"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1")
        one = not (self.beta and self.acceleration)
        require(one, "beta or acceleration must be 0: one needs windows of 2 frames, the other of 3")

    @property
    def T(self):
        """Frames of a window."""
        return 3 if self.acceleration else 2


def init_params(rng, shape):
    """Filters of `shape` (F, F, C, K) or (D, K) -> W_e, b_e, W_d, float32.

    Random unit-norm atoms W_d, b_e = 0, W_e = min(1/2, 2 C / K) W_d: for W_e = W_d x_hat would be near K / 2C times x.
    """
    W_d = rng.standard_normal(shape, dtype=np.float32)
    W_d /= np.sqrt((W_d * W_d).sum(tuple(range(len(shape) - 1))))
    return {"W_e": W_d * min(0.5, 2 * shape[-2] / shape[-1]), "b_e": np.zeros(shape[-1], np.float32), "W_d": W_d}


def convolution(x):
    """The module that convolves x: by Fourier transform on a CPU, on a GPU, or if SLOWAE_CONV=plain, by patches."""
    word = os.environ.get("SLOWAE_CONV") or "fourier"
    require(word in ("plain", "fourier"), f"SLOWAE_CONV must be plain or fourier, not {word!r}")
    return conv_fourier if array_module(x) is np and word == "fourier" else conv


def filters_for(x):
    """Filters over all places of frames (N, H, W, C), or as one product for patches (N, D).

    forward: a = W_e x + b_e; backward: the gradients of W_e and b_e; decode_forward, decode_backward: x_hat = W_d h.
    """
    if x.ndim == 2:
        decode = layers.linear_decode_forward, layers.linear_decode_backward
        return Filters(layers.linear_forward, layers.linear_backward_weights, *decode)
    by = convolution(x)
    return Filters(by.conv_forward, by.conv_backward_filters, by.decode_forward, by.decode_backward)


def _require_frames(params, x):
    """ValueError unless shapes and dtypes fit, and squares of frames fit into float32."""
    W = params["W_e"]
    fit = len(x) and x.ndim == W.ndim and x.shape[-1] == W.shape[-2] and x.dtype == W.dtype and x.dtype.kind == "f"
    require(fit, f"frames {x.shape} {x.dtype} do not fit the filters {W.shape} {W.dtype}")
    require(W.ndim == 2 or len(W) % 2 == 1, f"the filters' side must be odd, not {len(W)}")
    if array_module(x) is np:  # on a GPU this look would stall every step; there `train` checks what it logs
        largest = abs(x).max()
        sound = largest == 0 or 1 / LARGEST <= largest <= LARGEST
        require(sound, f"the frames' largest number is {largest:g}, which is NaN, Inf, or has no square in float32")


def _code_forward(params, x, config):
    """x -> h, z and what the backward needs."""
    a, filter_cache = filters_for(x).forward(x, params["W_e"], params["b_e"])
    h, relu_cache = layers.relu_forward(a)
    z, pool_cache = layers.l2_pool_forward(h, config.group, config.size)
    return h, z, (filter_cache, relu_cache, pool_cache)


def encode(params, x, config):
    """z = G_W(x), any number of frames: x (N, H, W, C) -> z (N, H/size, W/size, K/group), or (N, D) -> (N, K/group)."""
    _require_frames(params, x)
    parts = map_blocks(lambda block: _code_forward(params, x[block], config)[1], frame_blocks(x, params["W_e"]))
    return array_module(x).concatenate(parts)


def _windows_in_blocks(x, W, T=2):
    """A batch -> blocks of its windows of T frames, each all first frames, then all second ones, ..."""
    require(len(x) % T == 0, f"a batch is windows of {T} frames, all first ones, then all second ones, not {len(x)}")
    windows = x.reshape(T, -1, *x.shape[1:])
    step = -(-windows.shape[1] // len(frame_blocks(x, W)))  # blocks of one size, or a thread waits for the other
    return [windows[:, i : i + step].reshape(-1, *x.shape[1:]) for i in range(0, windows.shape[1], step)]


def _equation_2(params, config, weights, x):
    """Eq. 2 summed over the windows of one block; weights: of the terms of z."""
    filters = filters_for(x)
    h, z, (filter_cache, relu_cache, pool_cache) = _code_forward(params, x, config)
    x_hat, decode_cache = filters.decode_forward(h, params["W_d"])

    reconstruction, dx_hat = losses.reconstruction(x_hat, x)
    sparsity, dh_sparsity = losses.sparsity(h)
    of_z, dz = 0.0, array_module(z).zeros_like(z)
    for name, weight in weights.items():
        if weight:  # a term without one may need windows of another length
            term, dz_term = TERMS_OF_Z[name](z)
            of_z = of_z + weight * term
            dz += weight * dz_term
    loss = reconstruction + config.alpha * sparsity + of_z

    dh_reconstruction, dW_d = filters.decode_backward(dx_hat, decode_cache)
    dh = dh_reconstruction + config.alpha * dh_sparsity + layers.l2_pool_backward(dz, pool_cache)
    da = layers.relu_backward(dh, relu_cache)
    dW_e, db_e = filters.backward(da, filter_cache)
    return loss, {"W_e": dW_e, "b_e": db_e, "W_d": dW_d}


def loss_and_gradients(params, x, config, done=1.0):
    """Eq. 2: x (2N, H, W, C) or (2N, D), all x_t then all x_t' -> loss, gradients keyed as params.

    sum over tau of (|W_d h_tau - x_tau|^2 + alpha |h_tau|_1) + beta sum_i |z_t,i - z_t',i|, mean over the N pairs.
    group_sparsity weighs sum over tau, i of z_tau,i; acceleration sum_i |z_t+1,i - 2 z_t,i + z_t-1,i| of N triplets.
    done: the share of a training that lies behind, while the weights of z rise. ValueError for frames that do not fit.
    """
    _require_frames(params, x)
    share = min(1.0, float(done) / config.rise) if config.rise else 1.0
    weights = {name: share * getattr(config, name) for name in TERMS_OF_Z}
    blocks = _windows_in_blocks(x, params["W_e"], config.T)
    return mean_over_blocks(partial(_equation_2, params, config, weights), blocks, len(x) // config.T)


def statistics(params, x, config):
    """What to watch, on a batch of pairs as in loss_and_gradients -> dict of floats.

    reconstruction: |x_hat - x|^2 / |x|^2. sparsity: mean h. slowness: mean |z_t - z_t'| / mean z.
    active: share of h > 0. dead: share of units that no frame activates.
    """
    _require_frames(params, x)

    def part(block):
        h, z, _ = _code_forward(params, block, config)
        x_hat, _ = filters_for(block).decode_forward(h, params["W_d"])
        active = (h > 0).reshape(-1, h.shape[-1]).sum(0)
        return losses.reconstruction(x_hat, block)[0], h.sum(), losses.slowness(z)[0], z.sum(), active

    parts = map_blocks(part, _windows_in_blocks(x, params["W_e"]))
    error, h, change, z, active = (sum(column) for column in zip(*parts, strict=True))
    power, units = (x * x).sum(), x[..., 0].size * len(active)
    return {
        "reconstruction": float(error / (power + (power == 0))),
        "sparsity": float(h) / units,
        "slowness": float(2 * change / (z + (z == 0))),
        "active": float(active.sum()) / units,
        "dead": float((active == 0).mean()),
    }
