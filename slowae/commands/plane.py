"""Figure 1: Eq. 1 unrolls the views of a turning toy plane until its two angles lie straight and square."""

import time
from dataclasses import asdict

import numpy as np

from slowae import files, metrics_plane, plots
from slowae.backend import chosen, require, to_device, to_host
from slowae.commands import peak_mb, versions
from slowae.data import plane
from slowae.embedding import Config, embed, init_params, normalise, train_embedding
from slowae.plots import plane as plots_plane

SNAPSHOTS = 40  # of the unrolling
SEEDS = 5  # of the settings as given; each change of --sweep has one
SWEEP = [
    {},
    {"patch": 5},
    {"squared": True},
    {"far": 1},
    {"far": 5},
    {"far": 20},
    {"hidden": 20},
    {"hidden": 50},
    {"margin": 0.5},
    {"margin": 8.0},
    {"hidden": 500},
]


def add_arguments(parser):
    parser.add_argument("--step", type=int, default=1, help="degrees between views (%(default)s)")
    parser.add_argument("--held-out", type=float, default=0.2, help="share of views kept from training (%(default)s)")
    parser.add_argument("--patch", type=int, default=1, help="hold out squares of N x N views (%(default)s)")
    default = Config()
    parser.add_argument("--hidden", type=int, default=default.hidden, help="hidden units (%(default)s)")
    parser.add_argument("--margin", type=float, default=default.margin, help="m of Eq. 1, in units of z (%(default)s)")
    parser.add_argument("--near", type=int, default=default.near, help="near pairs a step (%(default)s)")
    parser.add_argument("--far", type=int, default=default.far, help="far pairs for each near one (%(default)s)")
    parser.add_argument("--squared", action="store_true", help="Hadsell's squared form of Eq. 1")
    parser.add_argument("--steps", type=int, default=default.steps, help="(%(default)s)")
    parser.add_argument("--rate", type=float, default=default.rate, help="learning rate (%(default)s)")
    parser.add_argument("--sweep", action="store_true", help=f"{SEEDS} seeds, and each setting changed in turn; long")


def _config(settings):
    return Config(**{name: settings[name] for name in asdict(Config())})


def _start(views, settings, seed):
    """-> what a run needs: training (N,) bool, neighbours, x on the device, params, and the generator."""
    rng = np.random.default_rng(seed)
    training, neighbours = plane.split(rng, settings["step"], settings["held_out"], settings["patch"])
    x = to_device(normalise(views, training))
    return training, neighbours, x, init_params(rng, x.shape[1], settings["hidden"]), rng


def _sweep(args, settings):
    """Every setting of SWEEP -> OUT/sweep.json, rewritten after each run, and OUT/sweep.png."""
    views, yaw, roll = plane.load(args.step)
    path = args.out / "sweep.json"
    kept = files.read_json(path) if args.resume and path.exists() else {"runs": [], "configuration": settings}
    require(kept["configuration"] == settings, f"{path} was made with other settings; repeat those or start afresh")
    rows = kept["runs"]
    for change in SWEEP:
        label = ", ".join(f"{name} {value}" for name, value in change.items()) or "as it comes"
        for seed in range(args.seed, args.seed + (1 if change else SEEDS)):
            if any((row["setting"], row["seed"]) == (label, seed) for row in rows):
                continue
            begun = time.perf_counter()
            training, neighbours, x, params, rng = _start(views, settings | change, seed)
            config = _config(settings | change)
            params, _ = train_embedding(
                params, x, neighbours, config, rng, every=config.steps, title=f"{label}, seed {seed}"
            )
            judged = metrics_plane.judge(to_host(embed(to_device(params), x)), np.column_stack([yaw, roll]), training)
            seconds = round(time.perf_counter() - begun, 1)
            rows.append({"setting": label, "seed": seed, **judged["held_out"], "seconds": seconds})
            rows[-1]["degrees_between_gradients"] = judged["degrees_between_gradients"]
            files.write_json(path, {"runs": rows, "configuration": settings, "versions": versions()})
            plots.save(plots_plane.sweep(rows), args.out / "sweep.png")
    print(f"\n{'held-out views':<16}{'R2 yaw':>28}{'R2 roll':>28}{'degrees between':>28}")
    for label in dict.fromkeys(row["setting"] for row in rows):
        runs = [row for row in rows if row["setting"] == label]
        columns = (np.array([row[name] for row in runs]) for name in ("r2_yaw", "r2_roll", "degrees_between_gradients"))
        cells = (f"{np.median(c):.4f} ({c.min():.4f} to {c.max():.4f})" for c in columns)
        print(f"{label:<16}" + "".join(f"{cell:>28}" for cell in cells))


