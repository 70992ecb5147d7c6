"""Video files -> scenes of 32 x 32 frames -> pairs of adjacent frames and test scenes (Section 5).

A scene keeps every frame of its shot; `step` is how many native frames make one step of the target rate. Training
pairs are (t, t + step) for every t; evaluation sees frames 0, step, 2 step, ..., at most 40. Pairs never leave a scene.
"""

import warnings
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

import av
import numpy as np
from tqdm import tqdm

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


def decode(path, height=None, width=None, pixels="rgb24"):
    """Yield (frame uint8, native frames a second), area-averaged to height x width where given.

    ValueError if `path` is no video, or its frames are smaller. A damaged or truncated file yields its readable part,
    with a warning.
    """
    count = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path} has no video stream; give a video file")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate or 25)
            # Not every container counts its frames; the duration tells how many there are at least.
            expected = stream.frames or int(0.9 * rate * (container.duration or 0) / av.time_base)
            if height and (stream.height < height or stream.width < width):
                raise ValueError(
                    f"{path} is {stream.width} x {stream.height} pixels, smaller than the {width} x {height} needed; "
                    "use a larger video or fewer --tiles"
                )
            try:
                for frame in container.decode(stream):
                    image = frame.reformat(width, height, format=pixels, interpolation="AREA").to_ndarray()
                    yield np.rot90(image, frame.rotation // 90), rate
                    count += 1
            except av.FFmpegError as error:
                if not count:
                    raise
                warnings.warn(f"{path} is damaged after frame {count} ({error.strerror}); using those", stacklevel=2)
            else:
                if count < expected - 2:
                    warnings.warn(f"{path} ends after {count} of {expected} frames or more; using those", stacklevel=2)
    except av.FFmpegError as error:
        raise ValueError(f"{path} cannot be read as video ({error.strerror}); remove it or convert it") from error


def read_frames(path, tiles=1):
    """A video -> frames (T, 32 tiles, 32 tiles, 3) uint8 without exact repeats, native frames a second."""
    frames, rate, side = [], 25.0, SIZE * tiles
    for frame, rate in decode(path, side, side):  # noqa: B007, the last rate is the video's
        if not frames or not np.array_equal(frame, frames[-1]):
            frames.append(frame)
    return np.array(frames, np.uint8).reshape(-1, side, side, 3), rate


def choose_tiles(paths):
    """Windows a side: 4, or as many as fit, where the videos last under two minutes together; else 1."""
    seconds, side = 0.0, 4 * SIZE
    for path in paths:
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                seconds += (container.duration or 0) / av.time_base
                side = min(side, stream.width, stream.height)
        except (av.FFmpegError, IndexError):
            continue  # load_scenes will say so
    return max(1, side // SIZE) if seconds < 120 else 1


def find_cuts(frames):
    """frames (T, H, W, 3) uint8 -> t such that a new shot begins at frame t, by the absolute and the relative rule."""
    change = np.array([np.abs(a - b, dtype=np.int16).mean() for a, b in pairwise(frames.astype(np.int16))])
    around = np.pad(change, 1)
    relative = change > CUT_RATIO * (around[:-2] + around[2:])
    return 1 + np.flatnonzero((change > CUT) | ((change > CUT_RELATIVE) & relative))


def cut_scenes(frames, rate, video, fps=6.0, tiles=1):
    """frames (T, 32 tiles, 32 tiles, 3) at `rate` -> Scenes with steps of about 1 / `fps` s, one for each window."""
    step = max(1, round(rate / fps))
    scenes = []
    cuts = find_cuts(frames)
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


def load_scenes(paths, fps=6.0, tiles=1):
    """Every video of `paths` -> Scenes. A file that is no video is left out with a warning, if others remain."""
    scenes, problems = [], []
    for path in tqdm(paths, desc="decoding", unit="video", dynamic_ncols=True, disable=len(paths) < 2):
        try:
            frames, rate = read_frames(path, tiles)
        except ValueError as error:
            problems.append(str(error))
            continue
        found = cut_scenes(frames, rate, path.name, fps, tiles)
        if not found:
            problems.append(f"{path} holds no scene of {SHORTEST} frames at {fps:g} a second; left out")
        scenes += found
    if not scenes:
        raise ValueError(
            problems[0] if len(problems) == 1 else f"none of {len(paths)} videos could be used: {problems[0]}"
        )
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return scenes


SHARES = {"train": 0.65, "validation": 0.15, "test": 0.20}  # of the frames
ENOUGH = 6  # videos, or shots, to be shared out whole


def _split_whole(scenes, unit):
    """Each unit (a video, or a shot) wholly in one part: largest first, each to the part least full for its share."""
    sizes = Counter()
    for scene in scenes:
        sizes[unit(scene)] += len(scene.frames)
    home, filled = {}, Counter()
    for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
        home[key] = min(SHARES, key=lambda part: filled[part] / SHARES[part])
        filled[home[key]] += sizes[key]
    return {part: [scene for scene in scenes if home[unit(scene)] == part] for part in SHARES}


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
    """Scenes -> {"train": ..., "validation": ..., "test": ...} as the material allows, and a phrase that says how.

    By video; where videos are fewer than six, by shot; where shots are too, by time. ValueError if a part is empty.
    """
    videos, shots = {s.video for s in scenes}, {(s.video, s.shot) for s in scenes}
    if len(videos) >= ENOUGH:
        parts, how = _split_whole(scenes, lambda s: s.video), f"by video ({len(videos)} videos)"
    elif len(shots) >= ENOUGH:
        parts = _split_whole(scenes, lambda s: (s.video, s.shot))
        how = f"by shot ({len(shots)} shots; {len(videos)} videos are too few)"
    else:
        parts, how = _split_time(scenes), f"by time, with gaps ({len(shots)} shots are too few)"
    for name, part in parts.items():
        if not part:
            raise ValueError(f"too little video: no scene is left for {name}; give longer or more videos")
    return parts, how


def training_pairs(scenes):
    """Scenes -> frames (N, 32, 32, 3) uint8, and pairs (P, 2) of indices into them, one step apart in one scene."""
    frames = np.concatenate([scene.frames for scene in scenes])
    starts = np.cumsum([0] + [len(scene.frames) for scene in scenes])
    first = np.concatenate(
        [start + np.arange(max(0, len(s.frames) - s.step)) for s, start in zip(scenes, starts, strict=False)]
    )
    steps = np.concatenate([np.full(max(0, len(s.frames) - s.step), s.step) for s in scenes])
    return frames, np.stack([first, first + steps], axis=1)


def retrieval_frames(scenes):
    """Scenes -> frames (N, 32, 32, 3) uint8 at the target rate, and the number of each frame's scene (N,)."""
    frames = np.concatenate([scene.sampled for scene in scenes])
    return frames, np.repeat(np.arange(len(scenes)), [len(scene.sampled) for scene in scenes])
