"""Eq. 1's network G_W: x -> z in two dimensions, trained on which views follow one another in time."""

from dataclasses import dataclass

import numpy as np

from slowae import losses, train
from slowae.backend import array_module, to_device, to_host
from slowae.layers import linear_backward, linear_backward_weights, linear_forward, relu_backward, relu_forward


@dataclass(frozen=True)
class Config:
    """Hidden units; Eq. 1's margin, in units of z, and form; near pairs a step, far pairs for each; the descent."""

    hidden: int = 200
    margin: float = 2.0
    squared: bool = False
    near: int = 100
    far: int = 2
    steps: int = 4000  # at 2,000 the angle between the two gradients still wanders by some degrees
    rate: float = 0.05


def normalise(views, training):
    """Grey views (N, H, W) uint8 -> x (N, D) float32: mean view 0 and mean |x|^2 D over `training`.

    One scale for all pixels, so distances keep their proportions; with it plain gradient descent works.
    """
    x = views.reshape(len(views), -1).astype(np.float32)
    x -= x[training].mean(0)
    x /= x[training].std()
    return x


def init_params(rng, inputs, hidden):
    """He's normal weights, biases 0 -> W_1 (inputs, hidden), b_1, W_2 (hidden, 2), b_2, float32."""
    W_1 = rng.standard_normal((inputs, hidden), dtype=np.float32) * np.sqrt(2 / inputs, dtype=np.float32)
    W_2 = rng.standard_normal((hidden, 2), dtype=np.float32) * np.sqrt(1 / hidden, dtype=np.float32)
    return {"W_1": W_1, "b_1": np.zeros(hidden, np.float32), "W_2": W_2, "b_2": np.zeros(2, np.float32)}


def _forward(params, x):
    a, cache_1 = linear_forward(x, params["W_1"], params["b_1"])
    h, relu_cache = relu_forward(a)
    z, cache_2 = linear_forward(h, params["W_2"], params["b_2"])
    return z, (cache_1, relu_cache, cache_2)


def embed(params, x):
    """z = G_W(x): x (N, D) -> z (N, 2)."""
    return _forward(params, x)[0]


def over_pairs(z, first, second, near, margin, squared=False):
    """Eq. 1 between the codes z (N, D) of the frames first[p] and second[p], near[p] or not -> mean over p, dz."""
    loss, dz_first, dz_second = losses.drlim(z[first], z[second], near, margin, squared)
    xp = array_module(z)
    dz = xp.zeros_like(z)
    xp.add.at(dz, first, dz_first)  # a frame stands in several pairs
    xp.add.at(dz, second, dz_second)
    return loss, dz


def loss_and_gradients(params, batch, config):
    """Eq. 1 over a batch -> its mean over pairs, gradients keyed as params.

    batch: frames x (N, D); pair p joins the frames first[p] and second[p], (P,) integers; near (P,) bool.
    """
    x, *pairs = batch
    z, (cache_1, relu_cache, cache_2) = _forward(params, x)
    loss, dz = over_pairs(z, *pairs, config.margin, config.squared)
    dh, dW_2, db_2 = linear_backward(dz, cache_2)
    dW_1, db_1 = linear_backward_weights(relu_backward(dh, relu_cache), cache_1)
    return loss, {"W_1": dW_1, "b_1": db_1, "W_2": dW_2, "b_2": db_2}


def draw_pairs(rng, neighbours, config):
    """Near pairs out of `neighbours` (P, 2), and `far` times as many random ones among their frames.

    -> frames (2 near,), indices of views, each of which is encoded once; first, second (P,), which index frames; near
    (P,) bool, True also where the views of a random pair are neighbours, or the same.
    """

    def number(i, j):
        return np.minimum(i, j) * 2**32 + np.maximum(i, j)

    frames = neighbours[rng.integers(len(neighbours), size=config.near)].T.ravel()
    t = np.arange(config.near)
    any_first, any_second = rng.integers(len(frames), size=(2, config.near * config.far))
    first, second = np.concatenate([t, any_first]), np.concatenate([t + config.near, any_second])
    i, j = frames[first], frames[second]
    return frames, first, second, np.isin(number(i, j), number(*neighbours.T)) | (i == j)


def train_embedding(x, neighbours, config, seed, shown, checkpoint=None):
    """Train G_W on x (N, D), on the chosen backend, whose rows `neighbours` (P, 2) follow one another in time.

    -> params on the host, history: train.fit with SGD and momentum; its rows hold z of the views `shown`, rounded.
    """
    shown = to_device(shown)

    def draw(rng):
        frames, *pairs = (to_device(part) for part in draw_pairs(rng, neighbours, config))
        return x[frames], *pairs

    return train.fit(
        lambda params, batch, done: loss_and_gradients(params, batch, config),
        lambda rng: init_params(rng, x.shape[1], config.hidden),
        draw,
        train.Descent(config.steps, config.rate, every=max(1, config.steps // 40), seed=seed),
        # In the history, so that the pictures of a killed run are whole; a ten-thousandth of m is finer than a pixel.
        watch=lambda params: {"z": to_host(embed(params, x[shown])).round(4).tolist()},
        checkpoint=checkpoint,
    )
