"""Section 6: reconstruct what a row sees from its pooled code z.

h_hat_j = z_i q_j, and x_hat = W_d h_hat with the row's own W_d, frozen. Pooling loses q alone, the share of z_i that
each h_j of P_i has; here a convolution on z predicts it:

    a = W_q (z / mean z) + b_q,  q_j^2 = softmax of a over P_i.

mean z is over all maps and places of a frame: so contrast does not matter. A softmax, because it is never 0/0, no unit
falls silent, and at W_q = 0 all shares are equal.
"""

from dataclasses import dataclass

import numpy as np

from slowae import losses, model
from slowae.backend import array_module, to_device
from slowae.blocks import frame_blocks, in_blocks, mean_over_blocks
from slowae.data.whitening import Whitening
from slowae.layers import l2_pool_backward, l2_pool_forward, unpool_backward, unpool_forward
from slowae.methods import slow_autoencoder as eq2


@dataclass(frozen=True)
class Config:
    """The row whose code is decoded; the side of the filters W_q, odd; the learning rate."""

    below: str = "layer1"
    filter: int = 5
    rate: float = 3e-3


def init_params(config, pool, maps):
    """For a code of so many maps -> W_q (F, F, maps, maps group size^2) and b_q, 0: equal shares."""
    F, K = config.filter, maps * pool.group * pool.size**2
    return {"W_q": np.zeros((F, F, maps, K), np.float32), "b_q": np.zeros(K, np.float32)}


def _unpool(params, z, pool):
    """z (N, H, W, K) -> h_hat (N, H size, W size, K group), cache."""
    mean = z.mean((1, 2, 3), keepdims=True)
    a, conv_cache = model.convolution(z).conv_forward(z / (mean + (mean == 0)), params["W_q"], params["b_q"])
    h, unpool_cache = unpool_forward(z, a.reshape(*z.shape, -1), pool.group, pool.size)
    return h, (a.shape, conv_cache, unpool_cache)


def loss_and_gradients(params, batch, W_d, pool):
    """batch: x (N, H, W, C) and its pooled code z -> |W_d h_hat - x|^2, mean over N; gradients of W_q and b_q."""

    def part(block):
        x, z = (value[block] for value in batch)
        h, (shape, conv_cache, unpool_cache) = _unpool(params, z, pool)
        by = model.convolution(x)
        x_hat, decode_cache = by.decode_forward(h, W_d)
        loss, dx_hat = losses.reconstruction(x_hat, x)
        dh, _ = by.decode_backward(dx_hat, decode_cache)
        _, da = unpool_backward(dh, unpool_cache)
        dW_q, db_q = by.conv_backward_filters(da.reshape(shape), conv_cache)
        return loss, {"W_q": dW_q, "b_q": db_q}

    return mean_over_blocks(part, frame_blocks(batch[0], W_d), len(batch[0]))


def fit(data, config, run):
    """The row below with W_q and b_q of its code; for a second layer with those of the first layer's code, too."""
    row = run.fitted(config.below, data)
    if "centre" in row:
        row = row | {f"below/{name}": run.fitted("pooled_decoder", data)[name] for name in ("W_q", "b_q")}
    pool, here, frames = eq2.pool(row), eq2.on_device(row), to_device(data.frames)

    def see(frames):
        x = eq2.seen(here, frames)
        return x, model.encode(here, x, pool)

    watched = see(to_device(eq2.watched_frames(data)))
    power = float((watched[0] ** 2).sum()) / len(watched[0])
    return row | run.train(
        lambda params, batch, done: loss_and_gradients(params, batch, here["W_d"], pool),
        lambda rng: init_params(config, pool, watched[1].shape[-1]),
        lambda rng: see(frames[to_device(rng.integers(len(frames), size=2 * run.batch))]),
        watch=lambda p: {"error": float(loss_and_gradients(p, watched, here["W_d"], pool)[0]) / power},
        optimizer="adam",
        rate=config.rate,
        bias_rate=1.0,
    )


def _down(params, x_hat):
    """What a row sees -> the whitened frames: for a second layer by the decoder of the first layer's code."""
    if "centre" not in params:
        return x_hat
    return decode(eq2.first_layer(params), (x_hat * params["scale"] + params["centre"]).clip(0))


def decode(params, z):
    """z -> the whitened frames (N, 32, 32, 3), params and z on the backend."""
    h = _unpool(params, z, eq2.pool(params))[0]
    return _down(params, model.convolution(z).decode_forward(h, params["W_d"])[0])


def encode(params, frames):
    """frames (N, 32, 32, 3) uint8 -> whitened frames, decoded from the pooled code."""
    params = eq2.on_device(params)
    pool = eq2.pool(params)
    return in_blocks(lambda x: decode(params, model.encode(params, eq2.seen(params, x), pool)), frames, block=100)


def reconstructions(params, x, steps=30):
    """x (N, H, W, C) as the row sees it -> {way of decoding: x_hat}.

    ceiling: the true h. learned: z_i q_j. floor: z_i / sqrt |P_i|. projections (Bruna, Szlam, LeCun 2014): `steps`
    times from the floor on, encode what was decoded, and scale each P_i so that its pool is z_i again; W_d W_e
    approximates the projection on codes of frames.
    """
    pool, by = eq2.pool(params), model.convolution(x)

    def code(x):
        return model.encode(params, x, model.Config(group=1, size=1))

    def decoded(h):
        return by.decode_forward(h, params["W_d"])[0]

    def with_pool(h, z):
        return l2_pool_backward(z, l2_pool_forward(h, pool.group, pool.size)[1])

    h = code(x)
    z, _ = l2_pool_forward(h, pool.group, pool.size)
    equal = projected = with_pool(array_module(h).ones_like(h), z)
    for _ in range(steps):
        projected = with_pool(code(decoded(projected)), z)
    codes = {"ceiling": h, "learned": _unpool(params, z, pool)[0], "projections": projected, "floor": equal}
    return {name: decoded(h) for name, h in codes.items()}


def reconstructed_frames(params, frames):
    """frames (N, 32, 32, 3) uint8 on the host -> whitened, {way of decoding: x_hat} for them; both on the backend."""
    params, frames = eq2.on_device(params), to_device(frames)
    decoded = reconstructions(params, eq2.seen(params, frames))
    whitened = Whitening(params["mean"], params["matrix"])(frames)
    return whitened, {name: _down(params, x_hat) for name, x_hat in decoded.items()}


def describe(params, frames):
    """How many numbers were learned; {way of decoding: |x_hat - x|^2 / |x|^2} of whitened frames."""

    def part(block):
        x, decoded = reconstructed_frames(params, frames[block])
        return (x * x).sum(), {name: losses.reconstruction(x_hat, x)[0] for name, x_hat in decoded.items()}

    power, sums = mean_over_blocks(part, [slice(i, i + 16) for i in range(0, len(frames), 16)], 1)
    return {"learned": eq2.count(params), "errors": {name: float(error / power) for name, error in sums.items()}}
