"""The supervised ConvNet that the paper compares with (Figures 5a, 7): the same two stages, and two more layers.

Convolve, rectify, L2 pool; again; then 1024 -> hidden, rectify, -> classes, softmax cross-entropy. It is trained with
batch normalisation in layers 2 and 3, which `fold` then builds into the filters.
"""

from dataclasses import dataclass

import numpy as np

from slowae import layers, losses
from slowae.backend import to_device, to_host
from slowae.blocks import map_blocks, mean_over_blocks
from slowae.checks import require
from slowae.data.cifar import augment
from slowae.methods import slow_autoencoder as eq2
from slowae.model import convolution

STAGES = eq2.FIRST, eq2.SECOND
BLOCK = 32  # images that are normalised together


@dataclass(frozen=True)
class Config:
    """Passes over the images, images a step, learning rate, hidden units; filters and pools of the first two layers."""

    epochs: int = 20
    batch: int = 64
    rate: float = 1e-3
    hidden: int = 256
    stages: tuple = STAGES


def init_params(rng, filters=None, side=32, *, hidden, classes=10, stages=STAGES):
    """Images side x side -> W_1 .. W_4, b_1 .. b_4, float32: each layer's a about of variance 1, the last's smaller.

    P numbers of variance 1, half of them rectified away and then L2 pooled, have the mean square P / 2.
    """
    filters = filters or eq2.shapes(*stages)
    places = (side // stages[0].size // stages[1].size) ** 2
    shapes = [*filters, (places * filters[1][-1] // stages[1].group, hidden), (hidden, classes)]
    squares = [1, *(stage.group * stage.size**2 / 2 for stage in stages), 10]
    params = {}
    for i, (shape, square) in enumerate(zip(shapes, squares, strict=True), 1):
        deviation = 1 / np.sqrt(square * np.prod(shape[:-1]))
        params[f"W_{i}"] = (deviation * rng.standard_normal(shape)).astype(np.float32)
        params[f"b_{i}"] = np.zeros(shape[-1], np.float32)
    return params


def forward(params, x, stages=STAGES, normalise=False):
    """x (N, H, W, C) -> logits (N, classes), cache. normalise: a_2 and a_3 over the N images, as in training."""
    cache, by = {}, convolution(x)
    norm_forward = layers.batch_norm_forward if normalise else lambda a, b: (a, None)
    a_1, cache["conv_1"] = by.conv_forward(x, params["W_1"], params["b_1"])
    h_1, cache["relu_1"] = layers.relu_forward(a_1)
    z_1, cache["pool_1"] = layers.l2_pool_forward(h_1, stages[0].group, stages[0].size)
    a_2, cache["conv_2"] = by.conv_forward(z_1, params["W_2"], params["b_2"])
    a_2, cache["norm_2"] = norm_forward(a_2, params["b_2"])
    h_2, cache["relu_2"] = layers.relu_forward(a_2)
    z_2, cache["pool_2"] = layers.l2_pool_forward(h_2, stages[1].group, stages[1].size)
    cache["shape"] = z_2.shape
    a_3, cache["linear_3"] = layers.linear_forward(z_2.reshape(len(x), -1), params["W_3"], params["b_3"])
    a_3, cache["norm_3"] = norm_forward(a_3, params["b_3"])
    h_3, cache["relu_3"] = layers.relu_forward(a_3)
    logits, cache["linear_4"] = layers.linear_forward(h_3, params["W_4"], params["b_4"])
    return logits, cache


def backward(dlogits, cache, dh_3=0):
    """dlogits (N, classes) -> the gradients, keyed as params. dh_3 (N, hidden): of another loss on h_3."""
    by = convolution(dlogits)
    norm_backward = layers.batch_norm_backward if cache["norm_2"] else lambda dout, _: (dout, 0)
    dh_classes, dW_4, db_4 = layers.linear_backward(dlogits, cache["linear_4"])
    da_3, dshift_3 = norm_backward(layers.relu_backward(dh_classes + dh_3, cache["relu_3"]), cache["norm_3"])
    dz_2, dW_3, db_3 = layers.linear_backward(da_3, cache["linear_3"])
    dh_2 = layers.l2_pool_backward(dz_2.reshape(cache["shape"]), cache["pool_2"])
    da_2, dshift_2 = norm_backward(layers.relu_backward(dh_2, cache["relu_2"]), cache["norm_2"])
    dz_1, dW_2, db_2 = by.conv_backward(da_2, cache["conv_2"])
    dh_1 = layers.l2_pool_backward(dz_1, cache["pool_1"])
    dW_1, db_1 = by.conv_backward_filters(layers.relu_backward(dh_1, cache["relu_1"]), cache["conv_1"])
    grads = {"W_1": dW_1, "b_1": db_1, "W_2": dW_2, "b_2": db_2 + dshift_2}
    return grads | {"W_3": dW_3, "b_3": db_3 + dshift_3, "W_4": dW_4, "b_4": db_4}


def _blocks(x):
    return [slice(i, i + BLOCK) for i in range(0, len(x), BLOCK)]


def loss_and_gradients(params, batch, config):
    """batch: x (N, H, W, C), labels (N,) -> mean cross-entropy, gradients keyed as params; normalised in BLOCKs."""
    x, labels = batch

    def part(block):
        logits, cache = forward(params, x[block], config.stages, normalise=True)
        loss, dlogits = losses.cross_entropy(logits, labels[block])
        return loss, backward(dlogits, cache)

    return mean_over_blocks(part, _blocks(x), len(x))


def fold(params, x, stages=STAGES):
    """params, and images x (N, H, W, C) -> params of the same network without normalisation, keyed alike.

    W / deviation and b + (b - mean) / deviation, of a_2 and a_3, which hold b before they are normalised, too: the mean
    over blocks of BLOCK images of each block's moments.
    """
    caches = map_blocks(lambda block: forward(params, x[block], stages, normalise=True)[1], _blocks(x))
    folded = dict(params)
    for i in (2, 3):
        _, means, deviations = zip(*(cache[f"norm_{i}"] for cache in caches), strict=True)
        mean, deviation = sum(means) / len(means), sum(deviations) / len(deviations)
        folded[f"W_{i}"] = params[f"W_{i}"] / deviation
        folded[f"b_{i}"] = params[f"b_{i}"] + (params[f"b_{i}"] - mean) / deviation
    return folded


def accuracy(params, x, labels, stages=STAGES):
    """The share of images x (N, H, W, C) whose largest logit is that of their label (N,); params folded."""
    parts = map_blocks(lambda b: (forward(params, x[b], stages)[0].argmax(1) == labels[b]).sum(), _blocks(x))
    return float(sum(parts)) / len(x)


def fit(data, config, run, few=None, film=None, loss=loss_and_gradients):
    """The network trained on CIFAR-10, without normalisation: parameters of a second layer, and W_3 to b_4.

    Images are whitened with their own statistics, and so are films when they are encoded. The history has the accuracy
    on the last fiftieth of the images, which are not trained on. For `coherent`, few: how many of the others are,
    drawn by the run's seed; film(rng, whitened): what `loss` is given beside x and labels.
    """
    images, labels = data.images()
    count = len(images) - len(images) // 50
    require(not few or few <= count, f"{few} labels were asked of {count} images")
    picks = np.random.default_rng(run.seed).permutation(count)[:few] if few else np.arange(count)
    inputs = run.fitted("zca_own", data)
    here = to_device(inputs)

    def whitened(images):
        return eq2.seen(here, to_device(images))

    some, watched = whitened(images[: min(1024, count)]), whitened(images[count:])

    def draw(rng):
        drawn = picks[rng.integers(len(picks), size=config.batch)]
        batch = whitened(augment(images[drawn], rng)), to_device(labels[drawn])
        return (*batch, film(rng, whitened)) if film else batch

    def watch(params):
        folded = fold(params, some, config.stages)
        return {"accuracy": accuracy(folded, watched, to_device(labels[count:]), config.stages)}

    params = run.train(
        lambda params, batch, done: loss(params, batch, config),
        lambda rng: init_params(rng, hidden=config.hidden, stages=config.stages),
        draw,
        watch=watch,
        steps=config.epochs * len(picks) // config.batch,
        rate=config.rate,
        optimizer="adam",
        bias_rate=1.0,
        every=400,
    )
    learned = to_host(fold(to_device(params), some, config.stages))
    behind = {name: learned[name] for name in ("W_3", "b_3", "W_4", "b_4")}
    return inputs | eq2.as_layers(learned, config.stages) | behind


def image_accuracy(params, images, labels):
    """What `fit` returns, images (N, 32, 32, 3) uint8, labels (N,) -> the share that is classified right."""
    z = eq2.encode(params, images).reshape(len(images), -1)
    logits = np.maximum(0, z @ params["W_3"] + params["b_3"]) @ params["W_4"] + params["b_4"]
    return float((logits.argmax(1) == labels).mean())


def fit_first(data, config, run):
    """The first stage of the same network."""
    params = run.fitted("supervised2", data)
    return {"mean": params["mean"], "matrix": params["matrix"], **eq2.first_layer(params)}
