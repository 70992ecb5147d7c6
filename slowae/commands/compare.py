"""Rows of METHODS on video, and on CIFAR-10: train what must be trained, encode, find neighbours, write the table."""

import time
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from slowae import files, model, report, retrieval, table
from slowae.checks import require
from slowae.commands import add_options, say
from slowae.data import cifar, scenes, sources, video, whitening
from slowae.methods import LABELLED, METHODS, Data, Run, coherent, convnet
from slowae.optim import OPTIMIZERS

MAIN = "pixels pixels_centred zca colour_histogram random random_patches beta0 layer1".split()


def add_arguments(parser, **defaults):
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=MAIN, metavar="ROW",
                        help=f"rows of the table: {', '.join(METHODS)} (default: {' '.join(MAIN)})")  # fmt: skip
    parser.add_argument("--classes", action="store_true", help="class retrieval in CIFAR-10, too; downloaded once")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="(%(default)s)")
    names = (
        "video fps tiles folds seeds distractors steps batch rate bias-rate alpha beta alpha2 beta2 rise epsilon "
        "epochs labels"
    )
    add_options(parser, names, **defaults)


class Fold(NamedTuple):
    """What is learned from, and what is tested on: frames, their scenes' numbers and the units that are resampled."""

    data: Data
    frames: np.ndarray
    scene: np.ndarray
    group: np.ndarray


@dataclass
class Row:
    """What one row found: {task: a Retrieval of each seed}; of the first training all the rest.

    nearest: {task: the nine nearest}, of each query of the first fold, and of the first image.
    """

    found: dict = field(default_factory=dict)
    nearest: dict = field(default_factory=dict)
    accuracy: list = field(default_factory=list)  # of each seed, where classes are told apart
    params: dict | None = None
    history: list | None = None
    seconds: float = 0.0


def load_scenes(args):
    """The films of a command -> scenes, windows a side."""
    paths = sources.find_videos(args.video)
    tiles = args.tiles or video.choose_tiles(paths)
    return video.load_scenes(paths, args.fps, tiles), tiles


def make_fold(parts, how, args, labelled=None):
    """One fold's scenes -> Fold; its whitening is kept in --out."""
    apart = how.by != "time" or not args.distractors
    require(apart, "distractors would be frames of the scenes that are asked: give more videos, or --distractors 0")
    frames, pairs = scenes.windows(parts["train"])
    whiten = whitening.kept_whitening(args.out / "cache", frames, args.epsilon)
    tested, scene = scenes.retrieval_frames(parts["test"])
    units = np.array([s.video if how.by == "video" else f"{s.video} {i}" for i, s in enumerate(parts["test"])])
    return Fold(Data(frames, pairs, whiten, parts["validation"], labelled), tested, scene, units[scene])


