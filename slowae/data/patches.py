"""Pairs of patches out of arrays of frames: one place in two frames that follow one another, whitened, evened out."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from slowae.backend import to_device

PER_FRAME = 16  # places of each drawn pair of frames


def even_out(pairs):
    """Pairs of whitened patches (P, 2, ...) -> (2, P, D), each pair scaled to mean square 1.

    Contrast is heavy-tailed: unscaled, a few pairs rule the gradient, and SGD must creep so as not to diverge.
    """
    x = pairs.reshape(len(pairs), -1)
    x = x / (np.sqrt((x * x).mean(1, keepdims=True)) + 0.1)
    return np.ascontiguousarray(x.reshape(len(pairs), 2, -1).swapaxes(0, 1))


def prepare(scenes, whiten):
    """Scenes of pairs -> (2, P, D) float32 on the host: whitened and evened out."""
    pairs = np.concatenate([scene.frames for scene in scenes])
    return even_out(whiten(pairs.reshape(2 * len(pairs), -1)).reshape(len(pairs), 2, -1))


def frame_patches(frames, pairs, whiten, count, side, rng):
    """Frames (N, H, W, C) uint8, pairs of them (P, 2) -> `count` pairs of patches (2, count, side side C) float32:
    whitened, PER_FRAME places of each drawn pair of frames, evened out."""
    parts = []
    for left in range(count, 0, -100 * PER_FRAME):
        few = min(100, -(-left // PER_FRAME))
        x = whiten(frames[pairs[rng.integers(len(pairs), size=few)].ravel()]).reshape(few, 2, *frames.shape[1:])
        windows = sliding_window_view(x, (side, side), (2, 3))  # (few, 2, top, left, C, side, side)
        top, beside = (rng.integers(n, size=few * PER_FRAME) for n in windows.shape[2:4])
        patches = windows[np.arange(few).repeat(PER_FRAME), :, top, beside][:left]
        parts.append(patches.transpose(0, 1, 3, 4, 2))
    return even_out(np.concatenate(parts))


def batches(x, size):
    """Pairs x (2, P, D) on the chosen backend -> draw(rng) for train.fit: `size` of them, all x_t, then all x_t'."""
    return lambda rng: x[:, to_device(rng.integers(x.shape[1], size=size))].reshape(-1, x.shape[2])
