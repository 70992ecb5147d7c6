"""The supervised ConvNet that the paper compares with (Figures 5a, 7): the same two stages, and two layers more.

Convolve, rectify, L2 pool; again; then 1024 -> hidden, rectify, -> classes, softmax cross-entropy. It learns with
batch normalisation in layers 2 and 3, whose inputs, never negative, have a large common mean along which the loss is
much steeper than anywhere else; `fold` then builds the normalisation into the filters.
"""

import numpy as np

from slowae import losses, optim, train
from slowae.backend import map_blocks, require, to_device, to_host
from slowae.conv import conv_backward, conv_backward_filters, conv_forward
from slowae.layers import (
    batch_norm_backward,
    batch_norm_forward,
    l2_pool_backward,
    l2_pool_forward,
    linear_backward,
    linear_forward,
    relu_backward,
    relu_forward,
)
from slowae.model import FILTERS, Config, mean_over_blocks

POOLS = Config(group=4, size=2), Config(group=1, size=4)
BLOCK = 32  # images that are normalised together


def init_params(rng, filters=FILTERS, side=32, hidden=256, classes=10):
    """Images side x side -> W_1 .. W_4, b_1 .. b_4, float32: each layer's a about of variance 1, the last's smaller.

    P numbers of variance 1, half of them rectified away and then L2 pooled, have the mean square P / 2.
    """
    places = (side // POOLS[0].size // POOLS[1].size) ** 2
    shapes = [*filters, (places * filters[1][-1] // POOLS[1].group, hidden), (hidden, classes)]
    squares = [1, *(pool.group * pool.size**2 / 2 for pool in POOLS), 10]
    params = {}
    for i, (shape, square) in enumerate(zip(shapes, squares, strict=True), 1):
        deviation = 1 / np.sqrt(square * np.prod(shape[:-1]))
        params[f"W_{i}"] = (deviation * rng.standard_normal(shape)).astype(np.float32)
        params[f"b_{i}"] = np.zeros(shape[-1], np.float32)
    return params


def stages(params):
    """The two convolutional stages as a stack for `model.encode_stack`."""
    return [({"W_e": params[f"W_{i}"], "b_e": params[f"b_{i}"]}, pool) for i, pool in enumerate(POOLS, 1)]


def _norm_forward(a, b, normalise):
    return batch_norm_forward(a, b) if normalise else (a, None)


def _norm_backward(dout, cache):
    return batch_norm_backward(dout, cache) if cache else (dout, 0)


def forward(params, x, normalise=False):
    """x (N, H, W, C) -> logits (N, classes), cache. normalise: a_2 and a_3 over the N images, as in training."""
    a_1, conv_1 = conv_forward(x, params["W_1"], params["b_1"])
    h_1, relu_1 = relu_forward(a_1)
    z_1, pool_1 = l2_pool_forward(h_1, POOLS[0].group, POOLS[0].size)
    a_2, conv_2 = conv_forward(z_1, params["W_2"], params["b_2"])
    a_2, norm_2 = _norm_forward(a_2, params["b_2"], normalise)
    h_2, relu_2 = relu_forward(a_2)
    z_2, pool_2 = l2_pool_forward(h_2, POOLS[1].group, POOLS[1].size)
    a_3, linear_3 = linear_forward(z_2.reshape(len(x), -1), params["W_3"], params["b_3"])
    a_3, norm_3 = _norm_forward(a_3, params["b_3"], normalise)
    h_3, relu_3 = relu_forward(a_3)
    logits, linear_4 = linear_forward(h_3, params["W_4"], params["b_4"])
    stages = conv_1, relu_1, pool_1, conv_2, norm_2, relu_2, pool_2
    return logits, (*stages, z_2.shape, linear_3, norm_3, relu_3, linear_4)


def backward(dlogits, cache):
    """dlogits (N, classes) -> the gradients, keyed as params."""
    conv_1, relu_1, pool_1, conv_2, norm_2, relu_2, pool_2, shape, linear_3, norm_3, relu_3, linear_4 = cache
    dh_3, dW_4, db_4 = linear_backward(dlogits, linear_4)
    da_3, dshift_3 = _norm_backward(relu_backward(dh_3, relu_3), norm_3)
    dz_2, dW_3, db_3 = linear_backward(da_3, linear_3)
    dh_2 = l2_pool_backward(dz_2.reshape(shape), pool_2)
    da_2, dshift_2 = _norm_backward(relu_backward(dh_2, relu_2), norm_2)
    dz_1, dW_2, db_2 = conv_backward(da_2, conv_2)
    dh_1 = l2_pool_backward(dz_1, pool_1)
    dW_1, db_1 = conv_backward_filters(relu_backward(dh_1, relu_1), conv_1)
    grads = {"W_1": dW_1, "b_1": db_1, "W_2": dW_2, "b_2": db_2 + dshift_2}
    return grads | {"W_3": dW_3, "b_3": db_3 + dshift_3, "W_4": dW_4, "b_4": db_4}


def _blocks(x):
    return [slice(i, i + BLOCK) for i in range(0, len(x), BLOCK)]


def loss_and_gradients(params, batch):
    """batch: x (N, H, W, C), labels (N,) -> softmax cross-entropy, mean over N, and its gradients keyed as params.

    Normalised over each BLOCK images.
    """
    x, labels = batch
    require(len(x) == len(labels) > 0, f"{len(x)} images, but {len(labels)} labels")

    def part(block):
        logits, cache = forward(params, x[block], normalise=True)
        loss, dlogits = losses.cross_entropy(logits, labels[block])
        return loss, backward(dlogits, cache)

    return mean_over_blocks(part, _blocks(x), len(x))


def fold(params, x):
    """What training learned -> the network that does without normalisation, keyed alike; forward(fold(params, x), ...).

    mean, deviation: of a_2 and a_3 over each BLOCK of the images x (N, H, W, C), and then over the blocks:
    W = W / deviation, b = b + (b - mean) / deviation, as a_2 and a_3 hold b before they are normalised, too.
    """

    def moments(block):
        *_, norm_2, _, _, _, _, norm_3, _, _ = forward(params, x[block], normalise=True)[1]
        return *norm_2[1:], *norm_3[1:]

    parts = zip(*map_blocks(moments, _blocks(x)), strict=True)
    mean_2, deviation_2, mean_3, deviation_3 = (sum(part) / len(part) for part in parts)
    return params | {
        "W_2": params["W_2"] / deviation_2,
        "b_2": params["b_2"] + (params["b_2"] - mean_2) / deviation_2,
        "W_3": params["W_3"] / deviation_3,
        "b_3": params["b_3"] + (params["b_3"] - mean_3) / deviation_3,
    }


def accuracy(params, x, labels):
    """The share of images x (N, H, W, C) whose largest logit is that of their label (N,); params folded."""
    parts = map_blocks(lambda b: (forward(params, x[b])[0].argmax(1) == labels[b]).sum(), _blocks(x))
    return float(sum(parts)) / len(x)


def augment(images, rng, shift=4):
    """images (N, H, W, C) -> each shifted by up to `shift` pixels, edges mirrored, and half of them flipped."""
    N, H, W, _ = images.shape
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="reflect")
    top, left = rng.integers(2 * shift + 1, size=(2, N, 1))
    rows, columns = top + np.arange(H), left + np.arange(W)
    flipped = rng.random(N) < 0.5
    columns[flipped] = columns[flipped, ::-1]
    return padded[np.arange(N)[:, None, None], rows[:, :, None], columns[:, None]]


def train_classifier(images, labels, see, rng, epochs, batch=64, rate=1e-3, **options):
    """Images (N, 32, 32, 3) uint8, labels (N,), see: images -> x on the backend -> params, folded, and history.

    The last fiftieth of the images is not learned from: the history has the accuracy on it. options: of `train.fit`.
    """
    count = len(images) - len(images) // 50
    some, watched, watched_labels = see(images[:count][:1024]), see(images[count:]), to_device(labels[count:])

    def draw(rng):
        picks = rng.integers(count, size=batch)
        return see(augment(images[picks], rng)), to_device(labels[picks])

    params, history = train.fit(
        loss_and_gradients,
        init_params(rng),
        draw,
        rng,
        steps=epochs * count // batch,
        rate=rate,
        optimizer=optim.ADAM,
        watch=lambda params: {"accuracy": accuracy(fold(params, some), watched, watched_labels)},
        every=400,
        title="supervised",
        **options,
    )
    return to_host(fold(to_device(params), some)), history
