"""What slowness learns from movie patches: the fully connected model of Eq. 2, without and with sparsity (Figure 2)."""

import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from slowae import files, gabor, model, optim, plots, train
from slowae.backend import chosen, to_device, to_host
from slowae.commands import peak_mb, versions
from slowae.data import patches, sources, video, whitening
from slowae.plots import patches as plots_patches

UNITS, GROUP, SLOWEST = 512, 4, 32
BIAS_RATE = 0.1  # the biases learn this much slower: at the full rate the first steps silence units for good
BIAS_RATE_DENSE = 0.01  # at alpha = 0: of the groups that stayed noise at 0.1, most had gone to negative biases
RUNS = {"alpha0": "alpha = 0", "sparse": "alpha > 0"}


def add_arguments(parser):
    parser.add_argument("--video", type=Path, help="a video file or a folder of them (default: clips that come along)")
    parser.add_argument("--pairs", type=int, default=85000, help="pairs of patches to extract (%(default)s)")
    parser.add_argument("--steps", type=int, default=10000, help="(%(default)s)")
    parser.add_argument("--batch", type=int, default=128, help="pairs a step (%(default)s)")
    parser.add_argument("--rate", type=float, default=0.002, help="learning rate (%(default)s)")
    parser.add_argument("--beta", type=float, default=8.0, help="weight of slowness at alpha = 0 (%(default)s)")
    parser.add_argument("--alpha", type=float, default=1.0, help="weight of sparsity in the second run (%(default)s)")
    parser.add_argument("--beta-sparse", type=float, default=4.0, help="weight of slowness there (%(default)s)")
    parser.add_argument("--epsilon", type=float, default=0.3, help="of ZCA, in mean eigenvalues (%(default)s)")


def project_except(name):
    """optim.project, but parameter `name` left free: the two degeneracies."""

    def project(params):
        kept = params[name].copy()
        optim.project(params)
        params[name][...] = kept

    return project


