"""The rows of Eq. 2: one layer, the next one on its codes, and the same networks with nothing learned.

Parameters of a row: "mean" and "matrix" of the whitening; its own filter bank as "W_e", "b_e", "W_d", and as "pool" the
`group` and `size` of its groups; for a second layer the bank below it as "below/W_e", ..., and "centre" (K / group,)
and "scale" of that bank's codes, which the second layer sees with mean 0 and variance 1: so alpha and beta keep their
units, and the common mean of codes, which are never negative, does not silence units (lesson 08). Groups do not
overlap, as those of Kavukcuoglu et al. (2009) do.
"""

from functools import cache, partial

import numpy as np

from slowae import model, optim, processes
from slowae.backend import array_module, to_device
from slowae.blocks import in_blocks
from slowae.checks import require
from slowae.data import scenes
from slowae.data.whitening import Whitening

# The two layers of Section 5.
FIRST = model.Config(alpha=2.0, beta=24.0, rise=0.25)
SECOND = model.Config(alpha=1.0, beta=1.0, group=1, size=4, side=5, rise=0.25)
LARGEST = 2**29  # bytes of what a layer sees of its frames: as much is held, and more is made batch by batch


def shapes(*stages):
    """Config of each layer, the first sees 3 colours -> the shapes of their filters, (F, F, C, K) each."""
    maps = (3, *(stage.filters // stage.group for stage in stages))
    return [(stage.side, stage.side, C, stage.filters) for stage, C in zip(stages, maps, strict=False)]


def pool(params):
    """What "pool" says, as Config for `encode`."""
    group, size = params["pool"]
    return model.Config(group=int(group), size=int(size))


def on_device(params):
    """The parameters of a row on the chosen backend, but for "pool", which Python reads."""
    return {name: value if name.endswith("pool") else to_device(value) for name, value in params.items()}


def first_layer(params):
    """The parameters of a second layer that belong to the first, under the names that they had there."""
    return {name.removeprefix("below/"): value for name, value in params.items() if name.startswith("below/")}


def as_layers(learned, stages):
    """W_1, b_1, and for a second layer W_2, b_2, learned together -> the parameters of a row."""
    params = {}
    for i, (bank, stage) in enumerate(zip(("below/", "")[-len(stages) :], stages, strict=True), 1):
        params |= {f"{bank}W_e": learned[f"W_{i}"], f"{bank}b_e": learned[f"b_{i}"]}
        params[f"{bank}pool"] = np.array([stage.group, stage.size])
    if len(stages) == 2:  # the second layer saw the codes of the first as they are
        params |= {"centre": np.zeros(learned["W_2"].shape[2], np.float32), "scale": np.float32(1)}
    return params


def seen(params, frames):
    """What a row's own filters see of frames (N, 32, 32, 3), all on the backend: x (N, H, W, C)."""
    x = Whitening(params["mean"], params["matrix"])(frames)
    if "centre" not in params:
        return x
    first = first_layer(params)
    return (model.encode(first, x, pool(first)) - params["centre"]) / params["scale"]


def moments(z):
    """z (N, H, W, K) -> the mean of each map (K,), and the standard deviation about them, one for all."""
    centre = z.mean((0, 1, 2))
    scale = np.sqrt(((z - centre) ** 2).mean())
    require(scale > 0, "every code is the same; try a smaller alpha or beta")
    return centre, scale


def encode(params, frames):
    """frames (N, 32, 32, 3) uint8 -> z of the row's last layer: (N, 16, 16, 16), or (N, 4, 4, 64)."""
    params = on_device(params)
    return in_blocks(lambda x: model.encode(params, seen(params, x), pool(params)), frames)


def _inputs(data, config, run, below=None):
    """All but the filters of a row: the whitening, its pool, and where there is one, row `below` and its moments."""
    pooled = {"pool": np.array([config.group, config.size])}
    if below is None:
        return data.whiten.arrays | pooled
    params = run.fitted(below, data)
    centre, scale = moments(encode(params, data.frames[:: -(-len(data.frames) // 1000)]))
    bank = {f"below/{name}": params[name] for name in ("W_e", "b_e", "W_d", "pool")}
    return {"mean": params["mean"], "matrix": params["matrix"], **bank, "centre": centre, "scale": scale} | pooled


def _start(rng, inputs, config):
    """The filters that training begins with."""
    C = len(inputs["centre"]) if "centre" in inputs else 3
    return model.init_params(rng, (config.side, config.side, C, config.filters))


def fit_random(data, config, run, below=None):
    """The start of training, and no training."""
    inputs = _inputs(data, config, run, below)
    return inputs | _start(np.random.default_rng(run.seed), inputs, config)


def fit_patches(data, config, run):
    """Random patches of whitened frames as filters, scaled as the random ones (Coates, Ng 2011)."""
    rng, F, K = np.random.default_rng(run.seed), config.side, config.filters
    x = data.whiten(data.frames[rng.integers(len(data.frames), size=K)])
    corners = rng.integers(x.shape[1] - F + 1, size=(K, 2))
    W = np.stack([x[k, i : i + F, j : j + F] for k, (i, j) in enumerate(corners)], -1)
    W /= np.sqrt((W * W).sum((0, 1, 2)))
    bank = {"W_e": min(0.5, 2 * W.shape[2] / K) * W, "b_e": np.zeros(K, np.float32), "W_d": W}
    return _inputs(data, config, run) | bank


def layer_input(inputs, frames):
    """x(indices) -> what a layer with these parameters of `seen` sees of those frames, all on the backend.

    A batch is few frames, and to whiten it all of the matrix is read: so all are seen at once, where they fit.
    """
    here, frames = on_device(inputs), to_device(frames)

    @cache  # made by the first batch: a training that is read from a file draws none
    def whole():
        return array_module(frames).concatenate([seen(here, frames[i : i + 500]) for i in range(0, len(frames), 500)])

    fits = seen(here, frames[:1]).nbytes * len(frames) <= LARGEST
    return lambda picks: whole()[picks] if fits else seen(here, frames[picks])


def fit(data, config, run, below=None):
    """Eq. 2 on pairs, or triplets, of whitened frames, or of the frozen codes of row `below`."""
    inputs, windows = _inputs(data, config, run, below), data.triplets if config.T == 3 else data.pairs
    watched, x = seen(on_device(inputs), to_device(watched_frames(data))), layer_input(inputs, data.frames)

    def draw(rng):
        drawn = windows[rng.integers(len(windows), size=run.batch)]
        return x(to_device(processes.share(drawn).T.ravel()))

    return inputs | run.train(
        lambda params, x, done: model.loss_and_gradients(params, x, config, done),
        lambda rng: _start(rng, inputs, config),
        draw,
        project=partial(optim.project, kappa=config.kappa),
        watch=lambda params: model.statistics(params, watched, config),
    )


def silent(params, frames):
    """Which units of the row's own filters no place of any of these frames activates (K,)."""
    params, every = on_device(params), model.Config(group=1, size=1)
    strongest = in_blocks(lambda x: model.encode(params, seen(params, x), every).max((1, 2)), frames, block=100)
    return strongest.max(0) == 0


def describe_filters(params, frames):
    """The filters, or where they are decoded, the atoms; how many are pooled together; which of them are silent."""
    filters, units = params.get("W_d", params["W_e"]), np.flatnonzero(silent(params, frames))
    return {"filters": filters, "group": int(params["pool"][0]), "silent": units.tolist()}


def count(params):
    """How many weights and biases these parameters of a row hold, of all its layers."""
    return sum(value.size for name, value in params.items() if name.removeprefix("below/").startswith(("W", "b_")))


def describe(params, frames):
    """describe_filters, where all weights and biases were learned."""
    return describe_filters(params, frames) | {"learned": count(params)}


def watched_frames(data):
    """32 pairs of the validation scenes, else of the training frames, always the same: all x_t, then all x_t'."""
    frames, pairs = scenes.windows(data.validation) if data.validation else (data.frames, data.pairs)
    picks = np.random.default_rng(0).choice(len(pairs), min(32, len(pairs)), replace=False)
    return frames[pairs[picks].T.ravel()]
