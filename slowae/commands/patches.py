"""What slowness learns from movie patches: Eq. 2, fully connected, without and with sparsity (Figure 2), and others."""

import time
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np

from slowae import files, measures, model, optim, patch_banks, plots
from slowae.backend import chosen, to_device, to_host
from slowae.commands import add_options, said, say
from slowae.data import film_patches, patches, scenes, sources, whitening
from slowae.environment import machine, peak_mb, versions
from slowae.methods import Run
from slowae.plots import patches as plots_patches

TITLES = {"alpha0": "alpha = 0", "sparse": "alpha > 0", **patch_banks.TITLES}


@dataclass(frozen=True)
class Settings:
    """Of all runs; beta_sparse is the weight of slowness in the run with sparsity."""

    pairs: int = 85000
    epsilon: float = 0.3
    filters: int = 512
    steps: int = 10000
    batch: int = 128
    rate: float = 2e-3
    bias_rate: float = 0.1  # at the full rate the first steps silence units for good
    bias_rate_dense: float = 0.01  # at alpha = 0: of the groups that stayed noise at 0.1, most had negative biases
    alpha: float = 1.0
    beta: float = 8.0
    beta_sparse: float = 4.0
    seed: int = 0

    @property
    def dense(self):
        return model.Config(0.0, self.beta, patch_banks.GROUP, size=1, filters=self.filters)

    @property
    def sparse(self):
        return replace(self.dense, alpha=self.alpha, beta=self.beta_sparse)


class Films(NamedTuple):
    """Whitened pairs of patches on the device: x (2, P, D) to learn from, watched and tested (2N, D); facts: JSON."""

    x: np.ndarray
    watched: np.ndarray
    tested: np.ndarray
    whiten: whitening.Whitening
    facts: dict


def add_arguments(parser):
    names = "video seed pairs filters steps batch rate bias-rate beta alpha beta-sparse epsilon"
    add_options(parser, names, Settings())


def run(args):
    settings, paths = said(args, Settings()), sources.find_videos(getattr(args, "video", None))
    begun = time.perf_counter()
    with files.claim(args.out):
        films = load(paths, settings)
        shared = {name: getattr(settings, name) for name in ("steps", "batch", "rate", "bias_rate", "seed")}
        run = Run(**shared, optimizer="sgd", out=args.out / "cache", resume=args.resume)
        learned = learn_all(films, settings, run)
        banks = {
            "alpha0": patch_banks.of_eq2(learned["alpha0"], films.tested, settings.dense),
            "sparse": patch_banks.of_eq2(learned["sparse"], films.tested, settings.sparse),
            **patch_banks.learn(films.x, films.tested, run),
        }
        units = {name: measures.measure(patch_banks.images(bank.W), bank.group) for name, bank in banks.items()}
        results = judge(banks, units, settings)
        results["alpha0"]["test"] = model.statistics(to_device(learned["alpha0"]), films.tested, settings.dense)
        results["sparse"]["test"] = model.statistics(to_device(learned["sparse"]), films.tested, settings.sparse)
        ratio = results["sparse"]["area"] / results["alpha0"]["area"]
        write_arrays(args.out / "dictionary.npz", learned, banks, films.whiten)
        facts = {
            "runs": results,
            "area_ratio": ratio,
            "last": {name: run.histories[name][-1] for name in learned},
            "data": films.facts,
            "settings": asdict(settings),
            "backend": chosen(),
            "versions": versions(),
            "machine": machine(),
            "seconds": round(time.perf_counter() - begun, 1),
            "peak_mb": peak_mb(),
        }
        files.write_json(args.out / "results.json", facts)
        say("", text(results), f"effective area, alpha > 0 over alpha = 0: {ratio:.2f}")
        draw(args.out, banks, units, results, settings)
        free = patch_banks.of_eq2(learned["free_bias"], films.tested, settings.dense)
        draw_degeneracies(args.out, run.histories, free, settings)
    say(f"dictionaries, measures and pictures are in {args.out}; {time.perf_counter() - begun:.0f} s")