def configurations(args):
    """{row: configuration} as the options say: weights that are 0 in a row stay 0; group sparsity has its own."""
    found = {"supervised2": convnet.Config(epochs=args.epochs)}
    for name, method in METHODS.items():
        if isinstance(method.config, model.Config):
            first = method.config.group > 1
            alpha, beta = (args.alpha, args.beta) if first else (args.alpha2, args.beta2)
            alpha = method.config.alpha if method.config.group_sparsity else alpha * (method.config.alpha > 0)
            beta *= method.config.beta > 0
            found[name] = replace(method.config, alpha=alpha, beta=beta, rise=args.rise)
        if isinstance(method.config, coherent.Config):  # as many steps, however few the labels
            shown = method.config.epochs * method.config.labels
            found[name] = replace(method.config, labels=args.labels, epochs=max(1, shown // args.labels))
    return found


def make_run(args, seed, **changes):
    """The options -> Run."""
    settings = {name: getattr(args, name) for name in "steps batch rate optimizer bias_rate resume".split()}
    return Run(seed=seed, out=args.out / "cache", configs=configurations(args), **settings | changes)


def _kept(args, task, name, depends, make):
    """make() -> arrays, or what it made before of the same: OUT/cache/TASK-ROW-KEY.npz."""
    key = files.key([name, *map(files.checksum, depends)])
    return files.cached(args.out / "cache" / f"{task}-{name}-{key}.npz", make)


def class_retrieval(name, params, images, args):
    """Test images ask, training images are the gallery -> Retrieval, the nine nearest of the first."""
    (gallery, gallery_labels), (queries, labels) = images["train"], images["test"]

    def search():
        codes, asked = (METHODS[name].encode(params, x) for x in (gallery, queries))
        bar = partial(tqdm, desc=f"classes: {name}", dynamic_ncols=True, disable=None)
        found = retrieval.class_retrieval(asked, labels, codes, gallery_labels, bar)
        nearest = retrieval.neighbours(asked[:1], codes, min(9, len(codes)))[0]
        return {"found": found.found.astype(np.uint8), "nearest": nearest}

    kept = _kept(args, "classes", name, [params, gallery, gallery_labels, queries, labels], search)
    return retrieval.Retrieval(kept["found"], None, np.arange(len(labels))), kept["nearest"]


def temporal_retrieval(name, params, fold, args):
    """Retrieval among the test scenes, and with distractors, if any -> {task: Retrieval}, the nine nearest of each."""
    queries, films, M = retrieval.middle_frames(fold.scene), fold.data.frames, args.distractors
    others = films[:: -(-len(films) // M)] if M else films[:0]

    def search():
        codes = METHODS[name].encode(params, fold.frames)
        found = {"temporal": retrieval.temporal_retrieval(codes, fold.scene, fold.group)}
        if M:
            crowd = METHODS[name].encode(params, others)
            found["crowded"] = retrieval.temporal_retrieval(codes, fold.scene, fold.group, crowd)
        nearest = retrieval.neighbours(codes[queries], codes, min(9, len(codes) - 1), queries)
        found_in = {task: r.found.astype(np.uint8) for task, r in found.items()}
        return found_in | {"relevant": found["temporal"].relevant, "nearest": nearest}

    kept = _kept(args, "temporal", name, [params, fold.frames, fold.scene, others], search)
    group = fold.group[queries]
    found = {t: retrieval.Retrieval(kept[t], kept["relevant"], group) for t in ("temporal", "crowded") if t in kept}
    return found, kept["nearest"]


def find(folds, images, args):
    """Every row, seed and fold -> {name: Row}. The models of the first fold compare CIFAR-10's images."""
    rows = {name: Row() for name in args.methods}
    for seed in range(args.seed, args.seed + args.seeds):
        parts = {}
        for number, fold in enumerate(folds):
            run = make_run(args, seed)
            for name, row in rows.items():
                began = time.perf_counter()
                params = run.fitted(name, fold.data)
                seconds, history = time.perf_counter() - began, run.histories.get(name)
                found, nearest = temporal_retrieval(name, params, fold, args)
                for task, one in found.items():
                    parts.setdefault((name, task), []).append(one)
                if args.classes and number == 0:
                    found, image = class_retrieval(name, params, images, args)
                    parts[name, "class"] = [found]
                    row.nearest.setdefault("class", image)
                if "W_4" in params and number == 0:
                    row.accuracy.append(convnet.image_accuracy(params, *images["test"]))
                if row.params is None:
                    row.params, row.history, row.nearest["temporal"] = params, history, nearest
                    row.seconds = history[-1]["seconds"] if history else seconds
        for (name, task), some in parts.items():
            rows[name].found.setdefault(task, []).append(retrieval.join(some))
    return rows


def compare(args):
    """Everything, into --out -> what results.json holds, the folds, the scenes' parts."""
    start = time.perf_counter()
    args.methods = [name for name in METHODS if name in args.methods]  # in the order of the table
    found_scenes, tiles = load_scenes(args)
    parted = scenes.fold_scenes(found_scenes, args.folds)
    # First the fold whose models have seen the most film: they are shown, and compare CIFAR-10's images.
    parted.sort(key=lambda fold: -sum(len(scene.frames) for scene in fold[0]["train"]))
    say(table.describe(parted, found_scenes, tiles, args.fps))
    needs_images = args.classes or any(name in LABELLED for name in args.methods)
    images = {part: cifar.load(part) for part in ("train", "test")} if needs_images else None
    folds = [make_fold(parts, how, args, images and images["train"]) for parts, how in parted]
    rows = find(folds, images, args)
    results = report.results(rows, folds, parted, settings(args, tiles), start)
    text = table.text(results)
    with files.replacing(args.out / "table.md") as file:
        file.write(text.encode())
    report.write(args.out, results, rows, folds[0], images)
    say(text)
    return results, folds, parted


def run(args):
    sources.find_videos(args.video)
    with files.claim(args.out):
        results, _, _ = compare(args)
    say(f"table, filters and pictures are in {args.out}; {results['seconds']:.0f} s, {results['peak_mb']} MB at most")


def settings(args, tiles):
    """The settings used, as numbers and words."""
    names = "methods fps folds seeds distractors seed steps batch rate optimizer bias_rate epsilon classes"
    weights = "alpha beta alpha2 beta2 rise epochs labels"  # also of rows that those asked for stand on
    chosen = {name: getattr(args, name) for name in f"{names} {weights}".split()}
    configs = {name: asdict(c) for name, c in configurations(args).items() if name in args.methods}
    rest = {name: asdict(METHODS[name].config) for name in args.methods if is_dataclass(METHODS[name].config)}
    return chosen | {"tiles": tiles, "configs": rest | configs}
