"""Slow subspace analysis (Kayser et al. 2001): groups of linear filters whose energy varies slowly.

A_i = (sum over group i of (w_j . x)^2)^(1/2); minimise sum_i <(A_i - A'_i)^2> / var A_i over pairs of patches. The
division keeps A from being constant; a penalty on the squared correlations of different A keeps them from being equal.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from slowae import layers, model
from slowae.backend import array_module, to_device
from slowae.blocks import frame_blocks, in_blocks, map_blocks
from slowae.data import patches
from slowae.methods import slow_autoencoder as eq2


@dataclass(frozen=True, kw_only=True)
class Patches:
    """Filters of side x side, in groups of `group`, pooled over size x size places; pairs of patches to learn from, and
    in a batch; Adam's rate."""

    filters: int = 64
    side: int = 9
    group: int = 4
    size: int = 2
    patches: int = 40000
    batch: int = 500
    rate: float = 0.01


@dataclass(frozen=True)
class Config(Patches):
    """decorrelation: its weight."""

    decorrelation: float = 1.0


def loss_and_gradients(params, x, config):
    """sum_i <(A_i - A'_i)^2> / var A_i + decorrelation sum over i != j of corr(A_i, A_j)^2 -> loss, gradients.

    x (2N, D), all x_t, then all x_t'; W (D, K); means and variances are the batch's, both frames together.
    """
    N = len(x) // 2
    A, pool_cache = layers.l2_pool_forward(x @ params["W"], config.group)
    zero = array_module(A).zeros_like(A, shape=A.shape[1:])
    # Mean 0, variance 1. The epsilon is far below any variance, and leaves a silent group at 0.
    y, norm_cache = layers.batch_norm_forward(A, zero, epsilon=1e-30)
    difference = y[:N] - y[N:]
    slowness = (difference * difference).sum() / N
    correlation = y.T @ y / (2 * N)
    correlation -= array_module(A).diag(correlation.diagonal())
    loss = slowness + config.decorrelation * (correlation * correlation).sum()

    dy = 2 / N * array_module(A).concatenate([difference, -difference])
    dy += 2 * config.decorrelation / N * (y @ correlation)
    dA, _ = layers.batch_norm_backward(dy, norm_cache)
    return loss, {"W": x.T @ layers.l2_pool_backward(dA, pool_cache)}


def project(params):
    """Unit norm for each filter. In place."""
    W = params["W"]
    W /= array_module(W).sqrt((W * W).sum(0))


def learn(x, units, config, run):
    """Pairs of whitened patches x (2, P, D) on the host -> W (D, units), by run.train."""
    learned = run.train(
        lambda params, batch, done: loss_and_gradients(params, batch, config),
        lambda rng: {"W": model.init_params(rng, (x.shape[2], units))["W_d"]},
        patches.batches(to_device(x), config.batch),
        project=project,
        optimizer="adam",
        rate=config.rate,
    )
    return learned["W"]


def fit_filters(learn, data, config, run):
    """learn(x, units, config, run) on pairs of patches of whitened frames -> the parameters of a row."""
    rng = np.random.default_rng(run.seed)
    x = patches.frame_patches(data.frames, data.pairs, data.whiten, config.patches, config.side, rng)
    W = learn(x, config.filters, config, run).astype(np.float32)
    W = W.reshape(config.side, config.side, data.frames.shape[3], config.filters)
    return data.whiten.arrays | {"pool": np.array([config.group, config.size]), "W": W}


fit = partial(fit_filters, learn)


def encode(params, frames):
    """frames (N, 32, 32, 3) uint8 -> the filters' energy, pooled over places as layer 1's: (N, 16, 16, 64 / group)."""
    pool, params = eq2.pool(params), eq2.on_device(params)
    W = params["W"]
    zero = array_module(W).zeros_like(W, shape=W.shape[3:])

    def code(frames):
        x = eq2.seen(params, frames)

        def energy(block):
            a, _ = model.convolution(x).conv_forward(x[block], W, zero)
            return layers.l2_pool_forward(a, pool.group, pool.size)[0]

        return array_module(x).concatenate(map_blocks(energy, frame_blocks(x, W)))

    return in_blocks(code, frames)


def describe(params, frames):
    """The filters, how many are pooled together, and how many numbers were learned."""
    return {"filters": params["W"], "group": int(params["pool"][0]), "learned": params["W"].size}
