"""Figure 1: Eq. 1 unrolls the views of a turning toy plane until its two angles lie straight and square."""

import argparse
import time
from dataclasses import asdict, dataclass

import numpy as np

from slowae import environment, files, plane_measures, plots
from slowae.backend import to_device, to_host
from slowae.checkpoints import Checkpoint
from slowae.commands import add_options, said, say
from slowae.data import plane
from slowae.methods.drlim import Config, embed, init_params, normalise, train_embedding
from slowae.plots import plane as plots_plane


@dataclass(frozen=True)
class Settings:
    """The views, and which of them are held out; the training's settings are drlim.Config."""

    step: int = 1
    held_out: float = 0.2
    patch: int = 1
    seed: int = 0


def add_arguments(parser):
    add_options(parser, "seed step held-out patch", Settings())
    add_options(parser, "hidden margin near far steps rate", Config())
    words = "Hadsell's squared form of Eq. 1"
    parser.add_argument("--squared", action="store_true", default=argparse.SUPPRESS, help=words)


def run(args):
    settings, config, begun = said(args, Settings()), said(args, Config()), time.perf_counter()
    rng = np.random.default_rng(settings.seed)
    training, neighbours = plane.split(rng, settings.step, settings.held_out, settings.patch)
    with files.claim(args.out):
        views, yaw, roll = plane.load(settings.step)
        angles = np.column_stack([yaw, roll])
        some = np.flatnonzero((angles % (3 * settings.step) == 0).all(1))  # views that the unrolling shows
        x = normalise(views, training)
        start = init_params(np.random.default_rng(settings.seed), x.shape[1], config.hidden)
        depends = {"config": asdict(config), "x": files.checksum(x), "pairs": files.checksum(neighbours)}
        place, x = Checkpoint(args.out / "cache", "plane", depends, args.resume), to_device(x)
        end, history = train_embedding(x, neighbours, config, settings.seed, some, place)
        z = {when: to_host(embed(to_device(params), x)) for when, params in (("start", start), ("end", end))}
        scores = {when: plane_measures.judge(codes, angles, training) for when, codes in z.items()}

        arrays = {f"z_{when}": codes for when, codes in z.items()} | {"yaw": yaw, "roll": roll}
        files.write_arrays(args.out / "embedding.npz", arrays)
        snapshots = np.array([z["start"][some], *(row.pop("z") for row in history)])
        data = {"views": len(views), "training": int(training.sum())}
        facts = {"last": history[-1], "data": data, "settings": asdict(settings) | asdict(config)}
        files.write_json(args.out / "results.json", scores | facts | environment.about(begun))
        say(text(scores))

        shown = [0, len(views) // 2 + len(np.unique(roll)) // 2, len(views) - 1]
        plots.draw(args.out / "figure_1a.png", plots_plane.samples, views[shown], angles[shown])
        plots.draw(args.out / "figure_1b.png", plots_plane.embedding, z["start"], z["end"], angles, config.margin)
        steps = [0, *(row["step"] for row in history)]
        plots.draw(args.out / "unrolling.gif", plots_plane.Unrolling, snapshots, steps, angles[some])
    say(f"figures, embedding.npz and results.json are in {args.out}; {time.perf_counter() - begun:.0f} s")


def text(scores):
    """What was measured -> lines: R2 of the two angles at the start and at the end, and how square they are."""
    lines = []
    for when, numbers in scores.items():
        for which, title in (("all", "all views"), ("held_out", "held-out views")):
            found = numbers[which]
            lines.append(f"{when:<6}{title:<15}R2 of yaw {found['r2_yaw']:.4f}, of roll {found['r2_roll']:.4f}")
        lines.append(f"{when:<6}gradients of the two angles {numbers['degrees_between_gradients']:.1f} degrees apart")
    return "\n".join(lines)
