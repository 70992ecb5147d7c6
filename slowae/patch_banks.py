"""What learns slowly from the patches of Figure 2, as groups of filters: Eq. 2, SFA, slow subspaces, unitary pairs."""

from functools import partial
from typing import NamedTuple

import numpy as np

from slowae import files, layers, measures, model, optim, table
from slowae.backend import to_device, to_host
from slowae.data import patches
from slowae.data.film_patches import SIDE
from slowae.methods import sfa, subspace, unitary

GROUP, SHOWN = 4, 128  # filters in a group of all but the pairs, and in a picture
OTHERS = {"sfa": "SFA", "subspace": "subspaces", "unitary": "unitary"}


class Bank(NamedTuple):
    """Filters W (D, K) in groups of `group`, slowest first; codes z (2N, K / group) of pairs; all on the host."""

    W: np.ndarray
    group: int
    z: np.ndarray


def slowest_first(W, group, z):
    """Filters, how many stand in a group, and the codes of pairs -> Bank."""
    order = np.argsort(measures.group_slowness(z), kind="stable")
    return Bank(W.reshape(len(W), -1, group)[:, order].reshape(W.shape), group, z[:, order])


def of_eq2(params, x, config):
    """The atoms of Eq. 2 and their codes of pairs x (2N, D) -> Bank."""
    return slowest_first(params["W_d"], config.group, to_host(model.encode(to_device(params), x, config)))


def learn_eq2(name, start, x, config, run):
    """Eq. 2 from the parameters `start`, on pairs x (2, P, D) -> params."""
    depends = {"config": config, "start": files.checksum(start), "x": files.checksum(to_host(x))}
    return run.named(name, depends).train(
        lambda params, batch, done: model.loss_and_gradients(params, batch, config),
        lambda rng: start,
        patches.batches(x, run.batch),
        project=partial(optim.project, kappa=config.kappa),
    )


def learn_others(x, tested, run):
    """Whitened pairs x (2, P, D), tested ones (2N, D) -> {name: Bank} of OTHERS."""
    x, tested, P = to_host(x), to_host(tested), x.shape[1]
    slow = sfa.learn(x.reshape(2 * P, -1), np.arange(2 * P).reshape(2, P).T, sfa.Config(features=SHOWN // GROUP))
    banks = {"sfa": Bank(sfa.filters(slow, GROUP), GROUP, sfa.features(slow, tested))}
    for name, method in (("subspace", subspace), ("unitary", unitary)):
        config = method.Config()
        depends = {"config": config, "x": files.checksum(x), "filters": SHOWN}
        W = method.learn(x, SHOWN, config, run.named(name, depends))
        banks[name] = slowest_first(W, config.group, layers.l2_pool_forward(tested @ W, config.group)[0])
    return banks


def judge(bank, seed):
    """The bank's numbers for results.json."""
    units, delta = measures.measure(bank.W.reshape(SIDE, SIDE, -1), bank.group), measures.delta(bank.z)
    return {
        "coherence": measures.coherence(units, np.random.default_rng(seed), bank.group),
        "area": float(units["area"].mean()),
        "delta": float(delta[np.isfinite(delta)].mean()),
    }


def text(results):
    """{name: numbers of `judge`, and for Eq. 2 a "test" of model.statistics} -> a table with a column for each."""
    titles = {"alpha0": "alpha = 0", "sparse": "alpha > 0", **OTHERS}
    watched = {"slowness": "mean change / mean z", "reconstruction": "error / variance", "active": "active units",
               "dead": "silent units"}  # fmt: skip
    looks = [f"{quantity}, within / regrouped" for quantity in results["alpha0"]["coherence"]]
    columns = [["", *looks, "effective area, pixels", "slowness, <(z - z')^2> / var z", *watched.values()]]
    for name, numbers in results.items():
        values = [spread["ratio"] for spread in numbers["coherence"].values()] + [numbers["area"], numbers["delta"]]
        values += [numbers.get("test", {}).get(key) for key in watched]
        columns.append([titles[name], *map(table.number, values)])
    return table.markdown(columns)
