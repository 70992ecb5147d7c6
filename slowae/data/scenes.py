"""Frames -> scenes -> parts -> windows of adjacent frames and test scenes (Section 5).

A scene is what one window of the picture shows during one shot, at the native rate, without blank frames; `step` native
frames are one step of the target rate. Training takes the windows (t, t + step, ...) for every t; evaluation sees every
`step`-th frame, 40 at most.
"""

from collections import Counter, namedtuple
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from slowae.checks import require
from slowae.data.shots import BLANK, find_shots, native_step

SIZE = 32  # pixels, the side of a frame that the network sees
LONGEST = 40  # frames of a scene, at most, that evaluation sees
SHARES = {"train": 0.65, "validation": 0.15, "test": 0.20}  # of the frames
ENOUGH = 6  # places, or shots, to be shared out whole
PLACE, SHOT = attrgetter("place"), attrgetter("video", "shot")
Split = namedtuple("Split", "by videos shots")  # by "place", "video", "shot" or "time"; how many videos and shots


@dataclass
class Scene:
    """frames (T, 32, 32, 3) uint8 of one shot of one video; `step` native frames are one step.

    times (T,): the number of each frame in its film, by default start, start + 1, ...; where frames are left out there
    are gaps. Scenes of one `place` stay in one part of a split; by default it is the video.
    """

    video: str
    shot: int
    step: int
    start: int
    frames: np.ndarray
    place: str = ""
    times: np.ndarray | None = None

    def __post_init__(self):
        self.place = self.place or self.video
        if self.times is None:
            self.times = self.start + np.arange(len(self.frames))

    @property
    def sampled(self):
        """The frames at the target rate, the first 40: two pieces of a long shot would be one scene under two names."""
        return self.frames[:: self.step][:LONGEST]


