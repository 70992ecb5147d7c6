"""Figure 1: Eq. 1 unrolls the views of a turning toy plane until its two angles lie straight and square."""

import argparse
import time
from dataclasses import asdict, dataclass

import numpy as np

from slowae import files, plane_measures, plots
from slowae.backend import chosen, to_device, to_host
from slowae.checkpoints import Checkpoint
from slowae.commands import add_options, said, say
from slowae.data import plane
from slowae.environment import machine, peak_mb, versions
from slowae.methods.drlim import Config, embed, init_params, normalise, train_embedding
from slowae.plots import plane as plots_plane

SNAPSHOTS = 40  # of the unrolling


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
    parser.add_argument(
        "--squared", action="store_true", default=argparse.SUPPRESS, help="Hadsell's squared form of Eq. 1"
    )


def run(args):
    settings, config = said(args, Settings()), said(args, Config())
    begun = time.perf_counter()
    with files.claim(args.out):
        training, neighbours = plane.split(
            np.random.default_rng(settings.seed), settings.step, settings.held_out, settings.patch
        )
        views, yaw, roll = plane.load(settings.step)
        angles = np.column_stack([yaw, roll])
        some = np.flatnonzero((angles % (3 * settings.step) == 0).all(1))  # views that the unrolling shows
        x = to_device(normalise(views, training))
        start = init_params(np.random.default_rng(settings.seed), x.shape[1], config.hidden)
        end, history = learn(x, neighbours, some, config, settings.seed, args)
        z = {when: to_host(embed(to_device(params), x)) for when, params in (("start", start), ("end", end))}
        scores = {when: plane_measures.judge(codes, angles, training) for when, codes in z.items()}

        files.write_arrays(
            args.out / "embedding.npz", {"z_start": z["start"], "z_end": z["end"], "yaw": yaw, "roll": roll}
        )
        snapshots = np.array([z["start"][some], *(row.pop("z") for row in history)])
        facts = {
            **scores,
            "last": history[-1],
            "data": {"views": len(views), "training": int(training.sum())},
            "settings": asdict(settings) | asdict(config),
            "backend": chosen(),
            "versions": versions(),
            "machine": machine(),
            "seconds": round(time.perf_counter() - begun, 1),
            "peak_mb": peak_mb(),
        }
        files.write_json(args.out / "results.json", facts)
        say(text(scores))

        shown = [0, len(views) // 2 + len(np.unique(roll)) // 2, len(views) - 1]
        plots.draw(args.out / "figure_1a.png", plots_plane.samples, views[shown], angles[shown])
        plots.draw(args.out / "figure_1b.png", plots_plane.embedding, z["start"], z["end"], angles, config.margin)
        steps = [0, *(row["step"] for row in history)]
        plots.draw(args.out / "unrolling.gif", plots_plane.Unrolling, snapshots, steps, angles[some])
    say(f"figures, embedding.npz and results.json are in {args.out}; {time.perf_counter() - begun:.0f} s")


def learn(x, neighbours, some, config, seed, args):
    """Train on the views x (N, D) -> params, history with z of the views `some` in each row; kept in OUT/cache."""

    def watch(params):
        # In the history, so that a killed run's pictures are whole; a ten-thousandth of m is finer than a pixel.
        return {"z": to_host(embed(params, x[to_device(some)])).round(4).tolist()}

    depends = {"config": asdict(config), "shown": len(some)}
    depends |= {"x": files.checksum(to_host(x)), "pairs": files.checksum(neighbours)}
    place = Checkpoint(args.out / "cache", "plane", depends, args.resume)
    every = max(1, config.steps // SNAPSHOTS)
    return train_embedding(x, neighbours, config, seed, every=every, watch=watch, checkpoint=place)


def text(scores):
    """What was measured -> lines: R2 of the two angles at the start and at the end, and how square they are."""
    lines = []
    for when, numbers in scores.items():
        for which, title in (("all", "all views"), ("held_out", "held-out views")):
            found = numbers[which]
            lines.append(f"{when:<6}{title:<15}R2 of yaw {found['r2_yaw']:.4f}, of roll {found['r2_roll']:.4f}")
        lines.append(f"{when:<6}gradients of the two angles {numbers['degrees_between_gradients']:.1f} degrees apart")
    return "\n".join(lines)
