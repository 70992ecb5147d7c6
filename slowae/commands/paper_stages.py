"""The stages of `python -m slowae paper`: each takes args and returns what OUT/STAGE.json is to say."""

import zlib
from argparse import Namespace
from functools import partial
from itertools import product

import numpy as np
from tqdm import tqdm

from slowae import convnet, files, metrics, model, plots, spaces
from slowae.backend import to_device, to_host
from slowae.commands import train as first
from slowae.data import cifar, sources, video, whitening
from slowae.plots import paper as figures

FILTERS_2 = (5, 5, 16, 64)
ALPHAS, BETAS = (0.5, 1.0, 2.0, 4.0), (1.0, 2.0, 4.0, 8.0)
NAMES = first.NAMES | {
    "random2": "random weights, 2 layers",
    "layer2": "layer 2",
    "supervised1": "supervised, layer 1",
    "supervised2": "supervised, layer 2",
}


# What the stages share


def _parts(args):
    """Scenes by part, as the corpus stage has kept them."""
    arrays = files.read_arrays(args.out / "corpus.npz")
    columns = (arrays[name].tolist() for name in ("video", "shot", "step", "start"))
    scenes = map(video.Scene, *columns, np.split(arrays["frames"], arrays["ends"][:-1]))
    return video.split_scenes(list(scenes))[0]


def _kind(scene):
    rows = sources.corpus().get(scene.video)
    return rows[0]["kind"] if rows else "other"


def _training(args):
    """-> the whitening, and a fit_layer(name, config, shape, see, args=, **settings) that has its data."""
    parts = _parts(args)
    frames, pairs = video.training_pairs(parts["train"])
    data = {"frames": frames, "pairs": pairs, "watched": first.watched_frames(parts["validation"])}
    return whitening.load_whitening(args.out / "whitening.npz").on_device(), partial(first.fit_layer, **data)


def _configs(args):
    one, two = model.Config(args.alpha, args.beta), model.Config(args.alpha2, args.beta2, group=1, size=4)
    return {"random": one, "beta0": model.Config(args.alpha, 0.0), "layer1": one, "random2": two, "layer2": two}


def compared(args):
    """{name: space}: the controls and every layer; the supervised ones where they have been trained."""
    whiten, configs = whitening.load_whitening(args.out / "whitening.npz"), _configs(args)
    layers = {name: [(params, configs[name])] for name, params in files.read_groups(args.out / "layer1.npz").items()}
    two = files.read_groups(args.out / "layer2.npz")
    for name, below in (("random2", "random"), ("layer2", "layer1")):
        layers[name] = [(two[f"{name}_below"], configs[below]), (two[name], configs[name])]
    if (args.out / "supervised.npz").exists():
        stages = convnet.stages(files.read_arrays(args.out / "supervised.npz"))
        layers |= {"supervised1": stages[:1], "supervised2": stages}
    return spaces.controls(whiten) | {name: spaces.stack(stack, whiten) for name, stack in layers.items()}


# The stages


def corpus(args):
    """Films -> scenes and the whitening; Figure 4."""
    scenes = video.load_scenes(sources.find_videos(args.video), args.fps, args.tiles)
    parts, how = video.split_scenes(scenes)
    arrays = {name: np.array([getattr(s, name) for s in scenes]) for name in ("video", "shot", "step", "start")}
    arrays["frames"] = np.concatenate([s.frames for s in scenes])
    arrays["ends"] = np.cumsum([len(s.frames) for s in scenes])
    files.write_arrays(args.out / "corpus.npz", arrays)
    whitening.fit_whitening(video.training_pairs(parts["train"])[0], args.epsilon).save(args.out / "whitening.npz")
    tested = {s.video: s for s in sorted(parts["test"], key=lambda s: len(s.sampled))}  # the longest of each video
    shown = sorted(tested.values(), key=lambda s: -len(s.sampled))[:6]
    plots.save(figures.scenes([(s.video, s.sampled) for s in shown]), args.out / "figure4.png")
    return {
        "split": how,
        "scenes": {part: len(found) for part, found in parts.items()},
        "frames": {part: sum(len(s.frames) for s in found) for part, found in parts.items()},
        "videos": {part: sorted({s.video for s in found}) for part, found in parts.items()},
    }


def diagram(args):
    """Figure 3."""
    plots.save(figures.diagram(), args.out / "figure3.png")
    return {}


