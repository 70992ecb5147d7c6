"""Slow subspace analysis (Kayser et al. 2001): groups of linear filters whose energy varies slowly.

A_i = (sum over group i of (w_j . x)^2)^(1/2); minimise sum_i <(A_i - A'_i)^2> / var A_i over pairs of patches. The
division keeps A from being constant; a penalty on the squared correlations of different A keeps them from being one.
"""

from dataclasses import asdict, dataclass

import numpy as np

from slowae import files, layers, model
from slowae.backend import array_module, to_device
from slowae.blocks import frame_blocks, in_blocks, map_blocks
from slowae.checks import require
from slowae.data import patches
from slowae.methods import slow_autoencoder as eq2
from slowae.methods.whitened import fit_zca

GROUP = eq2.POOLS[0].group


@dataclass(frozen=True)
class Config:
    """Weight of decorrelation; pairs of patches to learn from, and in a batch; Adam's rate."""

    decorrelation: float = 1.0
    patches: int = 40000
    batch: int = 500
    rate: float = 0.01

    def __post_init__(self):
        require(min(self.patches, self.batch) >= 2, f"patches and batch must be at least 2: {self}")
        require(0 <= self.decorrelation < float("inf"), f"decorrelation must be finite, not negative: {self}")


def loss_and_gradients(params, x, config):
    """sum_i <(A_i - A'_i)^2> / var A_i + decorrelation sum over i != j of corr(A_i, A_j)^2 -> loss, gradients.

    x (2N, D), all x_t, then all x_t'; W (D, K); means and variances are the batch's, both frames together.
    """
    N = len(x) // 2
    a = x @ params["W"]
    A, pool_cache = layers.l2_pool_forward(a, GROUP)
    zero = array_module(A).zeros_like(A, shape=A.shape[1:])
    y, norm_cache = layers.batch_norm_forward(A, zero)  # mean 0, variance 1
    difference = y[:N] - y[N:]
    slowness = (difference * difference).sum() / N
    correlation = y.T @ y / (2 * N)
    correlation -= array_module(A).diag(correlation.diagonal())
    loss = slowness + config.decorrelation * (correlation * correlation).sum()

    dy = 2 / N * array_module(A).concatenate([difference, -difference])
    dy += 2 * config.decorrelation / N * (y @ correlation)
    dA, _ = layers.batch_norm_backward(dy, norm_cache)
    da = layers.l2_pool_backward(dA, pool_cache)
    return loss, {"W": x.T @ da}


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
        {"config": asdict(config), "x": files.checksum(x)},
        project=project,
        optimizer="adam",
        rate=config.rate,
    )
    return learned["W"]


def frame_patches(data, config, run):
    """Pairs of patches of the size of layer 1's filters from whitened training frames (2, P, D)."""
    rng = np.random.default_rng(run.seed)
    return patches.frame_patches(data.frames, data.pairs, data.whiten, config.patches, eq2.FILTERS[0][0], rng)


def fit(data, config, run):
    """As many filters of the same size as layer 1 has, learned on patches, to be used at all places."""
    W = learn(frame_patches(data, config, run), eq2.FILTERS[0][3], config, run)
    return fit_zca(data, None, run) | {"W": W.reshape(eq2.FILTERS[0])}


def encode(params, frames, group=GROUP):
    """frames (N, 32, 32, 3) uint8 -> the filters' energy, pooled over places as layer 1's: (N, 16, 16, 64 / group)."""
    params = to_device(params)
    W = params["W"]
    zero = array_module(W).zeros_like(W, shape=W.shape[3:])

    def energy(x):
        a, _ = model.convolution(x).conv_forward(x, W, zero)
        return layers.l2_pool_forward(a, group, eq2.POOLS[0].size)[0]

    def code(frames):
        x = eq2.seen(params, frames)
        return array_module(x).concatenate(map_blocks(lambda block: energy(x[block]), frame_blocks(x, W)))

    return in_blocks(code, frames)
