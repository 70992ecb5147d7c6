"""What a ranking of frames is worth: precision and recall, the paper's area, average precision, the bootstrap.

Every measure is cut at k = 40. The paper's area under mean precision over mean recall has no anchor at recall 0: the
first neighbour counts nothing, and perfect retrieval scores below 1. Mean average precision, the mean over queries of
sum_k hit_k P_k / min(n - 1, 40), "map", has neither fault.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from slowae.checks import require

K = 40
MEASURES = "map", "auc"
ENOUGH = 8  # groups: from fewer, the bootstrap's intervals are far too narrow


def area(precision, recall):
    """Trapezoid under precision over recall, both (..., k) -> (...): the paper's temporal coherence."""
    return np.trapezoid(precision, recall, axis=-1)


def share_ties(sizes, right):
    """Sets of tied frames, nearest first: m frames each, r of them right -> expected found_k and hit_k found_k, (K,).

    In a random order of its set, the j-th frame is right with probability r / m; before it stand those of nearer sets
    and an expected (j - 1) (r - 1) / (m - 1) of its own (McSherry and Najork 2008). Sets of one frame give the counts
    themselves. Fewer than K frames: the gallery ends, and found_k stays.
    """
    member = np.repeat(np.arange(len(sizes)), sizes)[:K]
    m, r = sizes[member], right[member]
    j = np.arange(len(member)) - (np.cumsum(sizes) - sizes)[member]  # from 0
    before = (np.cumsum(right) - right)[member]
    hit = r / m
    missing = K - len(member)
    found = np.pad(before + (j + 1) * hit, (0, missing), mode="edge")
    return found, np.pad(hit * (1 + before + j * (r - 1) / np.maximum(m - 1, 1)), (0, missing))


@lru_cache(maxsize=1)  # rows and measures of one task ask for the same
def _drawn(groups, draws, seed):
    """How often each group was drawn, of as many as there are, in each drawing (draws, groups)."""
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), draws)


class Retrieval(NamedTuple):
    """found (Q, K): relevant frames among the k nearest, cumulative; group (Q,): what the bootstrap resamples.

    relevant (Q,): how many relevant frames the gallery holds. None where they outnumber k by far, as the images of a
    class do: recall is then k / 40. gain (Q, K): hit_k found_k, which only tied frames make other than found says.
    """

    found: np.ndarray
    relevant: np.ndarray | None
    group: np.ndarray
    gain: np.ndarray | None = None

    def curves(self, weights=None):
        """P_k, R_k, means over queries (K,), or with weights (..., Q)."""
        weights = np.ones(len(self.found)) if weights is None else weights
        weights = weights / weights.sum(-1, keepdims=True)
        k = np.arange(1, self.found.shape[1] + 1)
        precision = weights @ (self.found / k)
        if self.relevant is None:
            return precision, np.broadcast_to(k / K, precision.shape)
        return precision, weights @ (self.found / self.relevant[:, None])

    @property
    def average_precision(self):
        """AP of each query (Q,)."""
        gain = np.diff(self.found, axis=1, prepend=0) * self.found if self.gain is None else self.gain
        k = np.arange(1, self.found.shape[1] + 1)
        return (gain / k).sum(1) / (K if self.relevant is None else np.minimum(self.relevant, K))

    def measure(self, name, weights=None):
        """One of MEASURES; with weights (..., Q) of each drawing."""
        require(name in MEASURES, f"the measure must be one of {', '.join(MEASURES)}, not {name!r}")
        weights = np.ones(len(self.found)) if weights is None else weights
        if name == "auc":
            return area(*self.curves(weights))
        return weights @ self.average_precision / weights.sum(-1)

    @property
    def groups(self):
        """How many groups there are to resample."""
        return len(np.unique(self.group))

    def bootstrap(self, name, draws=2000, seed=0):
        """The measure in `draws` resamplings of the groups (draws,): for one seed the same groups, so that differences
        of two retrievals of the same queries are those of pairs."""
        groups, member = np.unique(self.group, return_inverse=True)
        return self.measure(name, _drawn(len(groups), draws, seed)[:, member].astype(float))

    def only(self, queries):
        """The same of some queries, (n,) indices."""
        return Retrieval(*(values if values is None else values[queries] for values in self))


def join(retrievals):
    """The Retrievals of several folds -> one of all their queries."""
    return Retrieval(*(None if parts[0] is None else np.concatenate(parts) for parts in zip(*retrievals, strict=True)))


def interval(draws, groups):
    """The middle 95 % of the drawings [low, high]; [None, None] for fewer than ENOUGH groups."""
    return np.percentile(draws, [2.5, 97.5]).tolist() if groups >= ENOUGH else [None, None]
