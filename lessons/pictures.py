"""How the lessons draw: to follow a lesson you need not read this file."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from slowae.measures import filter_similarity
from slowae.plots import COLOURS, filter_mosaic

STYLES = "-", "--", ":", "-."


def curves(axes, x, lines, **labels):
    """{name: y} over x: each in a colour and a kind of line of its own; labels: what axes.set takes."""
    for i, (name, y) in enumerate(lines.items()):
        axes.plot(x, y, STYLES[i % len(STYLES)], color=COLOURS[i], label=name)
    axes.set(**labels)
    axes.legend(fontsize=8)


def images(axes, pictures, **how):
    """{title: picture}, one in each panel of `axes`, without ticks; how: what imshow takes -> the last one drawn."""
    for panel, (title, picture) in zip(np.ravel(axes), pictures.items(), strict=True):
        drawn = panel.imshow(picture, **how)
        panel.set_title(title, fontsize=9)
        panel.set(xticks=[], yticks=[])
    return drawn


def table(values, rows, columns, what):
    """Positive numbers (rows, columns), written in cells that their magnitude colours."""
    _, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    drawn = axes.imshow(np.log10(np.clip(values, 1e-12, None)), cmap="cividis", vmin=-11, vmax=0, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        axes.text(j, i, f"{value:.0e}", ha="center", va="center", color="w" if value < 1e-5 else "k", fontsize=9)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.figure.colorbar(drawn, label=f"$\\log_{{10}}$ {what}")


def histories(runs, panels):
    """{name: history of train.fit}, {key: title}: each key over the steps in a panel of its own."""
    _, axes = plt.subplots(1, len(panels), figsize=(9, 2.6), layout="constrained")
    steps = [row["step"] for row in next(iter(runs.values()))]
    for panel, (key, title) in zip(axes, panels.items(), strict=True):
        lines = {name: [row[key] for row in history] for name, history in runs.items()}
        curves(panel, steps, lines, xlabel="step", title=title, ylim=(0, None))


def groups(axes, title, W, silent=(), group=4, seed=0):
    """W (F, F, C, K): pool groups in blocks, the most alike first. Framed: a group whose filters are more alike than
    those of 99 of 100 random groups of the same filters. Units in `silent` are left empty."""
    F, K = W.shape[0], W.shape[-1]
    similarity, rng = filter_similarity(W) - np.eye(K), np.random.default_rng(seed)
    own = np.array([similarity[np.ix_(four, four)].mean() for four in np.arange(K).reshape(-1, group)])
    random = [rng.choice(K, group, replace=False) for _ in range(1000)]
    level = np.quantile([similarity[np.ix_(four, four)].mean() for four in random], 0.99)
    order = np.argsort(-own)
    units = (group * order[:, None] + np.arange(group)).ravel()
    axes.imshow(filter_mosaic(W[..., units], group, np.flatnonzero(np.isin(units, silent))), interpolation="nearest")
    inner, columns = int(np.ceil(np.sqrt(group))), int(np.ceil(np.sqrt(K / group)))
    width = inner * (F + 1) + 2
    for i in range((own > level).sum()):
        corner = width * (i % columns) - 1.5, width * (i // columns) - 1.5
        axes.add_patch(Rectangle(corner, width - 1, width - 1, fill=False, linewidth=2, clip_on=False))
    axes.set_title(f"{title}: {(own > level).sum()} of {len(own)} groups alike", fontsize=9)
    axes.axis("off")


def measures(units, coherences, side, group=4):
    """{run: measures.measure}, {run: measures.coherence} of patches, side x side pixels -> three panels."""
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
    width = 0.8 / len(coherences)
    for i, (name, coherence) in enumerate(coherences.items()):
        places = np.arange(len(coherence)) + width * (i - (len(coherences) - 1) / 2)
        bars = left.bar(places, [row["ratio"] for row in coherence.values()], width, color=COLOURS[i], label=name)
        left.bar_label(bars, fmt="%.2f", fontsize=8, rotation=90, padding=2)
    left.axhline(1, color="black", linestyle=":", linewidth=1)
    left.set_xticks(np.arange(len(coherence)), list(coherence), rotation=20, fontsize=8)
    left.set(ylabel="spread within groups /\nrandom regrouping", title="are groups alike?")
    left.margins(y=0.2)
    for i, (name, look) in enumerate(units.items()):
        lines = {"histtype": "step", "linewidth": 1.6, "color": COLOURS[i], "density": True}
        area = look["area"]
        middle.hist(area, np.linspace(0, side**2, 33), label=f"{name}: mean {area.mean():.0f}", **lines)
        phase = np.where(look["blob"], np.nan, look["phase"]).reshape(-1, group)
        apart = np.degrees(phase[:, :, None] - phase[:, None])[:, *np.triu_indices(group, 1)]
        apart = np.abs((apart + 180) % 360 - 180)
        right.hist(apart[np.isfinite(apart)], np.arange(0, 181, 10), label=name, **lines)
    middle.set(xlabel=f"effective area, of {side**2} pixels", title="how local is a unit?")
    right.set(xlabel="between two of a group, degrees", xticks=[0, 45, 90, 135, 180])
    right.set_title("difference of phase")
    for axes in (middle, right):
        axes.set_ylabel("density")
        axes.legend(fontsize=8)
