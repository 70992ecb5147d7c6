"""The rows that no claim may do without: pixels, whitened pixels, colours. They learn nothing, or next to nothing."""

from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

from slowae import files, retrieval
from slowae.backend import require, to_device, to_host
from slowae.data import scenes
from slowae.data.whitening import Whitening, fit_whitening, kept_whitening, principal_axes, whitening

EPSILONS = 0.1, 1.0, 10.0, 100.0


def nothing(data, config, run):
    """Nothing to learn."""
    return {}


def in_blocks(code, frames, block=1000):
    """code(frames on the chosen backend) -> codes there: applied to any number of frames, from host to host."""
    return np.concatenate([to_host(code(to_device(frames[i : i + block]))) for i in range(0, len(frames), block)])


def pixels(params, frames):
    """Frames as they are (N, 32, 32, 3) uint8 -> float32."""
    return frames.astype(np.float32)


def centred(z):
    """Codes (N, ...) -> the same, each one's own mean taken away."""
    return z - z.mean(tuple(range(1, z.ndim)), keepdims=True)


def pixels_centred(params, frames):
    """pixels, each frame's own mean taken away."""
    return centred(pixels(params, frames))


def colour_histogram(params, frames, bins=8):
    """frames (N, H, W, 3) uint8 -> the joint histogram of red, green and blue (N, bins^3), float32."""
    level = frames.astype(np.int64) * bins // 256
    index = (level[..., 0] * bins + level[..., 1]) * bins + level[..., 2]
    return np.stack([np.bincount(i.ravel(), minlength=bins**3) for i in index]).astype(np.float32)


def whitened(params, frames):
    """ZCA: frames -> whitened frames (N, 32, 32, 3) float32, by "mean" and "matrix" of params."""
    return in_blocks(Whitening(to_device(params["mean"]), to_device(params["matrix"])), frames)


def fit_zca(data, config, run):
    """The whitening that all layers see their frames through."""
    return {"mean": data.whiten.mean, "matrix": data.whiten.matrix}


def fit_zca_own(data, config, run):
    """The whitening of the labelled images in place of the film's."""
    images, epsilon = data.images()[0], data.whiten.epsilon
    own = kept_whitening(run.out, images, epsilon) if run.out else fit_whitening(images, epsilon)
    return {"mean": own.mean, "matrix": own.matrix}


@dataclass(frozen=True)
class Tuning:
    """Choose what is best by this measure on validation data: "temporal_map", "temporal_auc" or "class_auc"."""

    measure: str = "temporal_map"


def validate(encode, data):
    """encode(frames) -> what settings are chosen by: on the validation scenes, and among the labelled images, if any.

    Of the images the first fifth is the gallery, and the last fiftieth asks.
    """
    frames, scene = scenes.retrieval_frames(data.validation)
    found = {"temporal": retrieval.temporal_retrieval(encode(frames), scene)}
    if data.labelled:
        images, labels = data.labelled
        part, asked = len(images) // 5, len(images) - len(images) // 50
        found["class"] = retrieval.class_retrieval(
            encode(images[asked:]), labels[asked:], encode(images[:part]), labels[:part]
        )
    return {f"{task}_{name}": float(r.measure(name)) for task, r in found.items() for name in ("auc", "map")}


def fit_zca_tuned(data, config, run):
    """The whitening epsilon, with or without each code's own mean, that makes the best of ZCA pixels."""
    require(len(data.validation) > 0, "tuning needs validation scenes, and there are none")
    if config.measure.startswith("class"):
        data.images()
    else:
        data = data._replace(labelled=None)  # whose neighbours nobody asks for

    def candidates():
        axes = principal_axes(data.frames)
        for epsilon, centre in product(EPSILONS, (0.0, 1.0)):
            white, chosen = whitening(*axes, epsilon), {"centre": np.array(centre), "epsilon": np.array(epsilon)}
            yield {"mean": white.mean, "matrix": white.matrix, **chosen}

    def score(params):
        return validate(lambda frames: tuned(params, frames), data)[config.measure]

    images = files.checksum(dict(enumerate(data.labelled))) if data.labelled else None
    return run.kept(
        {"config": asdict(config), "data": data.checksum, "images": images}, lambda: max(candidates(), key=score)
    )


def tuned(params, frames):
    """whitened, with each code's own mean taken away where that was chosen."""
    z = whitened(params, frames)
    return centred(z) if params["centre"] else z
