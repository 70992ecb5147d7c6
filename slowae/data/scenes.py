"""Frames -> scenes -> parts -> windows of adjacent frames and test scenes (Section 5).

A scene keeps every frame of its shot; `step` is how many native frames make one step of the target rate. Windows are
(t, t + step, ...) for every t; evaluation sees frames 0, step, 2 step, ..., at most 40. Windows never leave a scene.
"""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from slowae.checks import require

SIZE = 32  # pixels, the side of a frame that the network sees
LONGEST, SHORTEST = 40, 2  # frames of a scene that evaluation sees
BLANK = 4.0  # grey levels: a frame whose standard deviation is below, in every colour, shows nothing
# Mean absolute change between adjacent frames, in grey levels: CUT is one by itself; CUT_RELATIVE is one if it also
# exceeds the sum of its two neighbours by CUT_RATIO.
CUT, CUT_RELATIVE, CUT_RATIO = 60.0, 13.0, 1.2


@dataclass(frozen=True)
class Scene:
    """frames (T, 32, 32, 3) uint8 at native rate, of one shot of one video, from its frame `start` on; `step` native
    frames are one step."""

    video: str
    shot: int
    step: int
    start: int
    frames: np.ndarray

    @property
    def sampled(self):
        """The frames at the target rate, the first 40: two pieces of a long shot would be one scene under two names."""
        return self.frames[:: self.step][:LONGEST]


def find_cuts(frames):
    """frames (T, H, W, 3) uint8 -> t such that a new shot begins at frame t, by the absolute and the relative rule."""
    # Frame by frame: the films of a command, in int16, would be its largest arrays.
    change = np.array([np.abs(np.subtract(a, b, dtype=np.int16)).mean() for a, b in pairwise(frames)])
    around = np.pad(change, 1)
    relative = change > CUT_RATIO * (around[:-2] + around[2:])
    return 1 + np.flatnonzero((change > CUT) | ((change > CUT_RELATIVE) & relative))


def native_step(rate, fps):
    """Native frames that make one step of about 1 / `fps` s: one at least."""
    require(rate > 0 and fps > 0, f"frames a second must be numbers above 0, not {rate} and {fps}")
    return max(1, round(min(rate / fps, 1e9)))


def cut_scenes(frames, rate, video, fps=6.0, tiles=1):
    """frames (T, 32 tiles, 32 tiles, 3) at `rate` -> Scenes with steps of about 1 / `fps` s, one for each window."""
    side = SIZE * tiles
    require(frames.shape[1:] == (side, side, 3), f"frames {frames.shape} must be (T, {side}, {side}, 3)")
    scenes, step = [], native_step(rate, fps)
    # A frame that is held neither moves nor stands out from its neighbours: cuts are sought among the others.
    new = np.flatnonzero([True, *(not np.array_equal(a, b) for a, b in pairwise(frames))][: len(frames)])
    cuts = new[find_cuts(frames if len(new) == len(frames) else frames[new])]
    for shot, (first, part) in enumerate(zip([0, *cuts.tolist()], np.split(frames, cuts), strict=True)):
        windows = part.reshape(-1, tiles, SIZE, tiles, SIZE, 3).swapaxes(2, 3).reshape(-1, tiles**2, SIZE, SIZE, 3)
        for window in windows.swapaxes(0, 1):
            blank = window.std(axis=(1, 2)).max(-1) < BLANK
            bounds = [0, *(1 + np.flatnonzero(np.diff(blank))).tolist(), len(window)]
            for low, high in pairwise(bounds):
                if high > low and not blank[low]:
                    scenes.append(Scene(video, shot, step, first + low, window[low:high]))
    return _long_enough(scenes)


def _long_enough(scenes):
    return [scene for scene in scenes if len(scene.sampled) >= SHORTEST]


SHARES = {"train": 0.65, "validation": 0.15, "test": 0.20}  # of the frames
ENOUGH = 6  # videos, or shots, to be shared out whole
VIDEO, SHOT = attrgetter("video"), attrgetter("video", "shot")


class Split(NamedTuple):
    """How scenes were split: by "video", "shot" or "time", and how many videos and shots there are."""

    by: str
    videos: int
    shots: int


