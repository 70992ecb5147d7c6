"""What learns slowly from the patches of Figure 2, as groups of filters: Eq. 2, SFA, slow subspaces, unitary pairs."""

from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from slowae import files, layers, measures, model
from slowae.backend import to_device, to_host
from slowae.data.film_patches import SIDE
from slowae.methods import sfa, subspace, unitary

GROUP, SHOWN = 4, 128  # filters in a group of all but the pairs, and in a picture
TITLES = {"sfa": "SFA", "subspace": "subspaces", "unitary": "unitary"}


class Bank(NamedTuple):
    """Filters W (D, K) in groups of `group`, slowest first; codes z (2N, K / group) of pairs; all host's."""

    W: np.ndarray
    group: int
    z: np.ndarray


def slowest_first(W, group, z):
    """Filters, how many stand in a group, and the codes of pairs -> Bank."""
    order = np.argsort(measures.group_slowness(z), kind="stable")
    ordered = W.reshape(len(W), -1, group)[:, order].reshape(W.shape)
    return Bank(ordered, group, z[:, order])


def of_eq2(params, x, config):
    """The atoms of Eq. 2 and their codes of pairs x (2N, D) -> Bank."""
    z = to_host(model.encode(to_device(params), x, config))
    return slowest_first(params["W_d"], config.group, z)


def images(W):
    """Filters (D, K) -> (SIDE, SIDE, K)."""
    return W.reshape(SIDE, SIDE, -1)


def mosaic(bank):
    """The first filters of a bank, (SIDE, SIDE, 1, SHOWN)."""
    return images(bank.W)[:, :, None, :SHOWN]


def learn(x, tested, run):
    """Whitened pairs x (2, P, D), tested ones (2N, D) -> {name: Bank}."""
    x, tested, P = to_host(x), to_host(tested), x.shape[1]
    pairs = np.stack([np.arange(P), P + np.arange(P)], axis=1)
    slow = sfa.learn(x.reshape(2 * P, -1), pairs, sfa.Config(features=SHOWN // GROUP))
    banks = {"sfa": Bank(sfa.filters(slow, GROUP), GROUP, sfa.features(slow, tested))}
    for name, method in (("subspace", subspace), ("unitary", unitary)):
        config = method.Config()
        key = {"config": asdict(config), "x": files.checksum(x), "filters": SHOWN}
        W = method.learn(x, SHOWN, config, run.named(name, key))
        z, _ = layers.l2_pool_forward(tested @ W, config.group)
        banks[name] = slowest_first(W, config.group, z)
    return banks
