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


def centred(space):
    """A space of frames -> the same with each code's own mean taken away."""

    def codes(frames):
        z = space(frames)
        return z - z.mean(tuple(range(1, z.ndim)), keepdims=True)

    return codes


def pixels(frames):
    """Frames as they are (N, 32, 32, 3) uint8 -> float32."""
    return frames.astype(np.float32)


def controls(whiten):
    """{name: space} of what needs no learning."""
    return {
        "pixels": pixels,
        "pixels_centred": centred(pixels),
        "zca": on_backend(whiten.on_device()),
        "colour_histogram": metrics.colour_histogram,
    }
