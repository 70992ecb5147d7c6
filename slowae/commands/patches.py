"""What slowness learns from movie patches: Eq. 2, fully connected, without and with sparsity (Figure 2), and others."""

import time
from dataclasses import asdict

import numpy as np

from slowae import files, measures, model, optim, patch_banks, plots, train
from slowae.backend import chosen, to_device, to_host
from slowae.commands import add_options, say
from slowae.data import film_patches, patches, scenes, sources, whitening
from slowae.environment import machine, peak_mb, versions
from slowae.patch_banks import GROUP
from slowae.plots import patches as plots_patches

UNITS = 512
BIAS_RATE = 0.1  # the biases learn this much slower: at the full rate the first steps silence units for good
BIAS_RATE_DENSE = 0.01  # at alpha = 0: of the groups that stayed noise at 0.1, most had gone to negative biases
RUNS = {"alpha0": "alpha = 0", "sparse": "alpha > 0", **patch_banks.TITLES}


def add_arguments(parser):
    names = "video pairs steps batch rate beta alpha beta-sparse epsilon"
    add_options(parser, names, steps=10000, batch=128, rate=2e-3, alpha=1.0, beta=8.0, epsilon=0.3)


def project_except(name):
    """optim.project, but parameter `name` left free: the two degeneracies."""

    def project(params):
        kept = params[name].copy()
        optim.project(params)
        params[name][...] = kept

    return project