def motion(scene):
    """Mean absolute difference, in grey levels, of a scene's sampled frames from its query, number n // 2 of n."""
    frames = scene.sampled.astype(float)
    apart = np.abs(frames - frames[len(frames) // 2]).mean((1, 2, 3))
    return float(apart.sum() / (len(frames) - 1))


def moving_third(motions):
    """The motion of each scene -> the third of them that move most, at least one: indices in order (n,)."""
    return np.sort(np.argsort(-np.asarray(motions), kind="stable")[: max(1, len(motions) // 3)])


def cut_scenes(frames, rate, video, fps=6.0, tiles=1, place=""):
    """frames (T, 32 tiles, 32 tiles, 3) at `rate` -> Scenes with steps of about 1 / `fps` s.

    Each shot makes one scene for each of the tiles x tiles windows, without what is blank there.
    """
    step = native_step(rate, fps)
    windows = frames.reshape(-1, tiles, SIZE, tiles, SIZE, 3)
    contrast = np.array([frame.std((1, 3)).max(-1) for frame in windows]).reshape(-1, tiles, tiles)
    shows, scenes = contrast >= BLANK, []
    for number, shot in enumerate(find_shots(frames, ~shows.any((1, 2)), step)):
        for row, column in np.ndindex(tiles, tiles):
            times = shot[shows[shot, row, column]]
            if len(times) > step:  # two sampled frames
                shown = windows[times, row, :, column]
                scenes.append(Scene(video, number, step, int(times[0]), shown, place, times))
    return scenes


def thin_out(scenes, share=0.05):
    """Scenes -> at most `share` of them from one video, chosen evenly: all, where the videos are too few for that.

    A video of n_i scenes keeps min(n_i, c), for the largest whole c <= share sum_i min(n_i, c).
    """
    sizes = Counter(scene.video for scene in scenes)
    longest, chosen = max(sizes.values()), []
    allowed = [c for c in range(1, longest + 1) if c <= share * sum(min(n, c) for n in sizes.values())]
    for video, n in sizes.items():
        places = [i for i, scene in enumerate(scenes) if scene.video == video]
        chosen += [places[i] for i in np.linspace(0, n - 1, min(n, max(allowed, default=longest))).round().astype(int)]
    return [scenes[i] for i in sorted(chosen)]


def _share_out(scenes, unit, shares, spare=0):
    """Each unit (a place, or a shot) wholly in one part: largest first, each to the part least full for its share;
    every part leaves at least `spare` units to the others."""
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
    by_end = sorted(scenes, key=lambda scene: scene.times[-1])
    length = {scene.video: scene.times[-1] + 1 for scene in by_end}
    parts = {}
    for name, low, high in (("train", 0, 0.5), ("validation", 0.5, 0.75), ("test", 0.75, 1)):
        parts[name] = []
        for scene in scenes:
            first, last = (int(share * length[scene.video]) for share in (low, high))
            inside = (scene.times >= first + scene.step * (low > 0)) & (scene.times < last)
            times = scene.times[inside]
            if len(times) > scene.step:
                parts[name].append(replace(scene, start=int(times[0]), frames=scene.frames[inside], times=times))
    return parts


def split_scenes(scenes):
    """Scenes -> {"train": ..., "validation": ..., "test": ...} as the material allows, and the Split that says how.

    By video, or by place where several are of one; with fewer than six places by shot; with fewer shots, too, by time.
    ValueError if a part is empty.
    """
    videos, shots = len({scene.video for scene in scenes}), len(set(map(SHOT, scenes)))
    if len(set(map(PLACE, scenes))) >= ENOUGH:
        placed = any(scene.place != scene.video for scene in scenes)
        by, parts = "place" if placed else "video", _share_out(scenes, PLACE, SHARES)
    elif shots >= ENOUGH:
        by, parts = "shot", _share_out(scenes, SHOT, SHARES)
    else:
        by, parts = "time", _split_time(scenes)
    for name, part in parts.items():
        require(part, f"too little video: no scene is left for {name}; give longer or more videos")
    return parts, Split(by, videos, shots)


def fold_scenes(scenes, folds):
    """Scenes -> [(parts, how), ...] as split_scenes gives them, one for each fold; every scene is tested in one fold.

    One fold is split_scenes. More are K test parts of about equal length, by place; in each fold the other places are
    shared between training and validation, 4 to 1. ValueError for fewer than max(6, K + 2) places.
    """
    if folds == 1:
        return [split_scenes(scenes)]
    places, enough = len(set(map(PLACE, scenes))), max(ENOUGH, folds + 2)
    told = f"{folds} folds need videos of {enough} places, and there are {places}; give more, or use 1 fold"
    require(places >= enough, told)
    splits, how = [], split_scenes(scenes)[1]
    for test in _share_out(scenes, PLACE, dict.fromkeys(range(folds), 1), spare=2).values():
        tested = set(map(PLACE, test))
        rest = [scene for scene in scenes if scene.place not in tested]
        splits.append((_share_out(rest, PLACE, {"train": 0.8, "validation": 0.2}) | {"test": test}, how))
    return splits


def windows(scenes, T=2):
    """Scenes -> frames (N, 32, 32, 3) uint8, and windows (P, T): indices of T of them, one step apart, in one scene.

    T = 2 gives pairs, T = 3 triplets. Frames that were left out make no pair longer.
    """
    found, before = [], 0
    for scene in scenes:
        wanted = scene.times[:, None] + scene.step * np.arange(T)
        at = np.searchsorted(scene.times, wanted).clip(max=len(scene.times) - 1)
        found.append(before + at[(scene.times[at] == wanted).all(1)])
        before += len(scene.times)
    return np.concatenate([scene.frames for scene in scenes]), np.concatenate(found)


def retrieval_frames(scenes):
    """Scenes -> frames (N, 32, 32, 3) uint8 at the target rate, and the number of each frame's scene (N,)."""
    frames = np.concatenate([scene.sampled for scene in scenes])
    return frames, np.repeat(np.arange(len(scenes)), [len(scene.sampled) for scene in scenes])
