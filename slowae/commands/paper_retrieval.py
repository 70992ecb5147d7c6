"""The stages of `python -m slowae paper` that compare: retrieval in video and in CIFAR-10, and what is chosen by it."""

from argparse import Namespace
from functools import partial
from itertools import product

import numpy as np
from tqdm import tqdm

from slowae import convnet, files, metrics, model, plots, spaces
from slowae.commands import train as first
from slowae.commands.paper_training import NAMES, kind_of, layer_configs, scenes_by_part, trainer
from slowae.data import cifar, video, whitening
from slowae.plots import paper as figures

ALPHAS, BETAS = (0.5, 1.0, 2.0, 4.0), (1.0, 2.0, 4.0, 8.0)
EPSILONS = 0.1, 1.0, 10.0, 100.0


def _tuned(whiten, centre):
    """ZCA pixels -> their space, each code's own mean taken away or not."""
    space = spaces.controls(whiten)["zca"]
    return spaces.centred(space) if centre else space


def compared(args, task):
    """{name: space}: the controls and every layer; the supervised ones where they have been trained.

    task: "temporal" or "classes", for which the tuned ZCA was chosen.
    """
    whiten, configs = whitening.load_whitening(args.out / "whitening.npz"), layer_configs(args)
    layers = {name: [(params, configs[name])] for name, params in files.read_groups(args.out / "layer1.npz").items()}
    two = files.read_groups(args.out / "layer2.npz")
    for name, below in (("random2", "random"), ("layer2", "layer1")):
        layers[name] = [(two[f"{name}_below"], configs[below]), (two[name], configs[name])]
    if (args.out / "supervised.npz").exists():
        stages = convnet.stages(files.read_arrays(args.out / "supervised.npz"))
        layers |= {"supervised1": stages[:1], "supervised2": stages}
    centre = files.read_json(args.out / "baselines.json")[task]["centre"]
    tuned = {"zca_tuned": _tuned(whitening.load_whitening(args.out / f"whitening_{task}.npz"), centre)}
    return spaces.controls(whiten) | tuned | {name: spaces.stack(stack, whiten) for name, stack in layers.items()}


class Validation:
    """What settings are chosen on: temporal AUC on validation videos, class AUC among CIFAR-10's training images."""

    def __init__(self, scenes):
        images, labels = cifar.load("train")
        part, asked = len(images) // 5, len(images) // 50  # 10,000 and 1,000, disjoint
        self.scenes = scenes
        self.gallery, self.labels = images[:part], labels[:part]
        self.queries, self.asked = images[-asked:], labels[-asked:]

    def __call__(self, space):
        """A space -> {"temporal": AUC, "classes": AUC}."""
        temporal = first.evaluate({"": space}, self.scenes, by_video=True)[0][""]
        found = metrics.class_retrieval(space(self.queries), self.asked, space(self.gallery), self.labels)
        return {"temporal": temporal.auc, "classes": found.auc}


def baselines(args):
    """The whitening, with or without each code's own mean, that makes the best of ZCA pixels on validation data."""
    parts, rows = scenes_by_part(args), []
    score, frames = Validation(parts["validation"]), video.training_pairs(parts["train"])[0]
    fitted = {epsilon: whitening.fit_whitening(frames, epsilon) for epsilon in EPSILONS}
    for (epsilon, whiten), centre in product(fitted.items(), (False, True)):
        rows.append({"epsilon": epsilon, "centre": centre, **score(_tuned(whiten, centre))})
    best = {task: max(rows, key=lambda row: row[task]) for task in ("temporal", "classes")}
    for task, row in best.items():
        fitted[row["epsilon"]].save(args.out / f"whitening_{task}.npz")
    return {"rows": rows, **best}


