"""What slowness learns from movie patches: Eq. 2, fully connected, without and with sparsity (Figure 2), and others."""

import time
from dataclasses import asdict, dataclass

import numpy as np

from slowae import environment, files, model, patch_banks, plots
from slowae.backend import to_device
from slowae.commands import add_options, require_groups, said, say
from slowae.data import film_patches, patches, scenes, sources, whitening
from slowae.methods import Run


@dataclass(frozen=True)
class Settings:
    """Of all trainings; beta_sparse is the weight of slowness in the run with sparsity."""

    pairs: int = 85000
    epsilon: float = 0.3
    filters: int = 512
    steps: int = 10000
    batch: int = 128
    rate: float = 2e-3
    bias_rate: float = 0.1  # at the full rate the first steps silence units for good
    alpha: float = 1.0
    beta: float = 8.0
    beta_sparse: float = 4.0
    seed: int = 0

    @property
    def configs(self):
        """Of Eq. 2, without and with sparsity."""
        shape = {"group": patch_banks.GROUP, "size": 1, "filters": self.filters}
        return {
            "alpha0": model.Config(0.0, self.beta, **shape),
            "sparse": model.Config(self.alpha, self.beta_sparse, **shape),
        }


def add_arguments(parser):
    names = "video seed pairs epsilon filters steps batch rate bias-rate alpha beta beta-sparse"
    add_options(parser, names, vars(Settings()))


def run(args):
    settings, paths = said(args, Settings()), sources.find_videos(getattr(args, "video", None))
    configs, out, begun = settings.configs, args.out, time.perf_counter()
    require_groups(settings.filters, patch_banks.GROUP, "patches")
    with files.claim(out):
        x, tested, whiten, data = load(paths, settings)
        shared = {name: getattr(settings, name) for name in ("steps", "batch", "rate", "bias_rate", "seed")}
        run = Run(**shared, optimizer="sgd", out=out / "cache", resume=args.resume)
        start, learned = model.init_params(np.random.default_rng(settings.seed), (x.shape[2], settings.filters)), {}
        for name, config in configs.items():
            # Sparsity goes on from what slowness made: from a random start it silences units before groups are alike.
            start = learned[name] = patch_banks.learn_eq2(name, start, x, config, run)
        banks = {name: patch_banks.of_eq2(learned[name], tested, config) for name, config in configs.items()}
        banks |= patch_banks.learn_others(x, tested, run)
        results = {name: patch_banks.judge(bank, settings.seed) for name, bank in banks.items()}
        for name, config in configs.items():
            results[name]["test"] = model.statistics(to_device(learned[name]), tested, config)
        arrays = learned["alpha0"] | {f"{name}_sparse": value for name, value in learned["sparse"].items()}
        arrays |= {f"W_{name}": banks[name].W for name in patch_banks.OTHERS}
        arrays |= whiten.arrays | {"epsilon": np.array(whiten.epsilon)}
        files.write_arrays(out / "dictionary.npz", arrays)
        ratio = results["sparse"]["area"] / results["alpha0"]["area"]
        last = {name: run.histories[name][-1] for name in learned}
        facts = {"runs": results, "area_ratio": ratio, "last": last, "data": data, "settings": asdict(settings)}
        files.write_json(out / "results.json", facts | environment.about(begun))
        say("", patch_banks.text(results), "", f"effective area, alpha > 0 over alpha = 0: {ratio:.2f}")
        side = film_patches.SIDE
        mosaics = {name: bank.W[:, : patch_banks.SHOWN].reshape(side, side, 1, -1) for name, bank in banks.items()}
        without, sparse = "(a) without sparsity, alpha = 0", f"(b) with sparsity, alpha = {settings.alpha:g}"
        plots.draw(out / "figure2.png", plots.filters, {without: mosaics["alpha0"], sparse: mosaics["sparse"]})
        others = {title: mosaics[name] for name, title in patch_banks.OTHERS.items()}
        plots.draw(out / "rivals.png", plots.filters, others)  # of a block of pairs, each row is one
    say(f"dictionaries, results.json and pictures are in {out}; {time.perf_counter() - begun:.0f} s")


def load(paths, settings):
    """Videos -> pairs on the device, x (2, P, D) and tested ones (2N, D); the whitening of x; facts (JSON)."""
    shots = film_patches.load_pairs(paths, settings.pairs, np.random.default_rng(settings.seed))
    parts, how = scenes.split_scenes(shots)
    sizes = {name: sum(len(scene.frames) for scene in part) for name, part in parts.items()}
    counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
    say(f"{how.videos} videos, pairs of patches, split by {how.by}: {counts}")
    grey = np.concatenate([scene.frames.reshape(-1, film_patches.SIDE**2) for scene in parts["train"]])
    whiten = whitening.fit_whitening(grey, settings.epsilon)
    x, tested = (to_device(patches.prepare(parts[part], whiten)) for part in ("train", "test"))
    facts = {"videos": sorted({scene.video for scene in shots}), "split": how._asdict(), "pairs": sizes}
    return x, tested.reshape(-1, x.shape[2]), whiten, facts
