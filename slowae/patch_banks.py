"""What learns slowly from the patches of Figure 2, as groups of filters: Eq. 2, SFA, slow subspaces, unitary pairs."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from slowae import layers, measures, model
from slowae.backend import to_device, to_host
from slowae.data.film_patches import SIDE
from slowae.methods import Run, sfa, subspace, unitary

GROUP, SHOWN = 4, 128  # filters in a group of all but the pairs, and in a picture
TITLES = {"sfa": "SFA", "subspace": "subspaces", "unitary": "unitary"}


class Bank(NamedTuple):
    """Filters W (D, K) in groups of `group`, slowest first; codes z (2N, K / group) of pairs; all host's."""

    W: np.ndarray
    group: int
    z: np.ndarray


def slowest_first(bank):
    """The same bank, its groups in order of their slowness."""
    order = np.argsort(measures.group_slowness(bank.z), kind="stable")
    W = bank.W.reshape(len(bank.W), -1, bank.group)[:, order]
    return Bank(W.reshape(bank.W.shape), bank.group, bank.z[:, order])


def of_eq2(params, x, config):
    """The atoms of Eq. 2 and their codes of pairs x (2N, D) -> Bank."""
    z = to_host(model.encode(to_device(params), x, config))
    return slowest_first(Bank(params["W_d"], config.group, z))


def of_filters(W, group, x):
    """Linear filters and their energy in groups, of pairs x (2N, D) -> Bank."""
    return slowest_first(Bank(W, group, layers.l2_pool_forward(x @ W, group)[0]))


def of_sfa(params, x):
    """The strongest filters of each feature's quadratic form, and the features -> Bank."""
    return Bank(sfa.filters(params, GROUP), GROUP, sfa.features(params, x))


def mosaic(bank):
    """The first filters of a bank, (SIDE, SIDE, 1, SHOWN)."""
    return bank.W[:, :SHOWN].reshape(SIDE, SIDE, 1, -1)


def learn(x, tested, args):
    """Whitened pairs x (2, P, D), tested ones (2N, D) -> {name: Bank}; what descends is kept in --out."""
    x, tested, P = to_host(x), to_host(tested), x.shape[1]
    run = Run(steps=args.steps, seed=args.seed, out=args.out / "cache", resume=args.resume)
    pairs = np.stack([np.arange(P), P + np.arange(P)], axis=1)
    slow = sfa.learn(x.reshape(2 * P, -1), pairs, sfa.Config(features=SHOWN // GROUP))
    spaces = subspace.learn(x, SHOWN, subspace.Config(), replace(run, name="subspace"))
    lengths = unitary.learn(x, SHOWN, unitary.Config(), replace(run, name="unitary"))
    return {
        "sfa": of_sfa(slow, tested),
        "subspace": of_filters(spaces, subspace.GROUP, tested),
        "unitary": of_filters(lengths, unitary.GROUP, tested),
    }
