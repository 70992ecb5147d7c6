"""Figures 4 to 7: `compare` with every row, on the corpus of `fetch` and CIFAR-10, and the map of alpha x beta."""

from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np

from slowae import files, plots, table
from slowae.checks import require
from slowae.commands import called, compare, say
from slowae.data import scenes, sources
from slowae.methods import METHODS
from slowae.plots import paper as figures

SETTINGS = compare.Settings(
    methods=tuple(METHODS), classes=True, folds=3, seeds=3, epsilon=1.0, training={"rate": 2e-3}, rows={"epochs": 8}
)
GRID_STEPS = 800
ALPHAS, BETAS = (1.5, 3.0, 6.0), (0.0, 6.0, 12.0, 24.0)


def add_arguments(parser):
    compare.add_arguments(parser, SETTINGS)


def standing(results):
    """results.json -> the picture of who stands where, beside pixels; of all scenes where there is no moving third."""
    task, where = "moving" if "moving" in results["tasks"] else "temporal", {}
    for name, row in results["rows"].items():
        records = [table.difference(results, name, "pixels", *of) for of in ((task, "map"), ("class", "auc"))]
        if None not in records:
            where[row["title"]] = [(record["value"], record["low"], record["high"]) for record in records]
    kinds = {row["title"]: row["kind"] for row in results["rows"].values()}
    return figures.standings(where, kinds, table.TASKS[task])


def grid(fold, settings):
    """Layer 1 for a few steps at each alpha, beta -> {"alpha", "beta", title: values (alphas, betas)} of temporal and
    class AUC on the first fold's validation data."""
    titles = {"temporal_auc": "temporal AUC, validation videos", "class_auc": "class AUC, training images"}
    maps = {title: np.empty((len(ALPHAS), len(BETAS))) for title in titles.values()}
    run = replace(settings.run(), steps=GRID_STEPS)
    for (i, alpha), (j, beta) in product(enumerate(ALPHAS), enumerate(BETAS)):
        params = run.fitted("layer1", fold.data, replace(run.config("layer1"), alpha=alpha, beta=beta))
        measured = fold.data.validate(partial(METHODS["layer1"].encode, params))
        for measure, title in titles.items():
            maps[title][i, j] = measured[measure]
    return {"alpha": ALPHAS, "beta": BETAS} | {title: values.tolist() for title, values in maps.items()}


def longest(tested):
    """A scene of each of six places, the longest, or of equally long ones the liveliest -> [(video, frames), ...]."""
    first = {}
    for scene in sorted(tested, key=lambda scene: (len(scene.sampled), scenes.motion(scene)), reverse=True):
        first.setdefault(scene.place, (scene.video, scene.sampled))
    return list(first.values())[:6]


def run(args):
    settings = compare.settings_of(args, SETTINGS)
    folder = settings.video or sources.data_dir() / "video"
    require(folder.exists(), f"{folder}: no such file or folder; run {called()} fetch first, or give --video")
    settings = replace(settings, video=folder)
    with files.claim(settings.out):
        results, folds, parted = compare.compare(settings)
        if settings.classes:
            results["grid"] = grid(folds[0], settings)
            files.write_json(settings.out / "results.json", results)
            plots.draw(settings.out / "grid.png", figures.grid, results["grid"])
            plots.draw(settings.out / "standings.png", standing, results)
        plots.draw(settings.out / "figure4.png", figures.scenes, longest(parted[0][0]["test"]))
    say(f"results.json, the table and the figures are in {settings.out}")
