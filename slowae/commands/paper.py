"""Figures 3 to 7: `compare` with every row, on the corpus of `fetch` and CIFAR-10, and the map of alpha x beta."""

from dataclasses import replace
from itertools import product

import numpy as np

from slowae import files, plots
from slowae.backend import require
from slowae.commands import add_options, called, compare, say, table
from slowae.data import sources
from slowae.methods import METHODS
from slowae.methods.controls import validate
from slowae.plots import paper as figures

ALPHAS, BETAS = (1.5, 3.0, 6.0), (0.0, 6.0, 12.0, 24.0)
# Published: temporal AUC, class AUC; the supervised ones are read off Figure 7.
PUBLISHED = {
    "pixels": (0.174, 0.235),
    "zca": (0.142, 0.192),
    "layer1": (0.262, 0.296),
    "layer2": (0.301, 0.305),
    "supervised1": (0.313, 0.316),
    "supervised2": (0.386, 0.487),
}


def add_arguments(parser):
    compare.add_arguments(
        parser, tiles=1, folds=4, distractors=6000, seeds=3, rate=2e-3, epsilon=1.0, beta2=1.0, epochs=8
    )
    parser.set_defaults(methods=list(METHODS), classes=True)
    add_options(parser, "grid-steps")


def overview(found):
    """results.json -> the one table: how near, how many times pixels, and what it took.

    Published values only as ratios to pixels, in brackets: absolute ones depend on the scenes.
    """
    times = "x pixels (published)"
    lines = [["representation", "temporal AUC, 95 %", times, "class AUC, 95 %", times, "alike", "seconds", "numbers"]]
    for name, row in found["rows"].items():
        cells = [row["title"]]
        for which, task in enumerate(("temporal", "class")):
            ours, pixels = row.get(f"{task}_auc"), found["rows"].get("pixels", {}).get(f"{task}_auc")
            known = f" ({PUBLISHED[name][which] / PUBLISHED['pixels'][which]:.2f})" if name in PUBLISHED else ""
            cells += [
                "" if ours is None else f"{table.number(ours)} ({table.between(row[f'{task}_auc_95'])})",
                f"{ours / pixels:.2f}{known}" if ours is not None and pixels else "",
            ]
        learned = row["parameters"] > 0
        costs = [f"{row['seconds']:.0f}", f"{row['parameters']:,}"] if learned else ["", ""]
        lines.append([*cells, table.alike(row), *costs])
    return table.markdown(lines)


def standing(found):
    """results.json -> the picture of who stands where, beside pixels."""
    rows, differences = found["rows"], found["differences"]
    apart = {name: differences[f"{name} - pixels"] for name in rows if f"{name} - pixels" in differences}
    where = {rows[name]["title"]: (d["temporal_map_by_group"], d["class_auc"]) for name, d in apart.items()}
    return figures.standings(where, {row["title"]: row["kind"] for row in rows.values()})


def grid(fold, args):
    """Layer 1 for a few steps at each alpha, beta -> temporal and class AUC on the first fold's validation data."""
    scores = []
    for alpha, beta in product(ALPHAS, BETAS):
        config = replace(compare.configurations(args)["layer1"], alpha=alpha, beta=beta)
        run = compare.make_run(args, args.seed, steps=args.grid_steps, name=f"grid {alpha:g} {beta:g}")
        params = METHODS["layer1"].fit(fold.data, config, run)
        scores.append(validate(lambda frames, params=params: METHODS["layer1"].encode(params, frames), fold.data))
    maps = {}
    for measure, title in (
        ("temporal_auc", "temporal AUC, validation videos"),
        ("class_auc", "class AUC, training images"),
    ):
        maps[title] = np.reshape([score[measure] for score in scores], (len(ALPHAS), len(BETAS)))
    plots.save(figures.grid(ALPHAS, BETAS, maps), args.out / "grid.png")
    return {"alpha": ALPHAS, "beta": BETAS, **{title: values.tolist() for title, values in maps.items()}}


def run(args):
    args.video = (args.video or sources.data_dir() / "video").expanduser()
    require(args.video.exists(), f"{args.video}: no such file or folder; run {called()} fetch first, or give --video")
    with files.claim(args.out):
        found, folds, parted = compare.compare(args)
        plots.save(figures.diagram(), args.out / "figure3.png")
        longest = {s.video: s for s in sorted(parted[0][0]["test"], key=lambda s: len(s.sampled))}
        shown = sorted(longest.values(), key=lambda s: -len(s.sampled))[:6]
        plots.save(figures.scenes([(s.video, s.sampled) for s in shown]), args.out / "figure4.png")
        with files.replacing(args.out / "overview.md") as file:
            file.write((overview(found) + "\n").encode())
        if args.classes:
            plots.save(standing(found), args.out / "standings.png")
            found["grid"] = grid(folds[0], args)
            files.write_json(args.out / "results.json", found)
    say(overview(found), f"\nresults.json, the tables and the figures are in {args.out}")
