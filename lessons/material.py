"""The film that lessons learn from, ready-made: to follow a lesson you need not read this file."""

from dataclasses import replace
from itertools import islice

import numpy as np

from slowae import files
from slowae.data import film_patches, sources, video
from slowae.data.whitening import Whitening


def moving_patches(side):
    """Pairs of patches where something moves, of the clips that come along -> scenes of frames (P, 2, side, side)."""
    scenes = film_patches.load_pairs(sources.find_videos(None), 12000, np.random.default_rng(0))
    middle = slice((20 - side) // 2, (20 + side) // 2)
    return [replace(scene, frames=scene.frames[..., middle, middle]) for scene in scenes]


def sliding_windows(path):
    """20 x 20 windows of one frame of film where it has texture, moved right by 0 to 8 pixels, whitened as the patches
    of the dictionary `path` -> the dictionary, x (9, places, 400)."""
    kept = {name: value.astype(np.float32) for name, value in files.read_arrays(path).items()}
    whiten = Whitening(kept["mean"], kept["matrix"], float(kept["epsilon"]))
    frame, *_ = next(islice(video.decode(sources.find_videos(None)[0], pixels="gray"), 40, None))
    windows = np.lib.stride_tricks.sliding_window_view(frame, (20, 20))[::10]  # (rows, columns, 20, 20)
    windows = np.stack([windows[:, s : s + windows.shape[1] - 8 : 10] for s in range(9)])  # s pixels further right
    windows = windows[:, windows[0].std((2, 3)) > 16]  # (9, places, 20, 20)
    x = whiten(windows.reshape(-1, 400)).reshape(9, -1, 400)
    return kept, x / (np.sqrt((x * x).mean(2, keepdims=True)) + 0.1)  # as in training
