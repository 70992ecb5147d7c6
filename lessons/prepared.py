"""What lessons 08 to 15 use ready-made: films, trainings, clocks and pictures. No lesson asks you to read it."""

import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import material
import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

from slowae import files, model, optim, train
from slowae.data import patches, scenes, sources, video, whitening
from slowae.methods import drlim, drlim_convolutional
from slowae.plots import COLOURS

FIGURES = Path(__file__).parents[1] / "figures"


def main_job():
    """The clips that come along, and what the main job `python -m slowae` stored of its training on them.

    -> scenes; parts, the scenes of "train", "validation" and "test"; whiten, fitted again; results; banks of filters.
    """
    results, found = files.read_json(FIGURES / "results.json"), video.load_scenes(sources.find_videos(), tiles=None)
    parts, _ = scenes.split_scenes(found)
    whiten = whitening.fit_whitening(scenes.windows(parts["train"])[0], results["settings"]["epsilon"])
    banks = files.read_groups(FIGURES / "learned.npz")
    return SimpleNamespace(scenes=found, parts=parts, whiten=whiten, results=results, banks=banks)


def small_film():
    """The clips in windows of 32 x 32 -> the scenes of each part, and what cuts frames to 16 x 16 and whitens them."""
    parts, _ = scenes.split_scenes(video.load_scenes(sources.find_videos(), tiles=4))
    fitted = whitening.fit_whitening(scenes.windows(parts["train"])[0][:, 8:24, 8:24], epsilon=0.3)
    return parts, lambda frames: fitted(frames[:, 8:24, 8:24])


def frames_of_clips(found, low, high, count, rng):
    """`count` frames of each clip, from between these shares of its scenes -> frames, the number of each one's clip."""
    clips, frames = sorted({scene.video for scene in found}), []
    for clip in clips:
        cut = [s.frames[int(low * len(s.frames)) : int(high * len(s.frames))] for s in found if s.video == clip]
        frames.append(rng.permutation(np.concatenate(cut))[:count])
    return np.concatenate(frames), np.repeat(np.arange(len(clips)), count)


def patch_pairs():
    """Lesson 04's whitened patches (2P, 100), all x_t, then all x_t', to learn from and to test."""
    parts, _ = scenes.split_scenes(material.moving_patches(10))
    rows = np.concatenate([scene.frames.reshape(-1, 100) for scene in parts["train"]])
    whiten = whitening.fit_whitening(rows, epsilon=0.3)
    return [patches.prepare(parts[name], whiten).reshape(-1, 100) for name in ("train", "test")]


def descend(loss_and_gradients, start, project, film):
    """1,500 steps of Adam on batches of 500 pairs of patches, from `start` -> params, history."""
    return train.fit(
        lambda params, x, done: loss_and_gradients(params, x),
        lambda rng: start,
        patches.batches(film.reshape(2, -1, film.shape[1]), 500),
        train.Descent(1500, rate=0.01, optimizer="adam", every=50),
        project=project,
    )


def draws(x, windows, size=8):
    """-> draw(rng): a batch of `size` windows of frames, all first frames, then all second ones."""
    return lambda rng: x[windows[rng.integers(len(windows), size=size)].T.ravel()]


def eq_2(draw, config, shape, steps, rate, seed=0, watched=None):
    """Eq. 2 by Adam from random filters of `shape` -> params, history, which has statistics of the frames `watched`."""

    def watch(params):
        return {} if watched is None else model.statistics(params, watched, config)

    return train.fit(
        lambda params, x, done: model.loss_and_gradients(params, x, config, done),
        lambda rng: model.init_params(rng, shape),
        draw,
        train.Descent(steps, rate, "adam", seed=seed),
        project=partial(optim.project, kappa=config.kappa),
        watch=watch,
    )


def eq_1(x, windows, config, steps, seed=0):
    """Eq. 1 on pooled convolutional codes (DrLIM), from the same filters as eq_2 -> W_e, b_e, and W_e as W_d."""

    def draw(rng):
        frames, *pairs = drlim.draw_pairs(rng, windows, config)
        return x[frames], *pairs

    params, _ = train.fit(
        lambda params, batch, done: drlim_convolutional.loss_and_gradients(params, batch, config),
        lambda rng: drlim_convolutional.init_params(rng, [(9, 9, x.shape[3], 64)]),
        draw,
        train.Descent(steps, config.rate, "adam", seed=seed),
    )
    return {"W_e": params["W_1"], "b_e": params["b_1"], "W_d": params["W_1"]}


