"""What a representation is worth: nearest neighbours, precision and recall, the temporal coherence of Section 5.

Query: the middle frame of each scene. Gallery: all other frames. Similarity: cosine. The measures, each cut at k = 40.
The paper's area under mean precision over mean recall has no anchor at recall 0: what the first neighbour finds counts
nothing, and perfect retrieval does not score 1. Mean average precision, sum_k hit_k P_k / min(n - 1, 40), does:
"map" over queries, where a film of many scenes rules; "map_by_group" over the means of each film.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from slowae.backend import array_module, to_device, to_host
from slowae.blocks import map_blocks
from slowae.checks import require

K = 40
MEASURES = "map", "map_by_group", "auc"


def unit_rows(codes):
    """codes (N, ...) -> (N, D) floating, |row| = 1 at any scale; a zero code stays zero, similar to none."""
    flat = codes.reshape(len(codes), -1)
    flat = flat.astype(np.result_type(flat.dtype, np.float32), copy=False)  # others overflow if squared
    xp = array_module(flat)
    largest = xp.abs(flat).max(1, keepdims=True)
    flat = flat / (largest + (largest == 0))
    return flat / (xp.sqrt((flat * flat).sum(1, keepdims=True)) + (largest == 0))


def _nearest(distance, k):
    """distance (Q, G) -> the columns of the k smallest of each row, nearest first, ties by column (Q, k)."""
    xp = array_module(distance)
    kth = xp.partition(distance, k - 1, axis=1)[:, k - 1 : k]
    near = distance <= kth
    if xp.count_nonzero(near) > k * len(near):  # only with ties
        near, tied = distance < kth, distance == kth
        near |= tied & (tied.cumsum(1) <= k - near.sum(1, keepdims=True))
    columns = near.nonzero()[1].reshape(-1, k)
    order = xp.argsort(xp.take_along_axis(distance, columns, 1), axis=1, kind="stable")
    return xp.take_along_axis(columns, order, 1)


def neighbours(queries, gallery, k=K, exclude=None, block=None, progress=iter):
    """The k nearest by cosine: queries (Q, ...), gallery (G, ...) -> indices (Q, k), nearest first.

    Equal similarities go by index; but those of equal codes may differ in the last bit, by the order in which a product
    adds up. exclude (Q,): for each query one index of the gallery, itself. In blocks of `block` x `block` similarities
    (1024 on the host, 8192 on a GPU) with a running top k. progress wraps the list of gallery blocks, say tqdm.
    ValueError if k is more than the gallery offers, or codes hold NaN or Inf.
    """
    offered = len(gallery) - (exclude is not None)
    require(1 <= k <= offered, f"{k} neighbours were asked of a gallery of {offered}")
    require(queries.shape[1:] == gallery.shape[1:], f"queries {queries.shape} do not fit the gallery {gallery.shape}")
    if exclude is not None:
        require(len(exclude) == len(queries), f"{len(queries)} queries, but {len(exclude)} indices to exclude")
        inside = bool(((exclude >= 0) & (exclude < len(gallery))).all())
        require(inside, f"indices to exclude must lie between 0 and {len(gallery) - 1}")
    xp = array_module(gallery)
    block = block or (1024 if xp is np else 8192)

    def rows(name, codes, few=256):  # few: they stay in cache, pass after pass
        require(bool(xp.isfinite(codes).all()), f"the {name} codes hold NaN or Inf")
        return xp.concatenate(map_blocks(lambda i: unit_rows(codes[i : i + few]), range(0, len(codes), few)))

    queries, Q = -rows("query", queries), range(0, len(queries), block)  # the nearest have the smallest product
    none = xp.full_like(queries, xp.inf, shape=(len(queries), k)), xp.zeros((len(queries), k), np.int64)
    best = [[array[q : q + block] for array in none] for q in Q]
    for start in progress(range(0, len(gallery), block)):
        part = rows("gallery", gallery[start : start + block])

        def closer(found, start=start, part=part):
            q, (distance, index) = found
            # What was found before stands first: its indices are lower, so ties still go by index.
            distance = xp.concatenate([distance, queries[q : q + block] @ part.T], 1)
            if exclude is not None:
                column = exclude[q : q + block] - start + k
                here = ((column >= k) & (column < distance.shape[1])).nonzero()[0]
                distance[here, column[here]] = xp.inf
            columns = _nearest(distance, k)
            before = xp.take_along_axis(index, columns.clip(None, k - 1), 1)
            return xp.take_along_axis(distance, columns, 1), xp.where(columns < k, before, start - k + columns)

        best = map_blocks(closer, zip(Q, best, strict=True))
    return xp.concatenate([index for _, index in best])


def area(precision, recall):
    """Trapezoid under precision over recall, both (..., k) -> (...): the paper's temporal coherence."""
    return np.trapezoid(precision, recall, axis=-1)


@lru_cache(maxsize=1)  # rows and measures of one task ask for the same
def _drawn(groups, draws, seed):
    """How often each group was drawn, of as many as there are, in each drawing (draws, groups)."""
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), draws)