def _share_out(scenes, unit, shares, spare=0):
    """Each unit (a video, or a shot) wholly in one part: largest first, each to the part least full for its share.

    Every part leaves at least `spare` units to the others.
    """
    sizes = Counter()
    for scene in scenes:
        sizes[unit(scene)] += len(scene.frames)
    home, filled, held = {}, Counter(), Counter()
    for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
        open_parts = [part for part in shares if held[part] < len(sizes) - spare]
        home[key] = min(open_parts, key=lambda part: filled[part] / shares[part])
        filled[home[key]] += sizes[key]
        held[home[key]] += 1
    return {part: [scene for scene in scenes if home[unit(scene)] == part] for part in shares}


def _split_time(scenes):
    """The first half of each video trains, the next quarter validates, the last tests, with gaps of one step."""
    length = Counter()
    for s in scenes:
        length[s.video] = max(length[s.video], s.start + len(s.frames))

    def during(s, low, high):
        first = max(s.start, int(low * length[s.video]) + (s.step if low else 0))
        last = int(high * length[s.video])
        return replace(s, start=first, frames=s.frames[first - s.start : max(0, last - s.start)])

    bounds = {"train": (0, 0.5), "validation": (0.5, 0.75), "test": (0.75, 1)}
    return {part: _long_enough(during(s, *bounds[part]) for s in scenes) for part in bounds}


def split_scenes(scenes):
    """Scenes -> {"train": ..., "validation": ..., "test": ...} as the material allows, and the Split that says how.

    By video; where videos are fewer than six, by shot; where shots are too, by time. ValueError if a part is empty.
    """
    videos, shots = len(set(map(VIDEO, scenes))), len(set(map(SHOT, scenes)))
    if videos >= ENOUGH:
        by, parts = "video", _share_out(scenes, VIDEO, SHARES)
    elif shots >= ENOUGH:
        by, parts = "shot", _share_out(scenes, SHOT, SHARES)
    else:
        by, parts = "time", _split_time(scenes)
    for name, part in parts.items():
        require(part, f"too little video: no scene is left for {name}; give longer or more videos")
    return parts, Split(by, videos, shots)


def fold_scenes(scenes, folds):
    """Scenes -> [(parts, how), ...] as split_scenes gives them, one for each fold; every scene is tested in one fold.

    One fold is split_scenes. More are K test parts of about equal length, by video; in each fold the other videos are
    shared between training and validation, 4 to 1. ValueError for fewer than max(6, K + 2) videos.
    """
    require(folds >= 1, f"{folds} folds: there must be 1 or more")
    if folds == 1:
        return [split_scenes(scenes)]
    videos, enough = len(set(map(VIDEO, scenes))), max(ENOUGH, folds + 2)
    require(videos >= enough, f"{folds} folds need {enough} videos, and there are {videos}; give more, or use 1 fold")
    how = Split("video", videos, len(set(map(SHOT, scenes))))
    tests = _share_out(scenes, VIDEO, dict.fromkeys(range(folds), 1), spare=2)  # one to train, one to validate
    splits = []
    for test in tests.values():
        tested = {scene.video for scene in test}
        rest = [scene for scene in scenes if scene.video not in tested]
        splits.append((_share_out(rest, VIDEO, {"train": 0.8, "validation": 0.2}) | {"test": test}, how))
    return splits


def windows(scenes, T=2):
    """Scenes -> frames (N, 32, 32, 3) uint8, and windows (P, T): indices of T of them, one step apart, in one scene.

    T = 2 gives pairs, T = 3 triplets. ValueError if T < 2.
    """
    require(T >= 2, f"a window has 2 frames or more, not {T}")
    frames = np.concatenate([scene.frames for scene in scenes])
    starts = np.cumsum([0] + [len(scene.frames) for scene in scenes])
    found = [
        start + np.arange(max(0, len(s.frames) - (T - 1) * s.step))[:, None] + s.step * np.arange(T)
        for s, start in zip(scenes, starts, strict=False)
    ]
    return frames, np.concatenate(found)


def retrieval_frames(scenes):
    """Scenes -> frames (N, 32, 32, 3) uint8 at the target rate, and the number of each frame's scene (N,)."""
    frames = np.concatenate([scene.sampled for scene in scenes])
    return frames, np.repeat(np.arange(len(scenes)), [len(scene.sampled) for scene in scenes])
