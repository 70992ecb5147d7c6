"""Unitary pairs (Lies, Hafner, Bethge 2014): an orthogonal basis whose pairs of coordinates have slow or sparse length.

y = U^T x for whitened x, U^T U = I, r_k = (y_2k-1^2 + y_2k^2)^(1/2); minimise a mixture of sum_k <(r_k - r'_k)^2> and
sum_k <r_k>. Whitened x and orthogonal U fix every variance and make all coordinates differ. Some seeds end in a local
minimum, where two pairs share two waves.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from slowae import layers
from slowae.backend import array_module, to_device
from slowae.checks import require
from slowae.data import patches
from slowae.data.whitening import covariance, sphere
from slowae.methods import subspace

encode, describe = subspace.encode, subspace.describe


@dataclass(frozen=True)
class Config(subspace.Patches):
    """slowness: its weight; that of sparseness is the rest of 1."""

    slowness: float = 1.0
    group: int = field(default=2, kw_only=True)


def loss_and_gradients(params, x, config):
    """w sum_k <(r_k - r'_k)^2> + (1 - w) sum_k <r_k>, w = slowness, of x (2N, D), U (D, D) -> loss, gradient."""
    N, w = len(x) // 2, float(config.slowness)
    r, cache = layers.l2_pool_forward(x @ params["U"], config.group)
    difference = r[:N] - r[N:]
    loss = w * (difference * difference).sum() / N + (1 - w) * r.sum() / (2 * N)
    dr = 2 * w / N * array_module(r).concatenate([difference, -difference]) + (1 - w) / (2 * N)
    return loss, {"U": x.T @ layers.l2_pool_backward(dr, cache)}


def tangent(U, dU):
    """The part of dU along which U stays orthogonal, to first order: dU - U sym(U^T dU)."""
    return dU - U @ (U.T @ dU + dU.T @ U) / 2


def project(params):
    """The nearest orthogonal matrix, U's polar factor. In place."""
    P, _, Q = array_module(params["U"]).linalg.svd(params["U"])
    params["U"][...] = P @ Q


def principal_sphere(x, units):
    """Pairs of patches x (2, P, D) -> S (D, units): covariance I of x S, along the leading principal axes."""
    rows = x.reshape(-1, x.shape[2])
    S = sphere(covariance(lambda b: rows[b].astype(float), len(rows), block=5000), units, least=1e-10)
    require(S.shape[1] == units, f"these patches vary in {S.shape[1]} directions, fewer than {units}; use more of them")
    return S


def learn(x, units, config, run):
    """Pairs of whitened patches x (2, P, D) on the host, of mean 0 -> filters W = S U (D, units), by run.train."""
    S = principal_sphere(x, units)

    def loss(params, batch, done):
        value, grads = loss_and_gradients(params, batch, config)
        return value, {"U": tangent(params["U"], grads["U"])}

    learned = run.train(
        loss,
        lambda rng: {"U": np.linalg.qr(rng.standard_normal((units, units)))[0]},
        patches.batches(to_device(x @ S), config.batch),
        project=project,
        optimizer="adam",
        rate=config.rate,
    )
    return S @ learned["U"]


fit = partial(subspace.fit_filters, learn)
