"""What a representation is worth: nearest neighbours, precision and recall, the temporal coherence of Section 5.

Query: the middle frame of each scene. Gallery: all other frames. Similarity: cosine. P_k and R_k are means over
queries, and the area under the curve is the trapezoid over k = 1..40, with no anchor at recall 0: perfect retrieval
does not score 1, so the oracle and chance are reported beside it.
"""

from dataclasses import dataclass

import numpy as np

from slowae.backend import array_module, map_blocks, require, to_device, to_host

K = 40


def unit_rows(codes):
    """codes (N, ...) -> (N, D) with |row| = 1; a zero code stays zero, so its similarity to all is 0."""
    flat = codes.reshape(len(codes), -1)
    norm = array_module(codes).sqrt((flat * flat).sum(1, keepdims=True))
    return flat / (norm + (norm == 0))


def _nearest(distance, k):
    """distance (Q, G) -> the columns of the k smallest of each row, nearest first, ties by column (Q, k)."""
    xp = array_module(distance)
    kth = xp.partition(distance, k - 1, axis=1)[:, k - 1 : k]
    near = distance <= kth
    if near.sum() > k * len(near):  # only with ties
        near, tied = distance < kth, distance == kth
        near |= tied & (tied.cumsum(1) <= k - near.sum(1, keepdims=True))
    columns = near.nonzero()[1].reshape(-1, k)
    order = xp.argsort(xp.take_along_axis(distance, columns, 1), axis=1, kind="stable")
    return xp.take_along_axis(columns, order, 1)


def neighbours(queries, gallery, k=K, exclude=None, block=None, progress=iter):
    """The k nearest by cosine: queries (Q, ...), gallery (G, ...) -> indices (Q, k), nearest first, ties by index.

    exclude (Q,): for each query one index of the gallery, itself, that cannot be its neighbour.
    In blocks of `block` x `block` similarities (1024 on the host, 8192 on a GPU) with a running top k: little memory.
    progress: what wraps the list of gallery blocks, say tqdm.
    ValueError if k is more than the gallery offers, or codes hold NaN or Inf.
    """
    offered = len(gallery) - (exclude is not None)
    require(1 <= k <= offered, f"{k} neighbours were asked of a gallery of {offered}")
    xp = array_module(gallery)
    block = block or (1024 if xp is np else 8192)

    def rows(name, codes):
        require(bool(xp.isfinite(codes).all()), f"the {name} codes hold NaN or Inf")
        return unit_rows(codes)

    queries, Q = rows("query", queries), range(0, len(queries), block)
    best = [(queries[q : q + block, :0], xp.zeros((len(queries[q : q + block]), 0), np.int64)) for q in Q]
    for start in progress(range(0, len(gallery), block)):
        part = rows("gallery", gallery[start : start + block])

        def closer(found, start=start, part=part):
            q, kept = found
            distance = -(queries[q : q + block] @ part.T)
            index = xp.broadcast_to(start + xp.arange(len(part)), distance.shape)
            if exclude is not None:
                distance[index == exclude[q : q + block, None]] = xp.inf
            # What was found before stands first: its indices are lower, so ties still go by index.
            distance, index = (xp.concatenate(pair, 1) for pair in zip(kept, (distance, index), strict=True))
            columns = _nearest(distance, min(k, distance.shape[1]))
            return xp.take_along_axis(distance, columns, 1), xp.take_along_axis(index, columns, 1)

        best = map_blocks(closer, zip(Q, best, strict=True))
    return xp.concatenate([index for _, index in best])


def area(precision, recall):
    """Trapezoid under precision over recall, both (..., k) -> (...)."""
    return ((recall[..., 1:] - recall[..., :-1]) * (precision[..., 1:] + precision[..., :-1])).sum(-1) / 2


@dataclass(frozen=True)
class Retrieval:
    """found (Q, k): relevant frames among the k nearest, cumulative; group (Q,), what the bootstrap resamples.

    relevant (Q,): how many there are to find. None where they outnumber k by far, as the images of a class do: recall
    is then k / 40.
    """

    found: np.ndarray
    relevant: np.ndarray | None
    group: np.ndarray

    @property
    def precision(self):
        """P_k, mean over queries (k,)."""
        return self._curves(np.ones(len(self.found)))[0]

    @property
    def recall(self):
        """R_k, mean over queries (k,)."""
        return self._curves(np.ones(len(self.found)))[1]

    @property
    def auc(self):
        """The temporal coherence of the metric."""
        return float(area(self.precision, self.recall))

    def _curves(self, weights):
        """weights (..., Q) -> P_k, R_k (..., k)."""
        weights = weights / weights.sum(-1, keepdims=True)
        k = np.arange(1, self.found.shape[1] + 1)
        precision = weights @ (self.found / k)
        if self.relevant is None:
            return precision, np.broadcast_to(k / K, precision.shape)
        return precision, weights @ (self.found / self.relevant[:, None])

    def bootstrap(self, seed=0, draws=2000):
        """AUC of `draws` resamplings of the groups (draws,). The same seed resamples alike, so differences pair up."""
        groups, member = np.unique(self.group, return_inverse=True)
        counts = np.random.default_rng(seed).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), draws)
        return area(*self._curves(counts[:, member].astype(float)))


