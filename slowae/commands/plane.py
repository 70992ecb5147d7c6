"""Figure 1: Eq. 1 unrolls the views of a turning toy plane until its two angles lie straight and square."""

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
    """The views, and the share of them that is held out; the training's settings are drlim.Config."""

    step: int = 1
    held_out: float = 0.2
    seed: int = 0


def add_arguments(parser):
    add_options(parser, "seed step", vars(Settings()))
    add_options(parser, "margin steps rate", vars(Config()))


def run(args):
    settings, config, begun = said(args, Settings()), said(args, Config()), time.perf_counter()
    training, neighbours = plane.split(np.random.default_rng(settings.seed), settings.step, settings.held_out)
    with files.claim(args.out):
        views, yaw, roll = plane.load(settings.step)
        angles = np.column_stack([yaw, roll])
        some = np.flatnonzero((angles % (3 * settings.step) == 0).all(1))  # views that the unrolling shows
        x = normalise(views, training)
        start = init_params(np.random.default_rng(settings.seed), x.shape[1], config.hidden)
        depends = {"config": asdict(config), "x": files.checksum(x), "pairs": files.checksum(neighbours)}
        place, x = Checkpoint(args.out / "cache", "plane", depends, args.resume), to_device(x)
        end, history = train_embedding(x, neighbours, config, settings.seed, some, place)
        z_start, z_end = (to_host(embed(to_device(params), x)) for params in (start, end))
        snapshots = np.array([z_start[some], *(row.pop("z") for row in history)])

        files.write_arrays(args.out / "embedding.npz", {"z_start": z_start, "z_end": z_end, "yaw": yaw, "roll": roll})
        ends = {"start": z_start, "end": z_end}
        scores = {when: plane_measures.judge(z, angles, training) for when, z in ends.items()}
        data = {"views": len(views), "training": int(training.sum())}
        facts = {"last": history[-1], "data": data, "settings": asdict(settings) | asdict(config)}
        files.write_json(args.out / "results.json", scores | facts | environment.about(begun))
        for when, numbers in scores.items():
            r2, degrees = numbers["held_out"], numbers["degrees_between_gradients"]
            say(
                f"{when:<6}R2 of held-out views: yaw {r2['r2_yaw']:.4f}, roll {r2['r2_roll']:.4f}; "
                f"gradients of the two angles {degrees:.1f} degrees apart"
            )

        shown = [0, len(views) // 2 + len(np.unique(roll)) // 2, len(views) - 1]
        plots.draw(args.out / "figure_1a.png", plots_plane.samples, views[shown], angles[shown])
        plots.draw(args.out / "figure_1b.png", plots_plane.embedding, z_start, z_end, angles, config.margin)
        steps = [0, *(row["step"] for row in history)]
        plots.draw(args.out / "unrolling.gif", plots_plane.Unrolling, snapshots, steps, angles[some])
    say(f"figures, embedding.npz and results.json are in {args.out}; {time.perf_counter() - begun:.0f} s")
