"""Films with known content, written with PyAV for the tests of everything that reads video."""

import av
import numpy as np


def write_film(path, frames, rate=12, codec="ffv1", pixels="bgr0", **options):
    """frames (T, H, W, 3) uint8 -> a video file; ffv1 in .mkv keeps every bit. -> path"""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def shot(seed, count, height=32, width=32):
    """A smooth pattern that drifts by a few grey levels a frame -> (count, height, width, 3) uint8"""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 32
    frames = np.zeros((count, height, width, 3))
    for colour in range(3):
        for _ in range(3):
            (a, b), phase = rng.uniform(-1, 1, 2), rng.uniform(0, 2 * np.pi)
            angle = 2 * np.pi * (a * x + b * y) + phase
            frames[..., colour] += np.sin(angle + 0.3 * np.arange(count)[:, None, None])
    # A large offset of its own, so that any two shots differ by far more than the drift.
    return (125 + 35 * frames / 3 + 75 * (-1) ** seed + rng.uniform(-15, 15)).clip(0, 255).astype(np.uint8)


def film(*lengths, height=32, width=32):
    """Shots of these lengths, one after the other; consecutive ones differ by about 150 grey levels."""
    return np.concatenate([shot(seed, count, height, width) for seed, count in enumerate(lengths)])