def middle_frames(scene):
    """scene (N,), the scene number of each frame, in runs -> the index of each scene's middle frame, n // 2."""
    _, first, count = np.unique(scene, return_index=True, return_counts=True)
    return first + count // 2


def temporal_retrieval(codes, scene, group=None):
    """codes (N, ...), scene (N,), group (N,) the video of each frame, for the bootstrap -> Retrieval."""
    require(len(codes) == len(scene), f"{len(codes)} codes, but {len(scene)} scene numbers")
    queries = middle_frames(scene)
    codes = to_device(codes)
    indices = to_host(neighbours(codes[queries], codes, min(K, len(codes) - 1), to_device(queries)))
    return _score(scene[indices] == scene[queries, None], queries, scene, group)


def class_retrieval(queries, labels, gallery, gallery_labels, progress=iter):
    """Codes and labels (Q, ...), (Q,) and (G, ...), (G,) -> Retrieval: right is what has the query's label."""
    require(len(queries) == len(labels), f"{len(queries)} queries, but {len(labels)} labels")
    require(len(gallery) == len(gallery_labels), f"a gallery of {len(gallery)}, but {len(gallery_labels)} labels")
    found = to_host(neighbours(to_device(queries), to_device(gallery), progress=progress))
    return Retrieval((gallery_labels[found] == labels[:, None]).cumsum(1), None, np.arange(len(labels)))


def _score(hits, queries, scene, group):
    relevant = np.bincount(scene)[scene[queries]] - 1
    require(relevant.min() >= 1, "every scene needs at least two frames")
    group = scene if group is None else group
    return Retrieval(hits.cumsum(1), relevant, group[queries])


def oracle_retrieval(scene, group=None):
    """The best that any metric can do: every frame of the query's scene comes first."""
    queries = middle_frames(scene)
    relevant = np.bincount(scene)[scene[queries]] - 1
    return _score(np.arange(min(K, len(scene) - 1)) < relevant[:, None], queries, scene, group)


def compare(retrievals, oracle, draws=2000):
    """{name: Retrieval}, the oracle's -> {name: what tables say}, 95 % intervals by resampling.

    The AUC; its ratio to that of "pixels"; its share of the way from pixels to the oracle, None where pixels are
    perfect; how far it is above the others.
    """
    drawn = {name: retrieval.bootstrap(draws=draws) for name, retrieval in retrievals.items()}
    start, end = retrievals["pixels"].auc, oracle.auc
    starts, ends = drawn["pixels"], oracle.bootstrap(draws=draws)

    left = np.where(ends > starts, ends - starts, np.nan)  # of the way; a drawing that pixels solve says nothing

    def interval(values):
        return np.percentile(values, [2.5, 97.5]).tolist()

    return {
        name: {
            "auc": retrieval.auc,
            "auc_95": interval(drawn[name]),
            "ratio": retrieval.auc / start,
            "ratio_95": interval(drawn[name] / starts),
            "way": (retrieval.auc - start) / (end - start) if end > start else None,
            "way_95": interval(((drawn[name] - starts) / left)[left > 0]) if end > start else None,
            "above_95": {other: interval(drawn[name] - values) for other, values in drawn.items()},
            "precision": retrieval.precision.tolist(),
            "recall": retrieval.recall.tolist(),
        }
        for name, retrieval in retrievals.items()
    }


def chance_auc(scene):
    """The expected AUC of a random order: P_k = (n - 1) / G, R_k = k / G, for a gallery of G = N - 1 frames."""
    queries, gallery = middle_frames(scene), len(scene) - 1
    k = np.arange(1, min(K, gallery) + 1)
    precision = np.broadcast_to((np.bincount(scene)[scene[queries]] - 1).mean() / gallery, k.shape)
    return float(area(precision, k / gallery))


def colour_histogram(frames, bins=8):
    """frames (N, H, W, 3) uint8 -> the joint histogram of red, green and blue (N, bins^3), float32."""
    level = frames.astype(np.int64) * bins // 256
    index = (level[..., 0] * bins + level[..., 1]) * bins + level[..., 2]
    return np.stack([np.bincount(i.ravel(), minlength=bins**3) for i in index]).astype(np.float32)


def filter_similarity(W):
    """W (F, F, C, K) -> (K, K): the cosine of each two filters after the best shift, colours together."""
    F = W.shape[0]
    spectrum = np.fft.rfft2(W, (2 * F - 1, 2 * F - 1), axes=(0, 1))
    cross = np.einsum("yxci,yxcj->yxij", spectrum, spectrum.conj())
    best = np.fft.irfft2(cross, (2 * F - 1, 2 * F - 1), axes=(0, 1)).max((0, 1))
    norm = np.sqrt(np.diag(best))
    norm = norm + (norm == 0)
    return best / norm / norm[:, None]


def group_similarity(W, group):
    """Mean filter_similarity of filters pooled together, and of filters that are not (what regrouping would give)."""
    similarity, member = filter_similarity(W), np.arange(W.shape[-1]) // group
    same = member == member[:, None]
    return float(similarity[same & ~np.eye(len(same), dtype=bool)].mean()), float(similarity[~same].mean())