def learn(name, config, start, data, args, steps, bias_rate=BIAS_RATE, project=optim.project):
    """Train from the parameters `start` on data, x (2, P, D) and what is watched -> params, history; in OUT/cache."""
    x, watched = data

    depends = {"config": asdict(config), "batch": args.batch, "x": files.checksum(to_host(x))}
    return train.fit(
        lambda params, batch, done: model.loss_and_gradients(params, batch, config),
        lambda rng: start,
        patches.batches(x, args.batch),
        train.Descent(steps, args.rate, bias_rate=bias_rate, every=max(10, steps // 60), seed=args.seed),
        project=project,
        watch=lambda params: model.statistics(params, watched, config),
        checkpoint=train.Checkpoint(args.out / "cache", name, depends, args.resume),
    )


def configurations(args):
    return {
        "alpha0": model.Config(0.0, args.beta, GROUP, size=1),
        "sparse": model.Config(args.alpha, args.beta_sparse, GROUP, size=1),
    }


def load(args):
    """The films -> whitening, training pairs x (2, P, D), watched and tested ones (2N, D), and words on the data."""
    paths = sources.find_videos(args.video)
    shots = film_patches.load_pairs(paths, args.pairs, np.random.default_rng(args.seed))
    parts, how = scenes.split_scenes(shots)
    sizes = {name: sum(len(scene.frames) for scene in part) for name, part in parts.items()}
    say(f"{how.videos} videos, pairs of patches, split by {how.by}: {', '.join(f'{n} {k}' for n, k in sizes.items())}")
    grey = np.concatenate([scene.frames.reshape(-1, film_patches.SIDE**2) for scene in parts["train"]])
    whiten = whitening.fit_whitening(grey, args.epsilon)
    x, watched, tested = (to_device(patches.prepare(parts[part], whiten)) for part in ("train", "validation", "test"))
    watched = watched[:, :: max(1, watched.shape[1] // 1000)]
    data = {"videos": sorted({scene.video for scene in shots}), "split": how._asdict(), "pairs": sizes}
    return whiten, x, watched.reshape(-1, x.shape[2]), tested.reshape(-1, x.shape[2]), data


def learn_all(x, watched, args):
    """Both runs of Figure 2 and the two degeneracies -> {name: params}, {name: history}."""
    configs, learned, histories = configurations(args), {}, {}

    def learn_as(name, like, start, steps, **how):
        learned[name], histories[name] = learn(name, configs[like], start, (x, watched), args, steps, **how)

    drawn = model.init_params(np.random.default_rng(args.seed), (x.shape[2], UNITS))
    learn_as("alpha0", "alpha0", drawn, args.steps, bias_rate=BIAS_RATE_DENSE)
    # Sparsity comes last: from a random start it silences units before slowness has made them alike in their groups.
    learn_as("sparse", "sparse", learned["alpha0"], args.steps)
    short = max(1, args.steps // 4)
    learn_as("free_norm", "sparse", learned["alpha0"], short, project=project_except("W_d"))
    learn_as("free_bias", "alpha0", drawn, short, project=project_except("b_e"))
    return learned, histories


def judge(banks, learned, histories, tested, args):
    """-> {name: what each unit looks like}, {name: what results.json says of the run}."""
    units, results = {}, {}
    for name, (W, group, z) in banks.items():
        units[name] = measures.measure(W.reshape(film_patches.SIDE, film_patches.SIDE, -1), group)
        delta = measures.delta(z)
        results[name] = {
            "coherence": measures.coherence(units[name], np.random.default_rng(args.seed), group),
            "area": float(units[name]["area"].mean()),
            "blobs": float(units[name]["blob"].mean()),
            "delta": float(delta[np.isfinite(delta)].mean()),
        }
    for name, config in configurations(args).items():
        test = model.statistics(to_device(learned[name]), tested, config)
        results[name] |= {"test": test, "last": histories[name][-1]}
    return units, results


def text(results):
    """What was measured -> a table."""
    lines = [f"{'':<34}" + "".join(f"{RUNS[name]:>12}" for name in results)]
    rows = {
        **{
            f"{q}, within / regrouped": lambda r, q=q: r["coherence"][q]["ratio"]
            for q in results["alpha0"]["coherence"]
        },
        "effective area, pixels": lambda r: r["area"],
        "slowness, <(z - z')^2> / var z": lambda r: r["delta"],
    }
    for title, value in rows.items():
        lines.append(f"{title:<34}" + "".join(f"{value(result):>12.3f}" for result in results.values()))
    own = {
        "slowness, mean |z - z'| / mean z": "slowness",
        "reconstruction, error / variance": "reconstruction",
        "active": "active",
        "dead units": "dead",
    }
    eq2 = [result["test"] for result in results.values() if "test" in result]
    for title, name in own.items():
        lines.append(f"{title:<34}" + "".join(f"{test[name]:>12.3f}" for test in eq2))
    return "\n".join(lines)


def draw(banks, learned, histories, units, results, tested, args):
    """Figure 2, the others, the measures, and the two degeneracies."""
    configs = configurations(args)
    titles = {"alpha0": "(a) without sparsity, alpha = 0", "sparse": f"(b) with sparsity, alpha = {args.alpha:g}"}
    plots.save(
        plots.filters({title: patch_banks.mosaic(banks[n]) for n, title in titles.items()}), args.out / "figure2.png"
    )
    others = {title: patch_banks.mosaic(banks[n]) for n, title in patch_banks.TITLES.items()}
    plots.save(plots.filters(others), args.out / "rivals.png")  # of a block of pairs, each row is one
    coherences = {RUNS[n]: r["coherence"] for n, r in results.items()}
    groups = {RUNS[n]: some.group for n, some in banks.items()}
    measured = plots_patches.measures({RUNS[n]: u for n, u in units.items()}, coherences, film_patches.SIDE, groups)
    plots.save(measured, args.out / "measures.png")
    free_norm = plots_patches.degeneracy(
        {"unit-norm atoms": histories["sparse"], "free atoms": histories["free_norm"]},
        {"loss": "loss of Eq. 2", "sparsity": "mean h", "reconstruction": "error / variance"},
        f"Without the unit-norm projection (alpha = {args.alpha:g})",
    )
    plots.save(free_norm, args.out / "free_norm.png")
    free_bias = plots_patches.degeneracy(
        {"bias <= 0": histories["alpha0"], "free bias": histories["free_bias"]},
        {"active": "share of h > 0", "slowness": "mean |z - z'| / mean z", "reconstruction": "error / variance"},
        "With free biases (alpha = 0)",
        {"atoms, free bias": patch_banks.mosaic(patch_banks.of_eq2(learned["free_bias"], tested, configs["alpha0"]))},
    )
    plots.save(free_bias, args.out / "free_bias.png")


def run(args):
    sources.find_videos(args.video)
    configurations(args)
    with files.claim(args.out):
        start = time.perf_counter()
        whiten, x, watched, tested, data = load(args)
        learned, histories = learn_all(x, watched, args)
        banks = {
            name: patch_banks.of_eq2(learned[name], tested, config) for name, config in configurations(args).items()
        }
        banks |= patch_banks.learn(x, tested, args)
        units, results = judge(banks, learned, histories, tested, args)
        draw(banks, learned, histories, units, results, tested, args)
        sparse = {f"{name}_sparse": value for name, value in learned["sparse"].items()}
        white = {"mean": whiten.mean, "matrix": whiten.matrix, "epsilon": np.array(whiten.epsilon)}
        others = {f"W_{name}": banks[name].W for name in patch_banks.TITLES}
        files.write_arrays(args.out / "dictionary.npz", {**learned["alpha0"], **sparse, **others, **white})
        found = {
            "runs": results,
            "area_ratio": results["sparse"]["area"] / results["alpha0"]["area"],
            "degeneracies": {name: histories[name][-1] for name in ("free_norm", "free_bias")},
            "data": data,
            "settings": {
                "units": UNITS,
                "bias_rate": {"alpha0": BIAS_RATE_DENSE, "others": BIAS_RATE},
                **{name: asdict(config) for name, config in configurations(args).items()},
                **{name: getattr(args, name) for name in ("steps", "batch", "rate", "epsilon", "pairs")},
            },
            "seed": args.seed,
            "backend": chosen(),
            "versions": versions(),
            "machine": machine(),
            "seconds": round(time.perf_counter() - start, 1),
            "peak_mb": peak_mb(),
        }
        files.write_json(args.out / "results.json", found)
    say("", text(results), f"effective area, alpha > 0 over alpha = 0: {found['area_ratio']:.2f}")
    say(f"dictionaries, measures and pictures are in {args.out}; {found['seconds']:.0f} s, {found['peak_mb']} MB")
