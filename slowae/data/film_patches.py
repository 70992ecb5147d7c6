"""Full-resolution video -> pairs of 20 x 20 grey patches, from places and times that move (Section 4.1).

A pair is one place in two adjacent native frames. Each frame is cut into cells at a random offset; of those that move
and can be followed, fewer of flat ones, at most PER_FRAME are drawn.
"""

import numpy as np

from slowae.checks import require
from slowae.data import sources
from slowae.data.scenes import SIZE, Scene
from slowae.data.shots import BLANK, find_shots, native_step
from slowae.data.video import decode, read_each

SIDE = 20  # pixels, the side of a patch
MOVING = 2.0  # grey levels: a cell moves if its mean absolute change is at least this
FOLLOWED = 0.8  # ... and can be followed if that is at most this share of its standard deviation (unrelated: 1.13)
TEXTURED = 16.0  # grey levels: a cell of a lower standard deviation s is drawn with probability s / TEXTURED
PER_FRAME = 16  # pairs, at most, from one frame
FAIR = 4  # times its even share of the pairs: the most that one video gives


def draw_pairs(before, after, rng):
    """Two adjacent frames (H, W) uint8 -> at most PER_FRAME pairs (n, 2, SIDE, SIDE) uint8 that move."""
    top, left = rng.integers(0, np.minimum(SIDE, np.array(before.shape) - SIDE + 1))
    rows, columns = (before.shape[0] - top) // SIDE, (before.shape[1] - left) // SIDE
    both = np.stack([before, after])[:, top : top + rows * SIDE, left : left + columns * SIDE]
    pairs = both.reshape(2, rows, SIDE, columns, SIDE).transpose(1, 3, 0, 2, 4).reshape(-1, 2, SIDE, SIDE)
    change = (pairs.max(1) - pairs.min(1)).mean((1, 2))
    pairs, change = pairs[change >= MOVING], change[change >= MOVING]
    contrast = pairs.std((2, 3)).mean(1)
    good = (change <= FOLLOWED * contrast) & (contrast > TEXTURED * rng.random(len(pairs)))
    return rng.permutation(pairs[good])[:PER_FRAME]


def read_pairs(path, most, rng):
    """A video -> pairs (n, 2, SIDE, SIDE) uint8 in order of time, n <= most, and the shot of each (n,).

    No pair crosses a cut. Memory: about twice `most` pairs. ValueError if `path` is no video, or too small.
    """
    pairs, times, lots = np.empty((0, 2, SIDE, SIDE), np.uint8), np.empty(0, int), np.empty(0)
    waiting, thumbnails, before = [], [], None

    def thin_out():
        """Each pair draws a number once, and the `most` lowest stay, so that all pairs have the same chance."""
        nonlocal pairs, times, lots
        times = np.concatenate([times, *(np.full(len(new), time) for new, time in waiting)])
        pairs = np.concatenate([pairs, *(new for new, _ in waiting)])
        lots = np.concatenate([lots, rng.random(len(pairs) - len(lots))])
        stay = np.sort(np.argsort(lots)[:most])
        pairs, times, lots = pairs[stay], times[stay], lots[stay]
        waiting.clear()

    for frame, _, rate in decode(path, pixels="gray"):  # noqa: B007, the last rate is the video's
        size = " x ".join(map(str, frame.shape[::-1]))
        require(min(frame.shape) >= SIZE, f"{path} is {size} pixels, smaller than {SIZE} x {SIZE}; use a larger video")
        if before is not None and frame.shape == before.shape:
            waiting.append((draw_pairs(before, frame, rng), len(thumbnails)))
            if sum(len(new) for new, _ in waiting) > most:
                thin_out()
        before, (h, w) = frame, np.array(frame.shape) // SIZE
        thumbnails.append(frame[: h * SIZE, : w * SIZE].reshape(SIZE, h, SIZE, w).mean((1, 3)))
    thin_out()
    small = np.array(thumbnails).astype(np.uint8)  # what the cut rule looks at
    cuts = [shot[0] for shot in find_shots(small, small.std((1, 2)) < BLANK, native_step(rate, 6))[1:]]
    inside = ~np.isin(times, cuts)
    return pairs[inside], np.searchsorted(cuts, times[inside], side="right")


def load_pairs(paths, count, rng):
    """Videos -> about `count` pairs at most, as one Scene for each shot, whose frames are pairs (n, 2, SIDE, SIDE).

    A video gives at most FAIR times its even share. Copies, and what cannot be used, are left out with a warning.
    """
    require(count >= len(paths), f"{count} pairs cannot be drawn from {len(paths)} videos; ask for more")

    def read(path, name):
        pairs, shots = read_pairs(path, FAIR * count // len(paths), rng)
        require(len(pairs), f"nothing moves in {path}; use another video")
        return name, sources.place(path), pairs, shots

    films, scenes = read_each(paths, read), []
    share = count / sum(len(pairs) for _, _, pairs, _ in films)
    for name, place, pairs, shots in films:
        stay = rng.random(len(pairs)) < share
        pairs, shots = pairs[stay], shots[stay]
        for shot, first in zip(*np.unique(shots, return_index=True), strict=True):
            scenes.append(Scene(name, int(shot), 1, int(first), pairs[shots == shot], place))
    return scenes
