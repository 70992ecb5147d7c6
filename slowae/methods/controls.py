"""The rows that no claim may do without: pixels, whitened pixels, colours. They learn nothing, or next to nothing."""

from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from slowae.backend import to_device
from slowae.blocks import in_blocks
from slowae.data import whitening

EPSILONS = 0.1, 1.0, 10.0, 100.0


def nothing(data, config, run):
    """Nothing to learn."""
    return {}


def pixels(params, frames):
    """Frames as they are (N, 32, 32, 3) uint8 -> float32."""
    return frames.astype(np.float32)


def centred(z):
    """Codes (N, H, W, C) -> the same, each one's own mean taken away."""
    return z - z.mean((1, 2, 3), keepdims=True)


def pixels_centred(params, frames):
    """pixels, each frame's own mean taken away."""
    return centred(pixels(params, frames))


def colour_histogram(params, frames, bins=16):
    """frames (N, H, W, 3) uint8 -> the joint histogram of red, green and blue (N, bins^3), float32."""
    level = frames.astype(np.int64) * bins // 256
    index = (level[..., 0] * bins + level[..., 1]) * bins + level[..., 2]
    return np.stack([np.bincount(i.ravel(), minlength=bins**3) for i in index]).astype(np.float32)


def fit_zca(data, config, run):
    """The film's whitening."""
    return data.whiten.arrays


def fit_zca_own(data, config, run):
    """The whitening of the labelled images in place of the film's."""
    return whitening.kept_whitening(run.out, data.images()[0], data.whiten.epsilon, run.resume).arrays


def zca(params, frames):
    """Whitened frames (N, 32, 32, 3) float32; each one's own mean is taken away where "centre" of params says so."""
    z = in_blocks(whitening.Whitening(to_device(params["mean"]), to_device(params["matrix"])), frames)
    return centred(z) if params.get("centre") else z


@dataclass(frozen=True)
class Tuning:
    """Choose what is best by this measure on validation data: "moving_map", "temporal_auc", "class_auc", ..."""

    measure: str = "moving_map"


def fit_zca_tuned(data, config, run):
    """The whitening epsilon, with or without each code's own mean, that makes the best of ZCA pixels."""
    if config.measure.startswith("class"):
        data.images()

    def make():
        axes, highest = whitening.principal_axes(data.frames), -1.0
        for epsilon, centre in product(EPSILONS, (0.0, 1.0)):
            chosen = {"centre": np.array(centre), "epsilon": np.array(epsilon)}
            params = whitening.whitening(*axes, epsilon).arrays | chosen
            score = data.validate(partial(zca, params))[config.measure]
            if score > highest:
                best, highest = params, score
        return best

    return run.cached(make)
