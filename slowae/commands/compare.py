"""Rows of METHODS on video, and on CIFAR-10: train what must be trained, encode, find neighbours, write the table."""

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from slowae import environment, files, model, processes, report, table
from slowae.checks import require
from slowae.commands import add_options, given, require_groups, said, say
from slowae.data import cifar, scenes, sources, video, whitening
from slowae.judging import Fold, judge
from slowae.methods import FIRST, LABELLED, METHODS, SECOND, Data, Run, coherent
from slowae.optim import OPTIMIZERS

MAIN = tuple("pixels pixels_centred zca colour_histogram random random_patches beta0 layer1".split())
TRAINING = "steps batch rate optimizer bias_rate seed".split()  # options of Run
ROWS = "alpha beta rise filters alpha2 beta2 filters2 epochs labels".split()  # options of rows' configurations


@dataclass(frozen=True)
class Settings:
    """What is compared, on which films. tiles: windows a side, None chooses. training, rows: {option: value} where not
    what Run and METHODS say."""

    methods: tuple = MAIN
    classes: bool = False
    video: Path | None = None
    fps: float = 6.0
    tiles: int | None = None
    folds: int = 1
    seeds: int = 1
    distractors: int = 0
    epsilon: float = 0.3
    out: Path = Path("runs", "compare")
    resume: bool = True
    training: dict = field(default_factory=dict)
    rows: dict = field(default_factory=dict)

    def run(self, i=0):
        """The Run of the i-th seed."""
        run = Run(out=self.out / "cache", resume=self.resume, configs=configurations(self.rows), **self.training)
        return replace(run, seed=run.seed + i)


DEFAULT = Settings()


def add_arguments(parser, settings=DEFAULT):
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=settings.methods, metavar="ROW",
                        help=f"of {', '.join(METHODS)} (default: {' '.join(settings.methods)})")  # fmt: skip
    parser.add_argument("--classes", action="store_true", default=settings.classes,
                        help="class retrieval in CIFAR-10, too; downloaded once")  # fmt: skip
    run = settings.run()
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default=run.optimizer, help="(%(default)s)")
    second = {f"{name}2": getattr(SECOND, name) for name in ("alpha", "beta", "filters")}
    networks = {"epochs": METHODS["supervised2"].config.epochs, "labels": METHODS["coherent"].config.labels}
    defaults = vars(FIRST) | second | networks | vars(run) | vars(settings) | settings.rows
    add_options(parser, "video fps tiles folds seed seeds distractors steps batch rate bias-rate epsilon", defaults)
    add_options(parser, " ".join(ROWS), defaults)


def settings_of(args, preset=DEFAULT):
    """Command-line arguments -> `preset`, but for what was given; rows in the order of the table."""
    training, rows = preset.training | given(args, TRAINING), preset.rows | given(args, ROWS)
    methods = tuple(name for name in METHODS if name in args.methods)
    return replace(said(args, preset), methods=methods, training=training, rows=rows)


def configurations(changes):
    """{option: value} -> {row: its configuration, so changed}. Weights that are 0 in a row stay 0; group sparsity has
    an alpha of its own."""
    configs = {}
    for name, method in METHODS.items():
        config, new = method.config, {}
        if isinstance(config, model.Config):
            layer = "2" if config.side == SECOND.side else ""
            names = {f"alpha{layer}": "alpha", f"beta{layer}": "beta", f"filters{layer}": "filters", "rise": "rise"}
            new = {own: changes[option] for option, own in names.items() if option in changes}
            new = {own: value for own, value in new.items() if own == "rise" or getattr(config, own) > 0}
            if config.group_sparsity:
                new.pop("alpha", None)
        elif isinstance(config, coherent.Config) and "labels" in changes:  # as many steps, however few the labels
            epochs = config.epochs * config.labels // changes["labels"]
            new = {"labels": changes["labels"], "epochs": max(1, epochs)}
        elif name == "supervised2" and "epochs" in changes:
            new = {"epochs": changes["epochs"]}
        if new:
            configs[name] = replace(config, **new)
        if "filters" in new:
            require_groups(new["filters"], config.group, name)
    return configs


def load_scenes(settings):
    """The films -> [({part: scenes}, how they were split)] of each fold. ValueError unless all processes read the same.

    First comes the fold whose models see the most film: they are shown, and compare CIFAR-10's images. Of the scenes
    that are tested no film has more than its share.
    """
    films = video.load_scenes(sources.find_videos(settings.video), settings.fps, settings.tiles)
    processes.require_agreement("scene", [f"{s.video} {s.start} {files.checksum(s.frames)}" for s in films])
    parted = scenes.fold_scenes(films, settings.folds)
    asked = {id(s) for s in scenes.thin_out([s for parts, _ in parted for s in parts["test"]])}
    parted = [(parts | {"test": [s for s in parts["test"] if id(s) in asked]}, how) for parts, how in parted]
    return sorted(parted, key=lambda fold: -sum(len(s.frames) for s in fold[0]["train"]))


def make_fold(parts, how, settings, images):
    """One fold's scenes -> Fold. Its whitening is cached in --out."""
    apart = how.by != "time" or not settings.distractors
    require(apart, "distractors would be frames of the scenes that are asked: give more videos, or --distractors 0")
    frames, pairs = scenes.windows(parts["train"])
    whiten = whitening.kept_whitening(settings.out / "cache", frames, settings.epsilon, settings.resume)
    data = Data(frames, pairs, whiten, parts["validation"], images and images["train"])
    tested, scene = scenes.retrieval_frames(parts["test"])
    units = np.array([s.place if how.by in ("place", "video") else f"{s.video} {s.shot}" for s in parts["test"]])
    return Fold(data, tested, scene, units[scene], np.array([scenes.motion(s) for s in parts["test"]]))


def compare(settings):
    """Everything, into settings.out -> what results.json holds, the folds, the scenes' parts."""
    start, runs = time.perf_counter(), [settings.run(i) for i in range(settings.seeds)]
    parted, images = load_scenes(settings), None
    say(table.describe(parted, settings.fps))
    if settings.classes or LABELLED & set(settings.methods):
        images = {part: cifar.load(part) for part in ("train", "test")}
    folds = [make_fold(parts, how, settings, images) for parts, how in parted]
    moving = scenes.moving_third(np.concatenate([fold.motion for fold in folds]))
    rows = judge(settings.methods, runs, folds, moving, images, settings.classes, settings.distractors)
    results = report.results(rows, folds, parted, moving) | {"settings": used(settings, runs[0])}
    results |= environment.about(start)
    text = table.text(results)
    report.write(settings.out, results, text, rows)
    report.draw(settings.out, rows, folds, moving, images)
    say(text)
    return results, folds, parted


def used(settings, run):
    """The settings, as numbers and words, without what only says where things are."""
    own = {name: value for name, value in vars(settings).items() if name not in ("video", "out", "resume", "training")}
    configs = {name: run.config(name) for name in settings.methods}
    own["configs"] = {name: asdict(config) for name, config in configs.items() if config}
    return own | {name: getattr(run, name) for name in TRAINING}


def run(args):
    settings = settings_of(args)
    sources.find_videos(settings.video)
    with files.claim(settings.out):
        results, _, _ = compare(settings)
    took = f"{results['seconds']:.0f} s, {results['peak_mb']} MB at most"
    say(f"the table, and what was learned and drawn, are in {settings.out}; {took}")
