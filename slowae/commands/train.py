"""The main job: the first convolutional layer of Eq. 2 on real video, and what its metric is worth (Section 5)."""

import time
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from slowae import files, metrics, model, optim, plots, spaces, train
from slowae.backend import chosen, to_device
from slowae.commands import number, peak_mb, versions
from slowae.data import sources, video, whitening

NAMES = {
    "pixels": "pixels",
    "pixels_centred": "pixels, mean removed",
    "zca": "ZCA pixels",
    "colour_histogram": "colour histogram",
    "random": "random weights",
    "beta0": "beta = 0",
    "layer1": "layer 1",
}


def add_arguments(parser):
    parser.add_argument("--video", type=Path, help="a video file or a folder of them (default: clips that come along)")
    parser.add_argument(
        "--fps", type=number(float, above=0), default=6.0, help="frames a second that count as adjacent (%(default)s)"
    )
    parser.add_argument(
        "--tiles",
        type=number(int, least=1),
        help="N x N windows of 32 x 32 a frame (default: 4 if the video is short, else 1)",
    )
    parser.add_argument("--steps", type=number(int, least=1), default=1200, help="(%(default)s)")
    parser.add_argument("--batch", type=number(int, least=1), default=16, help="pairs of frames a step (%(default)s)")
    parser.add_argument("--optimizer", choices=optim.OPTIMIZERS, default="adam", help="(%(default)s)")
    parser.add_argument("--rate", type=number(float, above=0), default=2e-3, help="learning rate (%(default)s)")
    parser.add_argument("--alpha", type=number(float, least=0), default=1.0, help="weight of sparsity (%(default)s)")
    parser.add_argument("--beta", type=number(float, least=0), default=4.0, help="weight of slowness (%(default)s)")
    parser.add_argument(
        "--epsilon", type=number(float, least=0), default=0.05, help="of ZCA, in mean eigenvalues (%(default)s)"
    )


def fit_layer(name, config, shape, see, frames, pairs, watched, args, **settings):
    """Train one layer on pairs of frames -> params, history. Checkpoint: OUT/NAME.checkpoint.npz.

    see: frames (N, 32, 32, 3) uint8 -> what the layer sees of them: whitened, or the code of the layers below.
    watched: frames, all x_t, then all x_t', to log the statistics of. settings: more that a resumed run repeats.
    """
    rng = np.random.default_rng(args.seed)
    params = model.init_params(rng, shape)
    frames_on_device, seen = to_device(frames), see(to_device(watched))

    def draw(rng):
        chosen_pairs = pairs[rng.integers(len(pairs), size=args.batch)]
        return see(frames_on_device[to_device(chosen_pairs.T.ravel())])

    return train.fit(
        lambda params, x: model.loss_and_gradients(params, x, config),
        params,
        draw,
        rng,
        steps=args.steps,
        rate=args.rate,
        optimizer=optim.OPTIMIZERS[args.optimizer],
        project=optim.project,
        watch=lambda params: model.statistics(params, seen, config),
        checkpoint=args.out / f"{name}.checkpoint.npz",
        resume=args.resume,
        settings={
            "seed": args.seed,
            "batch": args.batch,
            "epsilon": args.epsilon,
            "data": zlib.crc32(frames),
            "pairs": len(pairs),
            **asdict(config),
            **settings,
        },
        title=f"{name}, beta = {config.beta:g}",
    )


def watched_frames(scenes):
    """Validation scenes -> 32 pairs at most, always the same: all x_t, then all x_t'."""
    frames, pairs = video.training_pairs(scenes)
    picks = np.random.default_rng(0).choice(len(pairs), min(32, len(pairs)), replace=False)
    return frames[pairs[picks].T.ravel()]


def evaluate(compared, scenes, by_video):
    """{name: space}, test scenes -> {name: Retrieval}, the oracle, {name: codes}, frames and scene numbers."""
    frames, scene = video.retrieval_frames(scenes)
    units = [s.video if by_video else i for i, s in enumerate(scenes)]
    group = np.unique(units, return_inverse=True)[1][scene]
    codes = {name: space(frames) for name, space in compared.items()}
    retrievals = {name: metrics.temporal_retrieval(c, scene, group) for name, c in codes.items()}
    return retrievals, metrics.oracle_retrieval(scene, group), codes, frames, scene


def nearest(codes, query, names):
    """{name: codes}, the query's index -> {printed name: indices of the nine nearest}."""
    k = min(9, len(next(iter(codes.values()))) - 1)
    return {names[n]: metrics.neighbours(z[query][None], z, k, np.array([query]))[0] for n, z in codes.items()}