def load(paths, settings):
    """Videos -> Films, split by video or by shot; whitened by the training patches."""
    shots = film_patches.load_pairs(paths, settings.pairs, np.random.default_rng(settings.seed))
    parts, how = scenes.split_scenes(shots)
    sizes = {name: sum(len(scene.frames) for scene in part) for name, part in parts.items()}
    counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
    say(f"{how.videos} videos, pairs of patches, split by {how.by}: {counts}")
    grey = np.concatenate([scene.frames.reshape(-1, film_patches.SIDE**2) for scene in parts["train"]])
    whiten = whitening.fit_whitening(grey, settings.epsilon)
    x, watched, tested = (to_device(patches.prepare(parts[part], whiten)) for part in ("train", "validation", "test"))
    watched = watched[:, :: max(1, watched.shape[1] // 1000)]
    facts = {"videos": sorted({scene.video for scene in shots}), "split": how._asdict(), "pairs": sizes}
    return Films(x, watched.reshape(-1, x.shape[2]), tested.reshape(-1, x.shape[2]), whiten, facts)


def learn_all(films, settings, run):
    """Both runs of Figure 2 and the two degeneracies -> {name: params}; their histories are in run.histories."""
    drawn = model.init_params(np.random.default_rng(settings.seed), (films.x.shape[2], settings.filters))
    slow_biases, short = replace(run, bias_rate=settings.bias_rate_dense), max(1, settings.steps // 4)
    dense = learn("alpha0", settings.dense, drawn, films, slow_biases)
    return {
        "alpha0": dense,
        # Sparsity comes last: from a random start it silences units before slowness has made them alike in their groups.
        "sparse": learn("sparse", settings.sparse, dense, films, run),
        "free_norm": learn("free_norm", settings.sparse, dense, films, replace(run, steps=short), free="W_d"),
        "free_bias": learn("free_bias", settings.dense, drawn, films, replace(run, steps=short), free="b_e"),
    }


def learn(name, config, start, films, run, free=None):
    """Train Eq. 2 from the parameters `start`, with parameter `free` not projected -> params, run.histories[name]."""
    data = {"x": to_host(films.x), "watched": to_host(films.watched)}
    run = run.named(name, {"config": asdict(config), "start": files.checksum(start), "data": files.checksum(data)})
    return run.train(
        lambda params, batch, done: model.loss_and_gradients(params, batch, config),
        lambda rng: start,
        patches.batches(films.x, run.batch),
        project=project_except(free) if free else optim.project,
        watch=lambda params: model.statistics(params, films.watched, config),
        every=max(10, run.steps // 60),
    )


def project_except(name):
    """optim.project, but parameter `name` left free: the two degeneracies."""

    def project(params):
        value = params[name].copy()
        optim.project(params)
        params[name][...] = value

    return project


def judge(banks, units, settings):
    """Banks and what each one's units look like -> {name: what results.json says of it}."""
    results = {}
    for name, (_, group, z) in banks.items():
        delta = measures.delta(z)
        results[name] = {
            "coherence": measures.coherence(units[name], np.random.default_rng(settings.seed), group),
            "area": float(units[name]["area"].mean()),
            "blobs": float(units[name]["blob"].mean()),
            "delta": float(delta[np.isfinite(delta)].mean()),
        }
    return results


def write_arrays(path, learned, banks, whiten):
    """What was learned -> an .npz: W_e, b_e, W_d; those with sparsity; W_... of the others; the whitening."""
    arrays = dict(learned["alpha0"])
    arrays |= {f"{name}_sparse": value for name, value in learned["sparse"].items()}
    arrays |= {f"W_{name}": banks[name].W for name in patch_banks.TITLES}
    arrays |= {"mean": whiten.mean, "matrix": whiten.matrix, "epsilon": np.array(whiten.epsilon)}
    files.write_arrays(path, arrays)


def text(results):
    """What was measured -> a table: a column for each bank; four rows of Eq. 2 alone."""

    def line(title, values):
        return f"{title:<34}" + "".join(f"{value:>12.3f}" for value in values)

    lines = [f"{'':<34}" + "".join(f"{TITLES[name]:>12}" for name in results)]
    for quantity in results["alpha0"]["coherence"]:
        ratios = [result["coherence"][quantity]["ratio"] for result in results.values()]
        lines.append(line(f"{quantity}, within / regrouped", ratios))
    lines.append(line("effective area, pixels", [result["area"] for result in results.values()]))
    lines.append(line("slowness, <(z - z')^2> / var z", [result["delta"] for result in results.values()]))
    tests = [results["alpha0"]["test"], results["sparse"]["test"]]
    lines.append(line("slowness, mean |z - z'| / mean z", [test["slowness"] for test in tests]))
    lines.append(line("reconstruction, error / variance", [test["reconstruction"] for test in tests]))
    lines.append(line("active", [test["active"] for test in tests]))
    lines.append(line("dead units", [test["dead"] for test in tests]))
    return "\n".join(lines)


def draw(out, banks, units, results, settings):
    """Figure 2, the other banks, and the measures."""
    mosaics = {name: patch_banks.mosaic(bank) for name, bank in banks.items()}
    two = {
        "(a) without sparsity, alpha = 0": mosaics["alpha0"],
        f"(b) with sparsity, alpha = {settings.alpha:g}": mosaics["sparse"],
    }
    plots.draw(out / "figure2.png", plots.filters, two)
    others = {title: mosaics[name] for name, title in patch_banks.TITLES.items()}
    plots.draw(out / "rivals.png", plots.filters, others)  # of a block of pairs, each row is one
    looks = {TITLES[name]: look for name, look in units.items()}
    coherences = {TITLES[name]: result["coherence"] for name, result in results.items()}
    groups = {TITLES[name]: bank.group for name, bank in banks.items()}
    plots.draw(out / "measures.png", plots_patches.measures, looks, coherences, film_patches.SIDE, groups)


def draw_degeneracies(out, histories, free_bias, settings):
    """Eq. 2 without one of its projections: histories of all four runs, and the bank with free biases."""
    plots.draw(
        out / "free_norm.png",
        plots_patches.degeneracy,
        {"unit-norm atoms": histories["sparse"], "free atoms": histories["free_norm"]},
        {"loss": "loss of Eq. 2", "sparsity": "mean h", "reconstruction": "error / variance"},
        f"Without the unit-norm projection (alpha = {settings.alpha:g})",
    )
    plots.draw(
        out / "free_bias.png",
        plots_patches.degeneracy,
        {"bias <= 0": histories["alpha0"], "free bias": histories["free_bias"]},
        {"active": "share of h > 0", "slowness": "mean |z - z'| / mean z", "reconstruction": "error / variance"},
        "With free biases (alpha = 0)",
        {"atoms, free bias": patch_banks.mosaic(free_bias)},
    )
