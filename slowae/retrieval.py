"""Nearest neighbours by cosine, and the tasks of Section 5: frames of one scene, images of one class.

Query: the middle frame of each scene. Gallery: all other frames.
"""

import numpy as np

from slowae.backend import array_module, to_device, to_host
from slowae.blocks import map_blocks
from slowae.checks import require
from slowae.scores import K, Retrieval, area, share_ties


def unit_rows(codes):
    """codes (N, ...) -> (N, D) floating, |row| = 1 at any scale; a zero code stays zero, similar to none."""
    flat = codes.reshape(len(codes), -1).astype(np.result_type(codes.dtype, np.float32), copy=False)
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
    adds up. exclude (Q,): for each query one index of the gallery, itself. In blocks of `block` queries (256 on the
    host, 1024 on a GPU); progress wraps the list of blocks. ValueError if k is more than the gallery offers, or codes
    hold NaN or Inf.
    """
    offered = len(gallery) - (exclude is not None)
    require(1 <= k <= offered, f"{k} neighbours were asked of a gallery of {offered}")
    xp = array_module(gallery)
    block = block or (256 if xp is np else 1024)

    def rows(name, codes, few=256):  # few: they stay in cache, pass after pass
        require(bool(xp.isfinite(codes).all()), f"the {name} codes hold NaN or Inf")
        return xp.concatenate(map_blocks(lambda i: unit_rows(codes[i : i + few]), range(0, len(codes), few)))

    queries, gallery = -rows("query", queries), rows("gallery", gallery)  # the nearest have the smallest product
    nearest = []
    for start in progress(range(0, len(queries), block)):
        distance = queries[start : start + block] @ gallery.T
        if exclude is not None:
            distance[xp.arange(len(distance)), exclude[start : start + block]] = xp.inf
        nearest.append(_nearest(distance, k))
    return xp.concatenate(nearest)


def middle_frames(scene):
    """scene (N,), the scene number of each frame, in runs -> the index of each scene's middle frame, n // 2."""
    _, first, count = np.unique(scene, return_index=True, return_counts=True)
    runs = 1 + np.count_nonzero(scene[1:] != scene[:-1])
    require(runs == len(first), f"the frames of a scene must stand together: {len(first)} scenes are in {runs} runs")
    return first + count // 2


def _asked(scene):
    """scene (N,) -> the queries, and how many frames there are to find for each (Q,)."""
    relevant = np.unique(scene, return_counts=True)[1] - 1
    require(relevant.min() >= 1, "every scene needs at least two frames")
    return middle_frames(scene), relevant


def temporal_retrieval(codes, scene, group=None, distractors=None):
    """codes (N, ...), scene (N,), group (N,) the video of each frame, for the bootstrap -> Retrieval.

    Frames of equal codes share their ranks, and a query whose code is 0 ranks all frames alike: such codes score what
    chance does. distractors (M, ...): codes of other scenes' frames, which make the gallery larger.
    """
    require(len(codes) == len(scene), f"{len(codes)} codes, but {len(scene)} scene numbers")
    queries, relevant = _asked(scene)
    gallery = codes if distractors is None else np.concatenate([codes, distractors])
    there = to_device(gallery)
    nearest = to_host(neighbours(there[queries], there, min(K, len(gallery) - 1), to_device(queries)))
    seen, shares = {}, []
    numbers = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in unit_rows(gallery)])  # of each direction
    for query, ranked in zip(queries, nearest, strict=True):
        code = numbers if gallery[query].any() else np.zeros_like(numbers)
        sizes = np.bincount(code)
        right = np.bincount(code[: len(scene)][scene == scene[query]], minlength=len(sizes))
        sizes[code[query]] -= 1  # the query itself
        right[code[query]] -= 1
        tied = np.array(list(dict.fromkeys(code[ranked].tolist())))  # nearest first
        shares.append(share_ties(sizes[tied], right[tied]))
    found, gain = np.array(shares).swapaxes(0, 1)
    return Retrieval(found, relevant, (scene if group is None else group)[queries], gain)


def class_retrieval(queries, labels, gallery, gallery_labels, progress=iter):
    """Codes and labels (Q, ...), (Q,) and (G, ...), (G,) -> Retrieval: right is what has the query's label."""
    require(len(gallery) == len(gallery_labels), f"a gallery of {len(gallery)}, but {len(gallery_labels)} labels")
    nearest = to_host(neighbours(to_device(queries), to_device(gallery), progress=progress))
    return Retrieval((gallery_labels[nearest] == labels[:, None]).cumsum(1), None, np.arange(len(labels)))


def oracle_retrieval(scene, group=None):
    """The best that any metric can do: every frame of the query's scene comes first."""
    queries, relevant = _asked(scene)
    found = np.minimum(np.arange(1, K + 1), relevant[:, None])
    return Retrieval(found, relevant, (scene if group is None else group)[queries])


def chance(scene, distractors=0):
    """What a random order of the G frames of the gallery is expected to score: {"auc", "map"} of each query (Q,).

    P_k = (n - 1) / G, R_k = k / G; a hit at k, of chance (n - 1) / G, follows (k - 1) (n - 2) / (G - 1) others.
    """
    relevant = _asked(scene)[1][:, None]
    G = len(scene) - 1 + distractors
    k = np.arange(1, min(K, G) + 1)
    P = relevant / G
    average = (P * (1 + (k - 1) * (relevant - 1) / max(1, G - 1)) / k).sum(1) / np.minimum(relevant, K)[:, 0]
    return {"auc": area(np.broadcast_to(P, (len(P), len(k))), k / G), "map": average}
