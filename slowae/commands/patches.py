"""What slowness learns from movie patches: Eq. 2, fully connected, without and with sparsity (Figure 2), and others."""

import time
from dataclasses import asdict, dataclass, replace

import numpy as np

from slowae import environment, files, model, optim, patch_banks, plots
from slowae.backend import to_device, to_host
from slowae.commands import add_options, said, say
from slowae.data import film_patches, patches, scenes, sources, whitening
from slowae.methods import Run
from slowae.plots import patches as plots_patches


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
    def configs(self):
        """Of Eq. 2, without and with sparsity."""
        dense = model.Config(0.0, self.beta, patch_banks.GROUP, size=1, filters=self.filters)
        return {"alpha0": dense, "sparse": replace(dense, alpha=self.alpha, beta=self.beta_sparse)}


def add_arguments(parser):
    add_options(parser, "video seed pairs epsilon filters steps batch rate", Settings())
    add_options(parser, "bias-rate alpha beta beta-sparse", Settings())


def run(args):
    settings, paths = said(args, Settings()), sources.find_videos(getattr(args, "video", None))
    configs, out, begun = settings.configs, args.out, time.perf_counter()
    with files.claim(out):
        x, watched, tested, whiten, data = load(paths, settings)
        shared = {name: getattr(settings, name) for name in ("steps", "batch", "rate", "bias_rate", "seed")}
        run = Run(**shared, optimizer="sgd", out=out / "cache", resume=args.resume)
        learned = learn_all(x, watched, settings, run)
        banks = {name: patch_banks.of_eq2(learned[name], tested, config) for name, config in configs.items()}
        banks |= patch_banks.learn(x, tested, run)
        units, results = {}, {}
        for name, bank in banks.items():
            units[name], results[name] = patch_banks.judge(bank, settings.seed)
        for name, config in configs.items():
            results[name]["test"] = model.statistics(to_device(learned[name]), tested, config)
        arrays = learned["alpha0"] | {f"{name}_sparse": value for name, value in learned["sparse"].items()}
        arrays |= {f"W_{name}": banks[name].W for name in patch_banks.OTHERS}
        arrays |= {"mean": whiten.mean, "matrix": whiten.matrix, "epsilon": np.array(whiten.epsilon)}
        files.write_arrays(out / "dictionary.npz", arrays)
        ratio = results["sparse"]["area"] / results["alpha0"]["area"]
        last = {name: run.histories[name][-1] for name in learned}
        facts = {"runs": results, "area_ratio": ratio, "last": last, "data": data, "settings": asdict(settings)}
        files.write_json(out / "results.json", facts | environment.about(begun))
        say("", patch_banks.text(results), "", f"effective area, alpha > 0 over alpha = 0: {ratio:.2f}")
        banks["free_bias"] = patch_banks.of_eq2(learned["free_bias"], tested, configs["alpha0"])
        draw(out, banks, units, results, run.histories, settings)
    say(f"dictionaries, measures and pictures are in {out}; {time.perf_counter() - begun:.0f} s")


def load(paths, settings):
    """Videos -> pairs on the device, x (2, P, D), watched and tested (2N, D); the whitening of x; facts (JSON)."""
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
    return x, watched.reshape(-1, x.shape[2]), tested.reshape(-1, x.shape[2]), whiten, facts


def learn_all(x, watched, settings, run):
    """Both runs of Figure 2 and the two degeneracies -> {name: params}; their histories are in run.histories."""
    drawn = model.init_params(np.random.default_rng(settings.seed), (x.shape[2], settings.filters))
    dense, sparse = settings.configs.values()
    slow_biases, short = replace(run, bias_rate=settings.bias_rate_dense), replace(run, steps=max(1, run.steps // 4))
    start = learn("alpha0", dense, drawn, (x, watched), slow_biases)
    return {
        "alpha0": start,
        # Sparsity comes last: from a random start it silences units before slowness has made groups of them alike.
        "sparse": learn("sparse", sparse, start, (x, watched), run),
        "free_norm": learn("free_norm", sparse, start, (x, watched), short, free="W_d"),
        "free_bias": learn("free_bias", dense, drawn, (x, watched), short, free="b_e"),
    }


def learn(name, config, start, data, run, free=None):
    """Train Eq. 2 from the parameters `start`, with parameter `free` not projected -> params.

    data: x (2, P, D) to learn from, watched (2N, D).
    """
    x, watched = data
    seen = files.checksum({"x": to_host(x), "watched": to_host(watched)})
    run = run.named(name, {"config": asdict(config), "start": files.checksum(start), "data": seen})
    return run.train(
        lambda params, batch, done: model.loss_and_gradients(params, batch, config),
        lambda rng: start,
        patches.batches(x, run.batch),
        project=project_except(free) if free else optim.project,
        watch=lambda params: model.statistics(params, watched, config),
        every=max(10, run.steps // 60),
    )


def project_except(name):
    """optim.project, but parameter `name` left free: the two degeneracies."""

    def project(params):
        value = params[name].copy()
        optim.project(params)
        params[name][...] = value

    return project


def draw(out, banks, units, results, histories, settings):
    """Figure 2, the other banks, the measures; and Eq. 2 without one of its projections, beside the run with both."""
    mosaics, titles = {name: patch_banks.mosaic(bank) for name, bank in banks.items()}, patch_banks.TITLES
    without, sparse = "(a) without sparsity, alpha = 0", f"(b) with sparsity, alpha = {settings.alpha:g}"
    plots.draw(out / "figure2.png", plots.filters, {without: mosaics["alpha0"], sparse: mosaics["sparse"]})
    others = {title: mosaics[name] for name, title in patch_banks.OTHERS.items()}
    plots.draw(out / "rivals.png", plots.filters, others)  # of a block of pairs, each row is one
    looks = {titles[name]: look for name, look in units.items()}
    coherences = {titles[name]: numbers["coherence"] for name, numbers in results.items()}
    groups = {titles[name]: banks[name].group for name in units}
    plots.draw(out / "measures.png", plots_patches.measures, looks, coherences, film_patches.SIDE, groups)
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
        {"atoms, free bias": mosaics["free_bias"]},
    )
