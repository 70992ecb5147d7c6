"""The rows of Eq. 2: one layer, the next one on its codes, and the same networks with nothing learned.

Parameters of a row: "mean" and "matrix" of the whitening; its own filter bank as "W_e", "b_e", "W_d"; for a second
layer the bank below it as "below/W_e", ..., and "centre" (K / group,) and "scale" of that bank's codes, which the
second layer sees with mean 0 and variance 1: so alpha and beta keep their units, and the common mean of codes, which
are never negative, does not silence units (lesson 08).
"""

from dataclasses import asdict
from functools import cache

import numpy as np

from slowae import files, model, optim, processes
from slowae.backend import array_module, to_device
from slowae.blocks import in_blocks
from slowae.checks import require
from slowae.data import scenes
from slowae.data.whitening import Whitening
from slowae.methods.whitened import fit_zca

FILTERS = (9, 9, 3, 64), (5, 5, 16, 64)  # of the two layers (Section 5)
KEPT = 2**29  # bytes of what a layer sees of its frames: as much is kept, and more is made batch by batch
POOLS = model.Config(group=4, size=2), model.Config(group=1, size=4)


def first_layer(params):
    """The parameters of a second layer that belong to the first, under the names that they had there."""
    return {name.removeprefix("below/"): value for name, value in params.items() if name.startswith("below/")}


def seen(params, frames):
    """What a row's own filters see of frames (N, 32, 32, 3), all on the backend: x (N, H, W, C)."""
    x = Whitening(params["mean"], params["matrix"])(frames)
    if "centre" not in params:
        return x
    return (model.encode(first_layer(params), x, POOLS[0]) - params["centre"]) / params["scale"]


def moments(z):
    """z (N, H, W, K) -> the mean of each map (K,), and the standard deviation about them, one for all."""
    centre = z.mean((0, 1, 2))
    scale = np.sqrt(((z - centre) ** 2).mean())
    require(scale > 0, "every code is the same: the layer is dead; try a smaller alpha or beta")
    return centre, scale


def encode(params, frames):
    """frames (N, 32, 32, 3) uint8 -> z of the row's last layer: (N, 16, 16, 16), or (N, 4, 4, 64)."""
    params = to_device(params)
    return in_blocks(lambda x: model.encode(params, seen(params, x), POOLS["centre" in params]), frames)


def _inputs(data, run, below):
    """The parameters of `seen`: the whitening, and where there is one, row `below` with the moments of its codes."""
    if below is None:
        return fit_zca(data, None, run)
    params = run.fitted(below, data)
    centre, scale = moments(encode(params, data.frames[:: -(-len(data.frames) // 1000)]))
    bank = {f"below/{name}": params[name] for name in ("W_e", "b_e", "W_d")}
    return {"mean": params["mean"], "matrix": params["matrix"], **bank, "centre": centre, "scale": scale}


def fit_random(data, config, run, below=None):
    """The start of training, and no training."""
    return _inputs(data, run, below) | model.init_params(np.random.default_rng(run.seed), FILTERS[below is not None])


def fit_patches(data, config, run):
    """Random patches of whitened frames as filters, scaled as the random ones (Coates, Ng 2011)."""
    rng, (F, _, C, K) = np.random.default_rng(run.seed), FILTERS[0]
    x = data.whiten(data.frames[rng.integers(len(data.frames), size=K)])
    corners = rng.integers(x.shape[1] - F + 1, size=(K, 2))
    W = np.stack([x[k, i : i + F, j : j + F] for k, (i, j) in enumerate(corners)], -1)
    W /= np.sqrt((W * W).sum((0, 1, 2)))
    return fit_zca(data, None, run) | {"W_e": min(0.5, 2 * C / K) * W, "b_e": np.zeros(K, np.float32), "W_d": W}


def layer_input(inputs, frames):
    """x(indices) -> what a layer with these parameters of `seen` sees of those frames, all on the backend."""
    here, frames = to_device(inputs), to_device(frames)
    # A batch is few frames, and to whiten it all of the matrix is read: once for all of them, where they fit.
    if seen(here, frames[:1]).nbytes * len(frames) > KEPT:
        return lambda picks: seen(here, frames[picks])

    @cache  # made by the first batch: a training that is read from a file draws none
    def whole():
        return array_module(frames).concatenate([seen(here, frames[i : i + 500]) for i in range(0, len(frames), 500)])

    return lambda picks: whole()[picks]


def fit(data, config, run, below=None):
    """Eq. 2 on pairs, or triplets, of whitened frames, or of the frozen codes of row `below`."""
    pool = POOLS[below is not None]
    require(
        (config.group, config.size) == (pool.group, pool.size),
        f"this layer pools groups of {pool.group} maps x {pool.size} x {pool.size}, not {config.group}, {config.size}",
    )
    inputs, windows = _inputs(data, run, below), data.triplets if config.T == 3 else data.pairs
    watched, x = seen(to_device(inputs), to_device(watched_frames(data))), layer_input(inputs, data.frames)

    def draw(rng):
        drawn = windows[rng.integers(len(windows), size=run.batch)]
        return x(to_device(processes.share(drawn).T.ravel()))

    learned = run.train(
        lambda params, x, done: model.loss_and_gradients(params, x, config, done),
        lambda rng: model.init_params(rng, FILTERS[below is not None]),
        draw,
        {"config": asdict(config), "batch": run.batch, "inputs": files.checksum(inputs), "data": data.checksum},
        project=optim.project,
        watch=lambda params: model.statistics(params, watched, config),
    )
    return inputs | learned


def silent(params, frames):
    """Which units of the row's own filters no place of any of these frames activates (K,)."""
    params, every = to_device(params), model.Config(group=1, size=1)
    strongest = in_blocks(lambda x: model.encode(params, seen(params, x), every).max((1, 2)), frames, block=100)
    return strongest.max(0) == 0


def still(params, seed):
    """Which atoms of W_d have hardly left where they began, cosine above .7 (K,): what such a one shows is chance."""
    W, start = params["W_d"], model.init_params(np.random.default_rng(seed), params["W_d"].shape)["W_d"]
    return (W * start).sum((0, 1, 2)) > 0.7 * np.sqrt((W * W).sum((0, 1, 2)))


def watched_frames(data):
    """32 pairs of the validation scenes, else of the training frames, always the same: all x_t, then all x_t'."""
    frames, pairs = scenes.windows(data.validation) if data.validation else (data.frames, data.pairs)
    picks = np.random.default_rng(0).choice(len(pairs), min(32, len(pairs)), replace=False)
    return frames[pairs[picks].T.ravel()]
