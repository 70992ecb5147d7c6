"""Rows of METHODS trained on each fold and seed, and what they score there."""

import time
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from slowae import files, progress, retrieval, scores
from slowae.methods import METHODS, Data


class Fold(NamedTuple):
    """What is learned from, and what is tested on: frames, their scenes' numbers, the units that are resampled, and
    how much each scene moves, in grey levels."""

    data: Data
    frames: np.ndarray
    scene: np.ndarray
    group: np.ndarray
    motion: np.ndarray


@dataclass
class Row:
    """What one row scored: {task: a Retrieval of each seed}; of the first training and fold all the rest.

    about: what it says of itself (Method.describe). dead: all codes that were tested are equal. nearest: {task: the
    nine nearest}, of each query, and of the first image. accuracy: of each seed, where the row names classes.
    """

    retrievals: dict = field(default_factory=dict)
    params: dict | None = None
    history: list | None = None
    seconds: float = 0.0
    about: dict = field(default_factory=dict)
    dead: bool = False
    nearest: dict = field(default_factory=dict)
    accuracy: list = field(default_factory=list)


def evenly(frames, most):
    """At most so many of the frames, from first to last."""
    return frames[:: -(-len(frames) // most)]


def judge(methods, runs, folds, moving, images=None, classes=False, distractors=0):
    """Every row, on every fold, in one Run for each seed -> {name: Row}.

    moving: which of all queries are the moving third. images: {part: images, labels} of CIFAR-10, which the models of
    the first fold compare, if `classes`.
    """
    rows = {name: Row() for name in methods}
    for run in runs:
        for name, row in rows.items():
            parts = [_temporal(name, row, run, fold, distractors) for fold in folds]
            joined = {task: scores.join([part[task] for part in parts]) for task in parts[0]}
            joined["moving"] = joined["temporal"].only(moving)
            params = run.fitted(name, folds[0].data)
            if classes:
                joined["class"] = _classes(name, row, params, images, run)
            for task, result in joined.items():
                row.retrievals.setdefault(task, []).append(result)
            if METHODS[name].accuracy:
                row.accuracy.append(METHODS[name].accuracy(params, *images["test"]))
    return rows


def _temporal(name, row, run, fold, distractors):
    """Retrieval among the test scenes, and with distractors, if any -> {task: Retrieval}; the first fills the row."""
    method, began = METHODS[name], time.perf_counter()
    params = run.fitted(name, fold.data)
    seconds = time.perf_counter() - began
    codes = method.encode(params, fold.frames)
    results = {"temporal": retrieval.temporal_retrieval(codes, fold.scene, fold.group)}
    if distractors:
        crowd = method.encode(params, evenly(fold.data.frames, distractors))
        results["crowded"] = retrieval.temporal_retrieval(codes, fold.scene, fold.group, crowd)
    if row.params is None:
        row.params, row.history = params, run.histories.get(name)
        row.seconds = row.history[-1]["seconds"] if row.history else seconds
        row.about = method.describe(params, evenly(fold.frames, 300)) if method.describe else {}
        row.dead = bool((codes == codes[:1]).all())
        queries = retrieval.middle_frames(fold.scene)
        row.nearest["temporal"] = retrieval.neighbours(codes[queries], codes, min(9, len(codes) - 1), queries)
    return results


def _classes(name, row, params, images, run):
    """Test images ask, training images are the gallery -> Retrieval, cached under a checksum of the codes."""
    (gallery, gallery_labels), (queries, labels) = images["train"], images["test"]
    codes, asked = (METHODS[name].encode(params, x) for x in (gallery, queries))

    def search():
        bar = partial(progress.bar, desc=f"classes: {name}")
        result = retrieval.class_retrieval(asked, labels, codes, gallery_labels, bar)
        return {"found": result.found.astype(np.uint8), "nearest": retrieval.neighbours(asked[:1], codes, 9)[0]}

    key = files.key([files.checksum(x) for x in (codes, gallery_labels, asked, labels)])
    cached = files.cached(run.out / f"classes-{name}-{key}.npz", search, run.resume)
    row.nearest.setdefault("class", cached["nearest"])
    return scores.Retrieval(cached["found"], None, np.arange(len(labels)))
