"""Slow Feature Analysis (Wiskott & Sejnowski 2002): the slowest quadratic functions of a frame, in closed form.

Minimise <(y_j - y'_j)^2> over pairs of adjacent frames with <y_j> = 0, <y_j^2> = 1, <y_i y_j> = 0 over all frames:
unit variance keeps y from being constant, decorrelation keeps its entries from being equal. Learning is float64, over
blocks of frames, on the host; encoding is float32, on the chosen backend.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from slowae.backend import array_module, to_device
from slowae.blocks import in_blocks
from slowae.checks import require
from slowae.data.whitening import covariance, sphere

BLOCK = 2000  # frames that are expanded at once


@dataclass(frozen=True)
class Config:
    """axes: principal axes that are expanded. features: at most. least: directions of less variance, as a share of the
    largest, are dropped, or whitening would make signals of noise."""

    axes: int = 32
    features: int = 256
    least: float = 1e-6


def expand(u):
    """[u_i, u_i u_j (i <= j)]: u (N, d) -> (N, d + d (d + 1) / 2)."""
    return array_module(u).concatenate([u, *(u[:, i : i + 1] * u[:, i:] for i in range(u.shape[1]))], axis=1)


def _mean(rows, count):
    return sum(rows(slice(i, i + BLOCK)).sum(0) for i in range(0, count, BLOCK)) / count


def learn(x, pairs, config):
    """x (N, D) of any type, pairs (P, 2) of indices of adjacent rows -> params of `features`, and "slowness" (K,).

    The largest weight of each feature is positive. ValueError without pairs, or if x is constant.
    """
    require(len(pairs) > 0, "slow features need pairs of adjacent frames, and there are none")
    count = len(x)
    mean = _mean(lambda b: x[b].astype(float), count)
    axes = sphere(covariance(lambda b: x[b] - mean, count, BLOCK), config.axes, config.least)

    def expanded(index):
        return expand((x[index] - mean) @ axes)

    centre = _mean(expanded, count)
    white = sphere(covariance(lambda b: expanded(b) - centre, count, BLOCK), len(centre), config.least)

    def moved(b):
        return (expanded(pairs[b, 0]) - expanded(pairs[b, 1])) @ white

    last = min(config.features, white.shape[1]) - 1
    slowness, R = eigh(covariance(moved, len(pairs), BLOCK), subset_by_index=(0, last))
    weights = white @ R
    weights *= np.sign(weights[np.abs(weights).argmax(0), np.arange(last + 1)])
    return {"mean": mean, "axes": axes, "centre": centre, "slowness": slowness, "weights": weights}


def features(params, x):
    """x (N, D) -> y (N, K), slowest first: of mean 0 and covariance I over the frames of `learn`."""
    return (expand((x - params["mean"]) @ params["axes"]) - params["centre"]) @ params["weights"]


def filters(params, count):
    """Each feature is a sum of filters' energies, y = c + l . x + sum_j s_j (v_j . x)^2 -> its `count` v_j of largest
    |s_j| (D, K count), strongest first, of unit norm on the principal axes."""
    axes, strongest = params["axes"], []
    for weights in params["weights"].T:
        form = np.zeros((axes.shape[1], axes.shape[1]))
        form[np.triu_indices_from(form)] = weights[len(form) :]
        strength, V = np.linalg.eigh(form + form.T)
        strongest.append(V[:, np.argsort(-np.abs(strength), kind="stable")[:count]])
    return axes @ np.concatenate(strongest, axis=1)


def fit(data, config, run):
    """SFA of whole frames."""

    def make():
        learned = learn(data.frames.reshape(len(data.frames), -1), data.pairs, config)
        return {name: value.astype(np.float32) for name, value in learned.items()}

    return run.cached(make)


def encode(params, frames):
    """frames (N, 32, 32, 3) uint8 -> y (N, K) float32."""
    params = to_device(params)
    return in_blocks(lambda x: features(params, x.reshape(len(x), -1)), frames)


def describe(params, frames):
    """How many numbers were learned."""
    return {"learned": sum(params[name].size for name in ("mean", "axes", "centre", "weights"))}