def clock(function, *arguments, runs=7):
    """-> what function returns, and the shortest of its times on this thread, in milliseconds."""
    times = []
    with threadpool_limits(1, "blas"):
        for _ in range(runs):
            begun = time.thread_time()
            out = function(*arguments)
            times.append(1000 * (time.thread_time() - begun))
    return out, min(times)


def time_step(by, params, x):
    """The four lines of Eq. 2 that convolve, by the module conv or conv_fourier -> {name: milliseconds}."""
    (a, conv_cache), forward = clock(by.conv_forward, x, params["W_e"], params["b_e"])
    (x_hat, decode_cache), decode = clock(by.decode_forward, np.maximum(a, 0), params["W_d"])
    (dh, _), decode_back = clock(by.decode_backward, x_hat - x, decode_cache)
    _, back = clock(by.conv_backward, dh, conv_cache)
    return {"conv_forward": forward, "decode_forward": decode, "decode_backward": decode_back, "conv_backward": back}


def bars(groups, xlabel, log=False, height=None, number="%.3g"):
    """{label: {line: value}} -> a bar for each label at each line."""
    lines = list(next(iter(groups.values())))
    _, axes = plt.subplots(figsize=(8, height or 0.6 + 0.3 * len(lines)), layout="constrained")
    thick = 0.8 / len(groups)
    for i, (label, values) in enumerate(groups.items()):
        at = np.arange(len(lines)) + thick * (i + 0.5) - 0.4
        drawn = axes.barh(at, [values[line] for line in lines], thick, log=log, color=COLOURS[i], label=label)
        axes.bar_label(drawn, fmt=number, padding=2, fontsize=8)
    axes.set_yticks(range(len(lines)), lines)
    axes.margins(x=0.2)  # room for the numbers
    axes.invert_yaxis()
    axes.set(xlabel=xlabel)
    if len(groups) > 1:
        axes.legend(fontsize=8)
    return axes


def marked(figure):
    """A figure of one axes, its curves told apart by marks, too."""
    axes = figure.axes[0]
    for line, mark in zip(axes.lines, "osD^v<>*Ph", strict=False):
        if line.get_linestyle() != ":":
            line.set(marker=mark, markevery=4, markersize=4)
    axes.legend(fontsize=8, title="area under the curve", title_fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def draw_intervals(axes, rows):
    """{label: (value, low, high)} -> a point and its interval on each line."""
    values, low, high = np.transpose(list(rows.values()))
    axes.errorbar(values, range(len(rows)), xerr=[values - low, high - values], fmt="o", color=COLOURS[0], capsize=3)
    axes.set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.5, -0.5))
    axes.grid(axis="x", alpha=0.3)


def whitened_rows(rows):
    """{title: whitened frames (n, 16, 16, 3)} -> a row of images each, every image at its own contrast."""
    images = np.array([x / (2 * np.abs(x).max((1, 2, 3), keepdims=True).clip(1e-6)) + 0.5 for x in rows.values()])
    images = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1)
    _, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    axes.imshow(images.swapaxes(1, 2).reshape(18 * len(rows), -1, 3), interpolation="nearest")
    axes.set(xticks=[])
    axes.set_yticks(9 + 18 * np.arange(len(rows)), rows)
    return axes


def curvature(z):
    """z (3N, ...), all z_t-1, then all z_t, then all z_t+1 -> the angle between its two steps (N,), degrees.

    0 where the code moves straight on, 120 on average where each frame's is independent; NaN where it stands still.
    """
    one, two = np.diff(z.reshape(3, len(z) // 3, -1), axis=0)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    cosine = np.divide((one * two).sum(1), lengths, out=np.full_like(lengths, np.nan), where=lengths > 0)
    return np.degrees(np.arccos(cosine.clip(-1, 1)))
