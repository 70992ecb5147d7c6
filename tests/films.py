"""Films with known content, written with PyAV for the tests of everything that reads video."""

import struct
from fractions import Fraction

import av
import numpy as np
from av.stream import Disposition


def write_film(path, frames, rate=12, codec="ffv1", pixels="bgr0", times=None, **options):
    """frames (T, H, W, 3) uint8 -> a video file; ffv1 in .mkv keeps every bit. `times` (T,) in ms, or even. -> path"""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = int(times[i]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def set_display_matrix(path, a, b, c, d):
    """Let an .mp4 be shown with pixel (x, y) at (a x + c y, b x + d y), up to a shift."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def write_with_cover(path, frames=None):
    """A film, or silence, in an .mp4 whose first stream is its cover, as shops and music players write it. -> path"""
    cover = np.full((64, 64, 3), 200, np.uint8)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mjpeg", height=64, width=64, pix_fmt="yuvj420p")
        picture.disposition = Disposition.attached_pic.value
        if frames is None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 882), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 44100
            stream, data = container.add_stream("aac", rate=44100), [silence]
        else:
            height, width = frames.shape[1:3]
            stream = container.add_stream("libx264", rate=12, height=height, width=width, pix_fmt="yuv420p")
            data = [av.VideoFrame.from_ndarray(pixels, format="rgb24") for pixels in frames]
        for to, some in ((picture, [av.VideoFrame.from_ndarray(cover, format="rgb24")]), (stream, data)):
            for frame in [*some, None]:
                container.mux(to.encode(frame))
    # FFmpeg writes the cover (udta) behind the film (trak); others do not.
    data = path.read_bytes()
    trak, udta = data.rindex(b"trak") - 4, data.rindex(b"udta") - 4
    path.write_bytes(data[:trak] + data[udta:] + data[trak:udta])
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