def print_table(rows, oracle, chance, units):
    print(f"\n{'representation':<22}{'temporal AUC':>12}   {'95 % interval':<16}{'of the way, pixels to oracle':>28}")
    for name, row in rows.items():
        low, high = row["auc_95"]
        way = float("nan") if row["way"] is None else row["way"]
        print(f"{NAMES[name]:<22}{row['auc']:>12.3f}   {low:.3f} to {high:.3f}  {way:>28.0%}")
    print(f"{'oracle':<22}{oracle.auc:>12.3f}\n{'chance':<22}{chance:>12.3f}")
    print(f"intervals: bootstrap over {len(np.unique(oracle.group))} {units} with {len(oracle.group)} queries")
    for other in ("random", "beta0"):
        low, high = rows["layer1"]["above_95"][other]
        difference = rows["layer1"]["auc"] - rows[other]["auc"]
        print(f"layer 1 minus {NAMES[other]}: {difference:+.3f} ({low:+.3f} to {high:+.3f})")


def run(args):
    start = time.perf_counter()
    paths = sources.find_videos(args.video)
    tiles = args.tiles or video.choose_tiles(paths)
    scenes = video.load_scenes(paths, args.fps, tiles)
    parts, how = video.split_scenes(scenes)
    frames, pairs = video.training_pairs(parts["train"])
    print(f"{len(paths)} videos, {len(scenes)} scenes, {tiles} x {tiles} windows a frame, split {how}:")
    for name, part in parts.items():
        print(
            f"  {name:<11}{len(part):>5} scenes {sum(len(s.sampled) for s in part):>7} frames at {args.fps:g} a second"
        )

    kept, checkpoints = args.out / "whitening.npz", list(args.out.glob("*.checkpoint.npz"))
    if args.resume and checkpoints:
        whiten = whitening.load_whitening(kept)
    else:
        if args.resume:
            print(f"nothing to go on from in {args.out}: starting afresh")
        for stale in checkpoints:
            stale.unlink()
        whiten = whitening.fit_whitening(frames, args.epsilon)
        whiten.save(kept)

    watched = watched_frames(parts["validation"])
    config = model.Config(args.alpha, args.beta)
    without = model.Config(args.alpha, 0.0)
    layers, histories = {}, {}
    layers["random"] = model.init_params(np.random.default_rng(args.seed), model.FILTERS[0]), config
    for name, setting in (("beta0", without), ("layer1", config)):
        params, histories[name] = fit_layer(
            name, setting, model.FILTERS[0], whiten.on_device(), frames, pairs, watched, args
        )
        layers[name] = params, setting
    files.write_groups(args.out / "filters.npz", {name: params for name, (params, _) in layers.items()})

    by_video = how.startswith("by video")
    compared = spaces.controls(whiten) | {name: spaces.stack([layer], whiten) for name, layer in layers.items()}
    retrievals, oracle, codes, test_frames, scene = evaluate(compared, parts["test"], by_video)
    chance = metrics.chance_auc(scene)
    rows = metrics.compare(retrievals, oracle)
    print_table(rows, oracle, chance, "videos" if by_video else "scenes")
    similarity = {name: metrics.group_similarity(layers[name][0]["W_d"], config.group) for name in ("beta0", "layer1")}
    for name, (within, between) in similarity.items():
        last = histories[name][-1]
        print(
            f"{NAMES[name]}: filters alike within groups {within:.3f}, between {between:.3f}; "
            f"active {last['active']:.1%}, dead units {last['dead']:.1%}"
        )

    plots.save(
        plots.filters(
            {f"{NAMES[n]}: decoder filters, by pool group": layers[n][0]["W_d"] for n in ("beta0", "layer1")}
        ),
        args.out / "filters.png",
    )
    plots.save(plots.precision_recall({NAMES[n]: r for n, r in retrievals.items()}, oracle), args.out / "curves.png")
    plots.save(plots.training_curves({NAMES[n]: h for n, h in histories.items()}), args.out / "training.png")
    query = metrics.middle_frames(scene)[np.bincount(scene).argmax()]  # of the longest scene
    found = nearest(codes, query, NAMES)
    plots.save(plots.nearest_frames(test_frames, query, found, scene), args.out / "neighbours.png")
    files.write_json(
        args.out / "results.json",
        {
            "temporal_auc": {name: row["auc"] for name, row in rows.items()},
            "interval_95": {name: row["auc_95"] for name, row in rows.items()},
            "oracle": oracle.auc,
            "chance": chance,
            "group_similarity": {n: {"within": w, "between": b} for n, (w, b) in similarity.items()},
            "last": {name: history[-1] for name, history in histories.items()},
            "data": {
                "videos": [path.name for path in paths],
                "split": how,
                "tiles": tiles,
                "fps": args.fps,
                "scenes": {name: len(part) for name, part in parts.items()},
                "bootstrap_over": "videos" if by_video else "scenes",
            },
            "configuration": {
                **asdict(config),
                "steps": args.steps,
                "batch": args.batch,
                "optimizer": args.optimizer,
                "rate": args.rate,
                "epsilon": args.epsilon,
            },
            "seed": args.seed,
            "backend": chosen(),
            "versions": versions(),
            "seconds": round(time.perf_counter() - start, 1),
            "peak_mb": peak_mb(),
        },
    )
    print(f"table, filters and pictures are in {args.out}; {time.perf_counter() - start:.0f} s, {peak_mb()} MB at most")
