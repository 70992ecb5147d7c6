"""The spaces that retrieval compares: functions of frames (N, 32, 32, 3) uint8 -> codes (N, ...), both on the host."""

import numpy as np

from slowae import metrics, model
from slowae.backend import to_device, to_host


def on_backend(code, block=1000):
    """code, a function of frames on the chosen backend -> the same from host to host, any number of frames."""

    def codes(frames):
        return np.concatenate([to_host(code(to_device(frames[i : i + block]))) for i in range(0, len(frames), block)])

    return codes


def stack(layers, whiten):
    """[(params, config), ...] -> the code of the last layer, for whitened frames."""
    layers, whiten = [(to_device(params), config) for params, config in layers], whiten.on_device()
    return on_backend(lambda frames: model.encode_stack(layers, whiten(frames)))


def controls(whiten):
    """{name: space} of what needs no learning."""
    return {
        "pixels": lambda frames: frames.astype(np.float32),
        "pixels_centred": lambda frames: frames - frames.mean((1, 2, 3), np.float32, keepdims=True),
        "zca": on_backend(whiten.on_device()),
        "colour_histogram": metrics.colour_histogram,
    }