@dataclass(frozen=True)
class Retrieval:
    """found (Q, K): relevant frames among the k nearest, cumulative; group (Q,), what the bootstrap resamples.

    relevant (Q,): how many there are to find. None where they outnumber k by far, as the images of a class do: recall
    is then k / 40.
    """

    found: np.ndarray
    relevant: np.ndarray | None
    group: np.ndarray

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
        k = np.arange(1, self.found.shape[1] + 1)
        hit = np.diff(self.found, axis=1, prepend=0)
        return (hit * self.found / k).sum(1) / (K if self.relevant is None else np.minimum(self.relevant, K))

    def measure(self, name, weights=None):
        """One of MEASURES; with weights (..., Q) of each drawing."""
        require(name in MEASURES, f"the measure must be one of {', '.join(MEASURES)}, not {name!r}")
        if name == "auc":
            return area(*self.curves(weights))
        weights = np.ones(len(self.found)) if weights is None else weights
        if name == "map_by_group":
            _, member = np.unique(self.group, return_inverse=True)
            weights = weights / np.bincount(member)[member]
        return weights @ self.average_precision / weights.sum(-1)

    def bootstrap(self, name, draws=2000, seed=0):
        """The measure in `draws` resamplings of the groups (draws,). The same seed resamples alike, so they pair up."""
        groups, member = np.unique(self.group, return_inverse=True)
        return self.measure(name, _drawn(len(groups), draws, seed)[:, member].astype(float))


def join(retrievals):
    """The Retrievals of several folds -> one of all their queries."""
    relevant = [r.relevant for r in retrievals]
    return Retrieval(
        np.concatenate([r.found for r in retrievals]),
        None if relevant[0] is None else np.concatenate(relevant),
        np.concatenate([r.group for r in retrievals]),
    )


def middle_frames(scene):
    """scene (N,), the scene number of each frame, in runs -> the index of each scene's middle frame, n // 2."""
    _, first, count = np.unique(scene, return_index=True, return_counts=True)
    runs = 1 + np.count_nonzero(np.diff(scene))
    require(runs == len(first), f"the frames of a scene must stand together: {len(first)} scenes are in {runs} runs")
    return first + count // 2


def _relevant(scene, queries):
    """How many frames there are to find for each query (Q,)."""
    _, member, count = np.unique(scene, return_inverse=True, return_counts=True)
    relevant = count[member][queries] - 1
    require(relevant.min() >= 1, "every scene needs at least two frames")
    return relevant


def temporal_retrieval(codes, scene, group=None, distractors=None):
    """codes (N, ...), scene (N,), group (N,) the video of each frame, for the bootstrap -> Retrieval.

    distractors (M, ...): codes of other scenes' frames, which make the gallery larger.
    """
    _, scene = np.unique(scene, return_inverse=True)  # from 0 on: the number -1 is free for distractors
    require(len(codes) == len(scene) >= 2, f"{len(codes)} codes, but {len(scene)} scene numbers; 2 or more are needed")
    group = scene if group is None else np.asarray(group)
    require(len(group) == len(scene), f"{len(codes)} codes, but {len(group)} group numbers")
    queries = middle_frames(scene)
    relevant = _relevant(scene, queries)
    gallery, everyone = to_device(codes), scene
    if distractors is not None:
        gallery = to_device(np.concatenate([codes, distractors]))
        everyone = np.concatenate([scene, np.full(len(distractors), -1)])
    found = to_host(neighbours(gallery[queries], gallery, min(K, len(gallery) - 1), to_device(queries)))
    hits = (everyone[found] == scene[queries, None]).cumsum(1)
    # A gallery of fewer than K frames has been searched to its end.
    return Retrieval(np.pad(hits, ((0, 0), (0, K - hits.shape[1])), mode="edge"), relevant, group[queries])


def class_retrieval(queries, labels, gallery, gallery_labels, progress=iter):
    """Codes and labels (Q, ...), (Q,) and (G, ...), (G,) -> Retrieval: right is what has the query's label."""
    require(len(queries) == len(labels), f"{len(queries)} queries, but {len(labels)} labels")
    require(len(gallery) == len(gallery_labels), f"a gallery of {len(gallery)}, but {len(gallery_labels)} labels")
    found = to_host(neighbours(to_device(queries), to_device(gallery), progress=progress))
    return Retrieval((gallery_labels[found] == labels[:, None]).cumsum(1), None, np.arange(len(labels)))


def oracle_retrieval(scene, group=None):
    """The best that any metric can do: every frame of the query's scene comes first."""
    queries = middle_frames(scene)
    relevant = _relevant(scene, queries)
    found = np.minimum(np.arange(1, K + 1), relevant[:, None])
    return Retrieval(found, relevant, (scene if group is None else group)[queries])


def chance(scene, distractors=0):
    """What a random order of the G frames of the gallery is expected to score: {"auc", "map"} of each query (Q,).

    P_k = (n - 1) / G, R_k = k / G; a hit at k, of chance (n - 1) / G, follows (k - 1) (n - 2) / (G - 1) others.
    """
    relevant = _relevant(scene, middle_frames(scene))[:, None]
    G = len(scene) - 1 + distractors
    k = np.arange(1, min(K, G) + 1)
    P = relevant / G
    average = (P * (1 + (k - 1) * (relevant - 1) / max(1, G - 1)) / k).sum(1) / np.minimum(relevant, K)[:, 0]
    return {"auc": area(np.broadcast_to(P, (len(P), len(k))), k / G), "map": average}
