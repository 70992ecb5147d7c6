"""Eq. 1 on pooled convolutional codes: the encoder of one or two layers of Eq. 2, no decoder, all layers jointly.

Nothing is reconstructed: only the far pairs, which must be a margin apart, forbid the constant code.
"""

from dataclasses import dataclass

from slowae import model
from slowae.backend import array_module, to_device
from slowae.blocks import frame_blocks, map_blocks
from slowae.layers import l2_pool_backward, l2_pool_forward, relu_backward, relu_forward
from slowae.methods import slow_autoencoder as eq2
from slowae.methods.drlim import draw_pairs, over_pairs
from slowae.methods.slow_autoencoder import FIRST, SECOND

encode, describe = eq2.encode, eq2.describe


@dataclass(frozen=True)
class Config:
    """Each layer; Eq. 1's margin, in units of z, and form; near pairs a step, far pairs for each; the rate."""

    stages: tuple = (FIRST,)
    margin: float = 20.0  # twice as much gives twice the codes, and the same neighbours
    squared: bool = False
    near: int = 8
    far: int = 10
    rate: float = 3e-4


def init_params(rng, filters):
    """Each layer's encoder as Eq. 2 initialises it -> W_1, b_1, ..., float32."""
    params = {}
    for i, shape in enumerate(filters, 1):
        start = model.init_params(rng, shape)
        params |= {f"W_{i}": start["W_e"], f"b_{i}": start["b_e"]}
    return params


def forward(params, x, stages=(FIRST, SECOND)):
    """x (N, H, W, C) -> z of the last layer that params hold (N, ...), cache."""
    z, cache, by = x, [], model.convolution(x)
    for i, stage in zip(range(1, len(params) // 2 + 1), stages, strict=False):
        a, conv_cache = by.conv_forward(z, params[f"W_{i}"], params[f"b_{i}"])
        h, relu_cache = relu_forward(a)
        z, pool_cache = l2_pool_forward(h, stage.group, stage.size)
        cache.append((conv_cache, relu_cache, pool_cache))
    return z, cache


def backward(dz, cache):
    """dz (N, ...) -> the gradients, keyed as params."""
    grads, by = {}, model.convolution(dz)
    for i in range(len(cache), 0, -1):
        conv_cache, relu_cache, pool_cache = cache[i - 1]
        da = relu_backward(l2_pool_backward(dz, pool_cache), relu_cache)
        if i > 1:
            dz, grads[f"W_{i}"], grads[f"b_{i}"] = by.conv_backward(da, conv_cache)
        else:
            grads["W_1"], grads["b_1"] = by.conv_backward_filters(da, conv_cache)
    return grads


def loss_and_gradients(params, batch, config):
    """Eq. 1 over a batch -> its mean over pairs, gradients keyed as params.

    batch: frames x (N, H, W, C); pair p joins the frames first[p] and second[p], (P,) integers; near (P,) bool.
    """
    x, *pairs = batch
    blocks = frame_blocks(x, params["W_1"])
    z, caches = zip(*map_blocks(lambda block: forward(params, x[block], config.stages), blocks), strict=True)
    z = array_module(x).concatenate(z)
    loss, dz = over_pairs(z.reshape(len(x), -1), *pairs, config.margin, config.squared)
    dz = dz.reshape(z.shape)
    parts = map_blocks(lambda part: backward(dz[part[0]], part[1]), zip(blocks, caches, strict=True))
    return loss, {name: sum(grads[name] for grads in parts) for name in params}


def fit(data, config, run):
    """Eq. 1 on whitened frames: the parameters of a row of Eq. 2 with as many layers, without W_d."""
    x = eq2.layer_input(data.whiten.arrays, data.frames)

    def draw(rng):
        frames, *pairs = map(to_device, draw_pairs(rng, data.pairs, config))
        return x(frames), *pairs

    learned = run.train(
        lambda params, batch, done: loss_and_gradients(params, batch, config),
        lambda rng: init_params(rng, eq2.shapes(*config.stages)),
        draw,
        rate=config.rate,
    )
    return data.whiten.arrays | eq2.as_layers(learned, config.stages)
