"""The stages of `python -m slowae paper` that learn: each takes args and returns what OUT/STAGE.json is to say."""

import zlib
from functools import partial

import numpy as np

from slowae import convnet, files, metrics, model, plots
from slowae.backend import to_device, to_host
from slowae.commands import train as first
from slowae.data import cifar, sources, video, whitening
from slowae.plots import paper as figures

NAMES = first.NAMES | {
    "zca_tuned": "ZCA pixels, tuned",
    "alpha0": "alpha = 0",
    "random2": "random weights, 2 layers",
    "layer2": "layer 2",
    "supervised1": "supervised, layer 1",
    "supervised2": "supervised, layer 2",
    "zca_own": "ZCA, own statistics",
    "layer1_own": "layer 1, ZCA with own statistics",
}


def scenes_by_part(args):
    """Scenes by part, as the corpus stage has kept them."""
    arrays = files.read_arrays(args.out / "corpus.npz")
    columns = (arrays[name].tolist() for name in ("video", "shot", "step", "start"))
    scenes = map(video.Scene, *columns, np.split(arrays["frames"], arrays["ends"][:-1]))
    return video.split_scenes(list(scenes))[0]


def kind_of(scene):
    """What the corpus says of the scene's video: live, animation, stop-motion; "other" if it is not from there."""
    rows = sources.corpus().get(scene.video)
    return rows[0]["kind"] if rows else "other"


def trainer(args, parts):
    """-> the whitening, and a fit_layer(name, config, shape, see, args=, **settings) that has its data."""
    frames, pairs = video.training_pairs(parts["train"])
    data = {"frames": frames, "pairs": pairs, "watched": first.watched_frames(parts["validation"])}
    return whitening.load_whitening(args.out / "whitening.npz").on_device(), partial(first.fit_layer, **data)


def layer_configs(args):
    """{layer: Config}"""
    one, two = model.Config(args.alpha, args.beta), model.Config(args.alpha2, args.beta2, group=1, size=4)
    without = {"alpha0": model.Config(0.0, args.beta), "beta0": model.Config(args.alpha, 0.0)}
    return {"random": one, **without, "layer1": one, "random2": two, "layer2": two}


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
    """Layer 1 as given, and with alpha = 0, and with beta = 0; Figures 5b, 5c."""
    whiten, fit = trainer(args, scenes_by_part(args))
    configs, result = layer_configs(args), {}
    layers, histories = {"random": model.init_params(np.random.default_rng(args.seed), model.FILTERS[0])}, {}
    for name in ("alpha0", "beta0", "layer1"):
        layers[name], histories[name] = fit(name, configs[name], model.FILTERS[0], whiten, args=args)
        within, between = metrics.group_similarity(layers[name]["W_d"], configs[name].group)
        result[name] = {"last": histories[name][-1], "alike_within_groups": within, "alike_between": between}
    files.write_groups(args.out / "layer1.npz", layers)
    titles = {"beta0": "5b. beta = 0", "layer1": f"5c. beta = {args.beta:g}"}
    plots.save(plots.filters({title: layers[n]["W_d"] for n, title in titles.items()}), args.out / "figure5bc.png")
    plots.save(plots.training_curves({NAMES[n]: h for n, h in histories.items()}), args.out / "layer1.png")
    return result


def layer2(args):
    """Layer 2, greedy on the frozen layer 1, and a random one on a random one."""
    parts, configs = scenes_by_part(args), layer_configs(args)
    whiten, fit = trainer(args, parts)
    frames = to_device(video.retrieval_frames(parts["train"])[0][::4])
    kept, one = {}, files.read_groups(args.out / "layer1.npz")
    for name, below in (("random2", "random"), ("layer2", "layer1")):
        z = model.encode(to_device(one[below]), whiten(frames), configs[below])
        kept[f"{name}_below"] = to_host(model.standardise(to_device(one[below]), z))
    kept["random2"] = model.init_params(np.random.default_rng(args.seed), model.FILTERS[1])
    frozen = [(to_device(kept["layer2_below"]), configs["layer1"])]
    below = {"below": zlib.crc32(kept["layer2_below"]["W_e"])}
    see = lambda frames: model.encode_stack(frozen, whiten(frames))  # noqa: E731
    kept["layer2"], history = fit("layer2", configs["layer2"], model.FILTERS[1], see, args=args, **below)
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
    accuracy = convnet.accuracy(to_device(params), whiten(to_device(asked)), to_device(asked_labels))
    return {"test_accuracy": accuracy, "history": history}


def learned(args):
    """{layer: parameters} of everything that was learned, the supervised layers too where they have been trained."""
    one, two = (files.read_groups(args.out / f"{name}.npz") for name in ("layer1", "layer2"))
    layers = {"beta0": one["beta0"], "layer1": one["layer1"], **{n: two[n] for n in ("layer2_below", "layer2")}}
    if (args.out / "supervised.npz").exists():
        stages = convnet.stages(files.read_arrays(args.out / "supervised.npz"))
        layers |= {f"supervised{i}": params for i, (params, _) in enumerate(stages, 1)}
    return layers
