"""Figure 1: Eq. 1 unrolls the views of a turning toy plane until its two angles lie straight and square."""

import time
from dataclasses import asdict, replace

import numpy as np

from slowae import files, plane_measures, plots, train
from slowae.backend import chosen, to_device, to_host
from slowae.commands import add_options, say
from slowae.data import plane
from slowae.environment import machine, peak_mb, versions
from slowae.methods.drlim import Config, embed, init_params, normalise, train_embedding
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
    default = Config()
    add_options(parser, "step held-out patch hidden margin near far steps rate", steps=default.steps, rate=default.rate)
    parser.add_argument("--squared", action="store_true", help="Hadsell's squared form of Eq. 1")
    parser.add_argument("--sweep", action="store_true", help=f"{SEEDS} seeds, and each setting changed in turn; long")


def _config(args):
    return Config(**{name: getattr(args, name) for name in asdict(Config())})


def fit(views, args, config, patch, seed, shown=()):
    """One training -> training (N,) bool, x on the device, params, history with z of the views `shown` in each row."""
    training, neighbours = plane.split(np.random.default_rng(seed), args.step, args.held_out, patch)
    x = to_device(normalise(views, training))
    shown = to_device(np.asarray(shown, int))

    def watch(params):
        # Kept in the history, so that a killed run's pictures are whole; a ten-thousandth of m is finer than a pixel.
        return {"z": to_host(embed(params, x[shown])).round(4).tolist()} if len(shown) else {}

    depends = {"config": asdict(config), "x": files.checksum(to_host(x)), "pairs": files.checksum(neighbours)}
    place = train.Checkpoint(args.out / "cache", "plane", depends | {"shown": len(shown)}, args.resume)
    every = max(1, config.steps // SNAPSHOTS)
    params, history = train_embedding(x, neighbours, config, seed, every=every, watch=watch, checkpoint=place)
    return training, x, params, history


def _sweep(args):
    """Every setting of SWEEP -> OUT/sweep.json, rewritten after each run, and OUT/sweep.png."""
    for change in SWEEP:  # what cannot be is refused now, not after an hour
        plane.split(np.random.default_rng(args.seed), args.step, args.held_out, change.get("patch", args.patch))
    views, yaw, roll = plane.load(args.step)
    rows = []
    for change in SWEEP:
        label = ", ".join(f"{name} {value}" for name, value in change.items()) or "as it comes"
        config = replace(_config(args), **{name: value for name, value in change.items() if name != "patch"})
        for seed in range(args.seed, args.seed + (1 if change else SEEDS)):
            training, x, params, history = fit(views, args, config, change.get("patch", args.patch), seed)
            judged = plane_measures.judge(to_host(embed(to_device(params), x)), np.column_stack([yaw, roll]), training)
            rows.append({"setting": label, "seed": seed, **judged["held_out"], "seconds": history[-1]["seconds"],
                         "degrees_between_gradients": judged["degrees_between_gradients"]})  # fmt: skip
            files.write_json(args.out / "sweep.json", {"runs": rows, **about(args)})
            plots.save(plots_plane.sweep(rows), args.out / "sweep.png")
    say(f"\n{'held-out views':<16}{'R2 yaw':>28}{'R2 roll':>28}{'degrees between':>28}")
    for label in dict.fromkeys(row["setting"] for row in rows):
        runs = [row for row in rows if row["setting"] == label]
        columns = (np.array([row[name] for row in runs]) for name in ("r2_yaw", "r2_roll", "degrees_between_gradients"))
        cells = (f"{np.median(c):.4f} ({c.min():.4f} to {c.max():.4f})" for c in columns)
        say(f"{label:<16}" + "".join(f"{cell:>28}" for cell in cells))


def about(args):
    """What a result of this command depends on."""
    settings = {"step": args.step, "held_out": args.held_out, "patch": args.patch, **asdict(_config(args))}
    return {"settings": settings, "seed": args.seed, "backend": chosen(), "versions": versions(), "machine": machine()}


def run(args):
    _config(args)
    with files.claim(args.out):
        _sweep(args) if args.sweep else _figure(args)


def _figure(args):
    """Figures 1a and 1b, and how the views unroll."""
    begun = time.perf_counter()
    views, yaw, roll = plane.load(args.step)
    angles = np.column_stack([yaw, roll])
    some = np.flatnonzero((yaw % (3 * args.step) == 0) & (roll % (3 * args.step) == 0))
    config = _config(args)
    training, x, params, history = fit(views, args, config, args.patch, args.seed, some)
    start = init_params(np.random.default_rng(args.seed), x.shape[1], config.hidden)
    z_start, z_end = (to_host(embed(to_device(p), x)) for p in (start, params))
    judged = {when: plane_measures.judge(z, angles, training) for when, z in (("start", z_start), ("end", z_end))}

    files.write_arrays(args.out / "embedding.npz", {"z_start": z_start, "z_end": z_end, "yaw": yaw, "roll": roll})
    middle = len(views) // 2 + len(np.unique(roll)) // 2
    shown = [0, middle, len(views) - 1]
    plots.save(plots_plane.samples(views[shown], angles[shown]), args.out / "figure_1a.png")
    plots.save(plots_plane.embedding(z_start, z_end, angles, config.margin), args.out / "figure_1b.png")
    snapshots = np.array([z_start[some], *(row.pop("z") for row in history)])
    times = [0, *(row["step"] for row in history)]
    plots_plane.unrolling(args.out / "unrolling.gif", snapshots, times, angles[some])
    files.write_json(
        args.out / "results.json",
        {
            **judged,
            "last": history[-1],
            "data": {"views": len(views), "training": int(training.sum())},
            **about(args),
            "seconds": round(time.perf_counter() - begun, 1),
            "peak_mb": peak_mb(),
        },
    )
    for when, numbers in judged.items():
        for which in ("all", "held_out"):
            values = ", ".join(f"{name} {value:.4f}" for name, value in numbers[which].items() if name != "views")
            say(f"{when:<6}{which:<9}{values}")
        say(f"{when:<6}gradients {numbers['degrees_between_gradients']:.1f} degrees apart")
    say(f"figures 1a and 1b, unrolling.gif and embedding.npz are in {args.out}; {time.perf_counter() - begun:.0f} s")