def temporal(args):
    """Temporal retrieval in the test videos, all together and kind by kind; Figures 6a, 7a."""
    scenes, compare, result = scenes_by_part(args)["test"], compared(args, "temporal"), {}
    kinds = {"all": scenes}
    for scene in scenes:
        kinds.setdefault(kind_of(scene), []).append(scene)
    for kind, some in kinds.items():
        if len(some) < 2:
            continue
        by_video = len({s.video for s in some}) > 1
        retrievals, oracle, codes, frames, scene = first.evaluate(compare, some, by_video)
        rows = metrics.compare(retrievals, oracle)
        counts = {"scenes": len(some), "frames": len(frames), "bootstrap_over": "videos" if by_video else "scenes"}
        result[kind] = {"rows": rows, "oracle": oracle.auc, "chance": metrics.chance_auc(scene), **counts}
        if kind == "all":
            curves = plots.precision_recall({NAMES[n]: r for n, r in retrievals.items()}, oracle)
            plots.save(curves, args.out / "figure7a.png")
            # The query at which pixels fail most, of those with nine frames or more to find.
            score = np.where(oracle.relevant >= 9, retrievals["pixels"].found[:, :9].max(1), len(frames))
            query = metrics.middle_frames(scene)[score.argmin()]
            nearest = first.nearest(codes, query, NAMES)
            plots.save(plots.nearest_frames(frames, query, nearest, scene), args.out / "figure6a.png")
    return result


def classes(args):
    """Class retrieval in CIFAR-10: test images are queries, training images the gallery; Figures 6b, 7b.

    Whitened with the statistics of the films, and for two rows with those of the training images.
    """
    (gallery, gallery_labels), (queries, labels) = cifar.load("train"), cifar.load("test")
    own, one = whitening.fit_whitening(gallery, args.epsilon), files.read_groups(args.out / "layer1.npz")["layer1"]
    others = {
        "zca_own": spaces.controls(own)["zca"],
        "layer1_own": spaces.stack([(one, layer_configs(args)["layer1"])], own),
    }
    retrievals, nearest = {}, {}
    for name, space in (compared(args, "classes") | others).items():
        codes, asked = space(gallery), space(queries)
        bar = partial(tqdm, desc=f"classes: {NAMES[name]}", dynamic_ncols=True)
        retrievals[name] = metrics.class_retrieval(asked, labels, codes, gallery_labels, bar)
        nearest[NAMES[name]] = 1 + metrics.neighbours(asked[:1], codes, 9)[0]
    curves = plots.precision_recall({NAMES[n]: r for n, r in retrievals.items()}, recall="recall: k / 40")
    plots.save(curves, args.out / "figure7b.png")
    shown, shown_labels = np.concatenate([queries[:1], gallery]), np.concatenate([labels[:1], gallery_labels])
    plots.save(plots.nearest_frames(shown, 0, nearest, shown_labels), args.out / "figure6b.png")
    every = np.broadcast_to(np.arange(1, metrics.K + 1), (len(labels), metrics.K))
    oracle = metrics.Retrieval(every, None, np.arange(len(labels)))
    counts = {"queries": len(queries), "gallery": len(gallery)}
    return {"rows": metrics.compare(retrievals, oracle), "oracle": oracle.auc, **counts}


def grid(args):
    """Temporal AUC on the validation videos and class AUC among CIFAR-10's training images over alpha x beta."""
    parts, scores = scenes_by_part(args), []
    whiten, fit = trainer(args, parts)
    short, score = Namespace(**vars(args) | {"steps": args.grid_steps}), Validation(parts["validation"])
    for alpha, beta in product(ALPHAS, BETAS):
        config = model.Config(alpha, beta)
        params, _ = fit(f"grid_{alpha:g}_{beta:g}", config, model.FILTERS[0], whiten, args=short)
        scores.append(score(spaces.stack([(params, config)], whiten)))
    titles = {"temporal": "temporal AUC, validation videos", "classes": "class AUC, training images"}
    maps = {t: np.reshape([s[task] for s in scores], (len(ALPHAS), len(BETAS))) for task, t in titles.items()}
    plots.save(figures.grid(ALPHAS, BETAS, maps), args.out / "grid.png")
    return {"alpha": ALPHAS, "beta": BETAS, **{title: values.tolist() for title, values in maps.items()}}
