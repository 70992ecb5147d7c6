"""Whitening as parameters of a row: of the film, or of the labelled images; and whitened pixels as a code."""

from slowae.backend import to_device
from slowae.blocks import in_blocks
from slowae.data import whitening


def whitened(params, frames):
    """ZCA: frames -> whitened frames (N, 32, 32, 3) float32, by "mean" and "matrix" of params."""
    return in_blocks(whitening.Whitening(to_device(params["mean"]), to_device(params["matrix"])), frames)


def fit_zca(data, config, run):
    """The whitening that all layers see their frames through."""
    return {"mean": data.whiten.mean, "matrix": data.whiten.matrix}


def fit_zca_own(data, config, run):
    """The whitening of the labelled images in place of the film's."""
    own = whitening.kept_whitening(run.out, data.images()[0], data.whiten.epsilon, run.resume)
    return {"mean": own.mean, "matrix": own.matrix}