def layer1(args):
    """Layer 1 at beta = 0 and at the given beta, one alpha; Figures 5b, 5c."""
    whiten, fit = _training(args)
    configs, result = _configs(args), {}
    layers, histories = {"random": model.init_params(np.random.default_rng(args.seed), first.FILTERS)}, {}
    for name in ("beta0", "layer1"):
        layers[name], histories[name] = fit(name, configs[name], first.FILTERS, whiten, args=args)
        within, between = metrics.group_similarity(layers[name]["W_d"], configs[name].group)
        result[name] = {"last": histories[name][-1], "alike_within_groups": within, "alike_between": between}
    files.write_groups(args.out / "layer1.npz", layers)
    titles = {"beta0": "5b. beta = 0", "layer1": f"5c. beta = {args.beta:g}"}
    plots.save(plots.filters({title: layers[n]["W_d"] for n, title in titles.items()}), args.out / "figure5bc.png")
    plots.save(plots.training_curves({NAMES[n]: h for n, h in histories.items()}), args.out / "layer1.png")
    return result


def layer2(args):
    """Layer 2, greedy on the frozen layer 1, and a random one on a random one."""
    whiten, fit = _training(args)
    configs, frames = _configs(args), to_device(video.retrieval_frames(_parts(args)["train"])[0][::4])
    kept, one = {}, files.read_groups(args.out / "layer1.npz")
    for name, below in (("random2", "random"), ("layer2", "layer1")):
        z = model.encode(to_device(one[below]), whiten(frames), configs[below])
        kept[f"{name}_below"] = to_host(model.standardise(to_device(one[below]), z))
    kept["random2"] = model.init_params(np.random.default_rng(args.seed), FILTERS_2)
    frozen = [(to_device(kept["layer2_below"]), configs["layer1"])]
    below = {"below": zlib.crc32(kept["layer2_below"]["W_e"])}
    see = lambda frames: model.encode_stack(frozen, whiten(frames))  # noqa: E731
    kept["layer2"], history = fit("layer2", configs["layer2"], FILTERS_2, see, args=args, **below)
    files.write_groups(args.out / "layer2.npz", kept)
    plots.save(plots.training_curves({"layer 2": history}), args.out / "layer2.png")
    return {"last": history[-1]}


def supervised(args):
    """The supervised ConvNet on CIFAR-10, with crops and flips, unless --epochs 0; Figure 5a."""
    if not args.epochs:
        return {}
    (images, labels), (asked, asked_labels) = cifar.load("train"), cifar.load("test")
    whiten = whitening.load_whitening(args.out / "whitening.npz").on_device()
    params, history = convnet.train_classifier(
        images,
        labels,
        lambda images: whiten(to_device(images)),
        np.random.default_rng(args.seed),
        args.epochs,
        checkpoint=args.out / "supervised.checkpoint.npz",
        resume=True,
        settings={"seed": args.seed, "epsilon": args.epsilon, "data": zlib.crc32(images)},
    )
    files.write_arrays(args.out / "supervised.npz", params)
    plots.save(plots.filters({"5a. supervised, on CIFAR-10": params["W_1"]}), args.out / "figure5a.png")
    on_device = to_device(params)
    logits = spaces.on_backend(lambda images: convnet.forward(on_device, whiten(images))[0], block=100)(asked)
    return {"test_accuracy": float((logits.argmax(1) == asked_labels).mean()), "history": history}


def temporal(args):
    """Temporal retrieval in the test videos, all together and kind by kind; Figures 6a, 7a."""
    scenes, compare, result = _parts(args)["test"], compared(args), {}
    kinds = {"all": scenes}
    for scene in scenes:
        kinds.setdefault(_kind(scene), []).append(scene)
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
    """Class retrieval in CIFAR-10: test images are queries, training images the gallery; Figures 6b, 7b."""
    (gallery, gallery_labels), (queries, labels) = cifar.load("train"), cifar.load("test")
    retrievals, nearest = {}, {}
    for name, space in compared(args).items():
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
    whiten, fit = _training(args)
    short, validation = Namespace(**vars(args) | {"steps": args.grid_steps}), _parts(args)["validation"]
    images, labels = cifar.load("train")
    part, asked = len(images) // 5, len(images) // 50  # 10,000 and 1,000, disjoint
    host = whitening.load_whitening(args.out / "whitening.npz")
    maps = {"temporal AUC, validation videos": [], "class AUC, training images": []}
    for alpha, beta in product(ALPHAS, BETAS):
        config = model.Config(alpha, beta)
        params, _ = fit(f"grid_{alpha:g}_{beta:g}", config, first.FILTERS, whiten, args=short)
        space = spaces.stack([(params, config)], host)
        of_scene = first.evaluate({"": space}, validation, by_video=True)[0][""]
        codes, queries = space(images[:part]), space(images[-asked:])
        of_class = metrics.class_retrieval(queries, labels[-asked:], codes, labels[:part])
        for values, retrieval in zip(maps.values(), (of_scene, of_class), strict=True):
            values.append(retrieval.auc)
    maps = {title: np.reshape(values, (len(ALPHAS), len(BETAS))) for title, values in maps.items()}
    plots.save(figures.grid(ALPHAS, BETAS, maps), args.out / "grid.png")
    return {"alpha": ALPHAS, "beta": BETAS, **{title: values.tolist() for title, values in maps.items()}}
