"""Video files, as people have them -> frames -> scenes (Section 5)."""

import errno
import hashlib
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from slowae.checks import require
from slowae.data import sources
from slowae.data.scenes import SIZE, cut_scenes
from slowae.data.shots import native_step
from slowae.progress import bar

# Tags need not be UTF-8. PyAV 19 reads them all, and has no such argument any more.
ANY_TAGS = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
SCARCE = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}  # of the machine, not of the film


@contextmanager
def _opened(path):
    """The container and its stream of film. ValueError for a fault of `path`, OSError for one of the machine."""
    try:
        # With its protocol, any name is a file's: FFmpeg takes 10:30.mov for an address.
        with av.open(f"file:{path}", **ANY_TAGS) as container:
            films = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]  # no covers
            known = films and films[0].codec_context and films[0].width
            require(known, f"{path} has no video stream that can be decoded here; remove it or convert it")
            yield container, films[0]
    except av.FFmpegError as error:
        if error.errno in SCARCE:
            want = f"{path} cannot be read now ({error.strerror}): the machine lacks memory, threads or open files"
            raise OSError(f"{want}; close other programs, or raise the limits of ulimit, and start again") from error
        remedy = "check its permissions, or remove it or convert it"
        raise ValueError(f"{path} cannot be read as video ({error.strerror}); {remedy}") from error


def _display_matrix(frame):
    """A frame -> a, b, c, d: it is to be shown with x' = a x + c y, y' = b x + d y, quarter turns and mirroring."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # there is side data of a kind that PyAV does not know
        turn = np.radians(frame.rotation)
        return np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)
    return (1, 0, 0, 1) if matrix is None else np.frombuffer(matrix, np.int32)[[0, 1, 3, 4]]


def _upright(image, a, b, c, d):
    """The image turned and mirrored by its display matrix."""
    if abs(b) > abs(a):
        image, a, d = image.swapaxes(0, 1), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def decode(path, height=None, width=None, pixels="rgb24"):
    """Yield (frame uint8, its time in seconds or None, native frames a second), area-averaged to height x width.

    Damaged packets are skipped with a warning. ValueError if most are, if `path` is no video, or its frames smaller.
    """
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or 25)
        packets, count, faults = container.demux(stream), 0, 0
        while True:
            try:
                if (packet := next(packets, None)) is None:  # also after an error of the container, which ends it
                    break
                frames = packet.decode()
            except av.FFmpegError as error:
                if error.errno in SCARCE:
                    raise
                faults += 1
                continue
            for frame in frames:
                # Each frame has a size of its own: the container need not know it, and it may change.
                fits = not height or (frame.height >= height and frame.width >= width)
                sizes = f"{frame.width} x {frame.height} pixels, smaller than the {width} x {height} needed"
                require(fits, f"{path} is {sizes}; use a larger video or fewer --tiles")
                if count == 0:  # a frame whose side data was read stays in memory for a while
                    matrix = _display_matrix(frame)
                image = frame.reformat(width, height, format=pixels, interpolation="AREA").to_ndarray()
                yield _upright(image, *matrix), frame.time, rate
                count += 1
        require(faults <= count, f"{path} is damaged: {faults} packets cannot be decoded; remove it or convert it")
        if faults:
            warnings.warn(f"{path} is damaged: {faults} of its packets were skipped", stacklevel=3)


def _held(times, new, rate, fps):
    """Times (T,) in s, which frames are no repeats (T,) -> for how many native frames each of these is shown, the rate.

    1 each, unless the rate varies: then each is shown until the next one comes, but for one step of `fps` at most.
    """
    gaps = np.nan_to_num(np.diff(times), nan=1 / rate)  # unknown times are NaN
    inner = np.cumsum(gaps)[:-1] * rate  # the first and the last frame of a file are often early or late
    step = min(native_step(rate, fps), max(1, len(inner) - 1))
    even = (np.abs(inner[step:] - inner[:-step] - step) < 0.5).all()
    if even or gaps.min() < 0 or gaps.max() == 0:  # backwards: times of coding, not of showing
        return np.ones(new.sum()), rate
    rate = float(1 / np.median(gaps[gaps > 0]))
    begin = np.append(0, np.cumsum(gaps))[new] * rate
    return np.append(np.diff(begin).clip(0, native_step(rate, fps)), 1), rate


def read_frames(path, tiles=1, fps=6.0):
    """A video -> frames (T, 32 tiles, 32 tiles, 3) uint8 without exact repeats, native frames a second.

    A film of variable rate is brought to its median rate: frames are repeated, or left out.
    """
    frames, times, new, rate, side = [], [], [], 25.0, SIZE * tiles
    for frame, time, rate in decode(path, side, side):  # noqa: B007, the last rate is the video's
        new.append(not frames or not np.array_equal(frame, frames[-1]))
        times.append(time)
        if new[-1]:
            frames.append(frame)
    frames = np.array(frames, np.uint8).reshape(-1, side, side, 3)
    held, rate = _held(np.array(times, float), np.array(new, bool), rate, fps)
    ends = np.cumsum(held)
    return frames[np.searchsorted(ends, np.arange(round(ends.max(initial=0))) + 0.5)], rate


def choose_tiles(paths):
    """Windows a side of each film: 4 if all last under two minutes together, 2 under an hour, else 1; or what fits."""
    seconds, sides = 0.0, []
    for path in paths:
        try:
            with _opened(path) as (container, stream):
                seconds += container.duration / av.time_base if container.duration else np.inf
                sides.append(min(stream.width, stream.height))
        except ValueError:
            sides.append(SIZE)  # load_scenes will name the file
    most = 4 if seconds < 120 else 2 if seconds < 3600 else 1
    return [max(1, min(most, side // SIZE)) for side in sides]


def read_each(paths, read):
    """[read(path, name) of each film]; name: of the file, or the whole path where two files have one name.

    Copies of a file, and what `read` refuses, are left out with a warning. ValueError if nothing could be read.
    """
    paths = [Path(path) for path in paths]
    count = Counter(path.name for path in paths)
    first, faults, results = {}, [], []
    for path in bar(paths, "decoding", unit="video"):
        name = path.name if count[path.name] == 1 else path.as_posix()
        try:
            with _opened(path), open(path, "rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            require(content not in first, f"{path} is a copy of {first.get(content)}; left out")
            first[content] = path
            results.append(read(path, name))
        except ValueError as error:
            faults.append(str(error))
    if not results:
        raise ValueError(faults[0] if len(paths) == 1 else f"none of {len(paths)} videos could be used: {faults[0]}")
    for fault in faults:
        warnings.warn(fault, stacklevel=3)
    return results


def load_scenes(paths, fps=6.0, tiles=1):
    """Every video of `paths` -> Scenes. tiles: windows a side of every film; None: as choose_tiles says.

    What cannot be used is left out with a warning. ValueError if nothing remains.
    """
    require(0 < fps < np.inf, f"frames a second must be a number above 0, not {fps:g}; give --fps 6, for example")
    chosen = dict(zip(map(Path, paths), [tiles] * len(paths) if tiles else choose_tiles(paths), strict=True))

    def read(path, name):
        side = chosen[path]
        scenes = cut_scenes(*read_frames(path, side, fps), name, fps, side, sources.place(path))
        what = f"{path} holds no scene of 2 frames at {fps:g} a second"
        require(scenes, f"{what}, or what it shows is still or blank; give a longer video, or a higher --fps")
        return scenes

    return [scene for scenes in read_each(paths, read) for scene in scenes]