def run(args):
    begun = time.perf_counter()
    settings = {name: getattr(args, name) for name in ("step", "held_out", "patch", *asdict(Config()))}
    config = _config(settings)
    if args.sweep:
        return _sweep(args, settings)
    views, yaw, roll = plane.load(args.step)
    angles = np.column_stack([yaw, roll])
    training, neighbours, x, params, rng = _start(views, settings, args.seed)

    z_start = to_host(embed(to_device(params), x))
    kept = args.out / "snapshots.npz"
    some = np.flatnonzero((yaw % (3 * args.step) == 0) & (roll % (3 * args.step) == 0))
    snapshots = list(files.read_arrays(kept)["z"]) if args.resume and kept.exists() else [z_start[some]]
    some = to_device(some)

    def watch(params):
        snapshots.append(to_host(embed(params, x[some])))
        files.write_arrays(kept, {"z": np.array(snapshots)})
        return {}

    every = max(1, config.steps // SNAPSHOTS)
    params, history = train_embedding(
        params,
        x,
        neighbours,
        config,
        rng,
        watch=watch,
        every=every,
        checkpoint=args.out / "checkpoint.npz",
        resume=args.resume,
        settings={"seed": args.seed, **settings},
    )
    z_end = to_host(embed(to_device(params), x))
    seconds = {"training": round(time.perf_counter() - begun, 1)}

    judged = {when: metrics_plane.judge(z, angles, training) for when, z in (("start", z_start), ("end", z_end))}
    for when, numbers in judged.items():
        for which in ("all", "held_out"):
            values = ", ".join(f"{name} {value:.4f}" for name, value in numbers[which].items() if name != "views")
            print(f"{when:<6}{which:<9}{values}")
        print(f"{when:<6}gradients {numbers['degrees_between_gradients']:.1f} degrees apart")

    files.write_arrays(args.out / "embedding.npz", {"z_start": z_start, "z_end": z_end, "yaw": yaw, "roll": roll})
    middle = len(views) // 2 + len(np.unique(roll)) // 2
    shown = [0, middle, len(views) - 1]
    plots.save(plots_plane.samples(views[shown], angles[shown]), args.out / "figure_1a.png")
    plots.save(plots_plane.embedding(z_start, z_end, angles, config.margin), args.out / "figure_1b.png")
    times = np.minimum(np.arange(len(snapshots)) * every, config.steps)
    plots_plane.unrolling(args.out / "unrolling.gif", np.array(snapshots), times, angles[to_host(some)])
    seconds["whole"] = round(time.perf_counter() - begun, 1)
    files.write_json(
        args.out / "results.json",
        {
            **judged,
            "last": history[-1],
            "data": {"views": len(views), "training": int(training.sum()), "near_pairs": len(neighbours)},
            "configuration": settings,
            "seed": args.seed,
            "backend": chosen(),
            "versions": versions(),
            "seconds": seconds,
            "peak_mb": peak_mb(),
        },
    )
    print(f"figures 1a and 1b, unrolling.gif and embedding.npz are in {args.out}; {seconds['whole']:.0f} s")