def learn(name, config, start, x, watched, args, steps, project=optim.project, bias_rate=BIAS_RATE):
    """Train on x (2, P, D) from the parameters `start` -> params, history. Checkpoint: OUT/NAME.checkpoint.npz."""

    def gradients(params, batch):
        loss, grads = model.loss_and_gradients(params, batch, config)
        grads["b_e"] *= bias_rate
        return loss, grads

    def draw(rng):
        picks = to_device(rng.integers(x.shape[1], size=args.batch))
        return x[:, picks].reshape(-1, x.shape[2])

    return train.fit(
        gradients,
        start,
        draw,
        np.random.default_rng(args.seed),
        steps=steps,
        rate=args.rate,
        project=project,
        watch=lambda params: model.statistics(params, watched, config),
        checkpoint=args.out / f"{name}.checkpoint.npz",
        resume=args.resume,
        settings={
            "seed": args.seed,
            "batch": args.batch,
            "epsilon": args.epsilon,
            "pairs": x.shape[1],
            **asdict(config),
        },
        every=max(10, steps // 60),
        title=name,
    )


def group_slowness(params, x, config):
    """x (2N, D) -> for each group mean |z_t - z_t'| / mean z, scale-free, (K / group,); inf if the group is silent."""
    z = to_host(model.encode(params, x, config))
    change, mean = np.abs(z[: len(z) // 2] - z[len(z) // 2 :]).mean(0), z.mean(0)
    return np.divide(change, mean, out=np.full_like(change, np.inf), where=mean > 0)


def slowest_first(params, x, config):
    """Atoms (S, S, 1, SLOWEST groups of GROUP), slowest group first."""
    order = np.argsort(group_slowness(to_device(params), x, config), kind="stable")[:SLOWEST]
    W = params["W_d"].reshape(patches.SIDE, patches.SIDE, 1, -1, GROUP)
    return W[:, :, :, order].reshape(patches.SIDE, patches.SIDE, 1, -1)


def print_table(results):
    print(f"\n{'':<34}" + "".join(f"{RUNS[name]:>12}" for name in results))
    rows = {
        **{
            f"{q}, within / regrouped": lambda r, q=q: r["coherence"][q]["ratio"]
            for q in results["alpha0"]["coherence"]
        },
        "effective area, pixels": lambda r: r["area"],
        "slowness, mean |z - z'| / mean z": lambda r: r["test"]["slowness"],
        "reconstruction, error / variance": lambda r: r["test"]["reconstruction"],
        "active": lambda r: r["test"]["active"],
        "dead units": lambda r: r["test"]["dead"],
    }
    for title, value in rows.items():
        print(f"{title:<34}" + "".join(f"{value(result):>12.3f}" for result in results.values()))


def run(args):
    start = time.perf_counter()
    paths = sources.find_videos(args.video)
    scenes = patches.load_pairs(paths, args.pairs, np.random.default_rng(args.seed))
    parts, how = video.split_scenes(scenes)
    sizes = {name: sum(len(scene.frames) for scene in part) for name, part in parts.items()}
    print(f"{len(paths)} videos, pairs of patches, split {how}: {', '.join(f'{n} {k}' for k, n in sizes.items())}")
    extracted = time.perf_counter() - start

    whiten = whitening.fit_whitening(
        np.concatenate([s.frames.reshape(-1, patches.SIDE**2) for s in parts["train"]]), args.epsilon
    )
    x = to_device(patches.prepare(parts["train"], whiten))
    watched, tested = (to_device(patches.prepare(parts[part], whiten)) for part in ("validation", "test"))
    watched = watched[:, :: max(1, watched.shape[1] // 1000)].reshape(-1, x.shape[2])
    tested = tested.reshape(-1, x.shape[2])
    configs = {
        "alpha0": model.Config(0.0, args.beta, GROUP, size=1),
        "sparse": model.Config(args.alpha, args.beta_sparse, GROUP, size=1),
    }
    learned, histories = {}, {}

    def learn_as(name, like, start, steps, *how):
        learned[name], histories[name] = learn(name, configs[like], start, x, watched, args, steps, *how)

    began, drawn = time.perf_counter(), model.init_params(np.random.default_rng(args.seed), (x.shape[2], UNITS))
    learn_as("alpha0", "alpha0", drawn, args.steps, optim.project, BIAS_RATE_DENSE)
    # Sparsity comes last: from a random start it silences units before slowness has made them alike in their groups.
    learn_as("sparse", "sparse", learned["alpha0"], args.steps)
    trained = time.perf_counter() - began
    short = max(1, args.steps // 4)
    learn_as("free_norm", "sparse", learned["alpha0"], short, project_except("W_d"))
    learn_as("free_bias", "alpha0", drawn, short, project_except("b_e"))

    units, results = {}, {}
    for name, config in configs.items():
        W = learned[name]["W_d"].reshape(patches.SIDE, patches.SIDE, UNITS)
        units[name] = gabor.measure(W, GROUP)
        results[name] = {
            "coherence": gabor.coherence(units[name], np.random.default_rng(args.seed), GROUP),
            "area": float(units[name]["area"].mean()),
            "blobs": float(units[name]["blob"].mean()),
            "test": model.statistics(to_device(learned[name]), tested, config),
            "last": histories[name][-1],
        }
    print_table(results)
    print(f"effective area, alpha > 0 over alpha = 0: {results['sparse']['area'] / results['alpha0']['area']:.2f}")

    shown = {run: slowest_first(learned[run], tested, config) for run, config in configs.items()}
    titles = {"alpha0": "(a) without sparsity, alpha = 0", "sparse": f"(b) with sparsity, alpha = {args.alpha:g}"}
    plots.save(plots.filters({titles[n]: W for n, W in shown.items()}), args.out / "figure2.png")
    plots.save(
        plots_patches.measures(
            {RUNS[n]: u for n, u in units.items()}, {RUNS[n]: r["coherence"] for n, r in results.items()}, patches.SIDE
        ),
        args.out / "measures.png",
    )
    plots.save(
        plots_patches.degeneracy(
            {"unit-norm atoms": histories["sparse"], "free atoms": histories["free_norm"]},
            {"loss": "loss of Eq. 2", "sparsity": "mean h", "reconstruction": "error / variance"},
            f"Without the unit-norm projection (alpha = {args.alpha:g})",
        ),
        args.out / "free_norm.png",
    )
    plots.save(
        plots_patches.degeneracy(
            {"bias <= 0": histories["alpha0"], "free bias": histories["free_bias"]},
            {"active": "share of h > 0", "slowness": "mean |z - z'| / mean z", "reconstruction": "error / variance"},
            "With free biases (alpha = 0)",
            {"atoms, free bias": slowest_first(learned["free_bias"], tested, configs["alpha0"])},
        ),
        args.out / "free_bias.png",
    )
    files.write_arrays(
        args.out / "dictionary.npz",
        {
            **learned["alpha0"],
            **{f"{name}_sparse": value for name, value in learned["sparse"].items()},
            "mean": whiten.mean,
            "matrix": whiten.matrix,
            "epsilon": np.array(whiten.epsilon),
        },
    )
    files.write_json(
        args.out / "results.json",
        {
            "runs": results,
            "area_ratio": results["sparse"]["area"] / results["alpha0"]["area"],
            "degeneracies": {name: histories[name][-1] for name in ("free_norm", "free_bias")},
            "data": {"videos": [path.name for path in paths], "split": how, "pairs": sizes},
            "configuration": {
                "units": UNITS,
                "bias_rate": {"alpha0": BIAS_RATE_DENSE, "others": BIAS_RATE},
                **{name: asdict(config) for name, config in configs.items()},
                **{name: getattr(args, name) for name in ("steps", "batch", "rate", "epsilon", "pairs")},
            },
            "seed": args.seed,
            "backend": chosen(),
            "versions": versions(),
            "seconds": {
                "extraction": round(extracted, 1),
                "both_runs": round(trained, 1),
                "all": round(time.perf_counter() - start, 1),
            },
            "peak_mb": peak_mb(),
        },
    )
    print(f"dictionaries, measures and pictures are in {args.out}; {time.perf_counter() - start:.0f} s, {peak_mb()} MB")
