"""Figures 4 and 7 of the paper, and the map of alpha x beta."""

import numpy as np
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from slowae.plots import COLOURS, Figure, frame_rows, styled


@styled()
def scenes(rows, columns=12):
    """Figure 4: [(name, frames (N, 32, 32, 3) uint8), ...] -> each scene a row of frames, evenly spaced in time."""
    shown = {}
    for name, frames in rows:
        picks = np.unique(np.linspace(0, len(frames) - 1, columns).round().astype(int))
        shown[f"{name[:30]}\n{len(frames)} frames"] = frames[picks]
    return frame_rows(shown)[0]


@styled()
def grid(results):
    """{"alpha": values, "beta": values, two titles: (alphas, betas)} -> a map of each title, and the second's values
    over the first's."""
    alphas, betas = results["alpha"], results["beta"]
    panels = {title: np.array(values) for title, values in results.items() if title not in ("alpha", "beta")}
    figure = Figure(figsize=(4.2 * (len(panels) + 1), 3.6), layout="constrained")
    *maps, scatter = figure.subplots(1, len(panels) + 1)
    for axes, (title, values) in zip(maps, panels.items(), strict=True):
        picture = axes.imshow(values, cmap="cividis", origin="lower")
        for i, j in np.ndindex(values.shape):
            low = values[i, j] < (values.min() + values.max()) / 2
            axes.text(j, i, f"{values[i, j]:.3f}", ha="center", va="center", fontsize=8, color="w" if low else "k")
        axes.set(xticks=range(len(betas)), xticklabels=[f"{b:g}" for b in betas], xlabel="beta: weight of slowness")
        axes.set(yticks=range(len(alphas)), yticklabels=[f"{a:g}" for a in alphas], ylabel="alpha: weight of sparsity")
        axes.set_title(title, fontsize=10)
        figure.colorbar(picture, ax=axes, shrink=0.8)
    (across, x), (up, y) = panels.items()
    for j, beta in enumerate(betas):
        scatter.scatter(x[:, j], y[:, j], color=COLOURS[j], marker="osD^v<>*"[j], label=f"beta = {beta:g}")
    scatter.set(xlabel=across, ylabel=up)
    if np.ptp(x) > 0 and np.ptp(y) > 0:
        scatter.set_title(f"R = {np.corrcoef(x.ravel(), y.ravel())[0, 1]:.2f}")
    scatter.legend(fontsize=8)
    scatter.grid(alpha=0.3)
    return figure


def _spread(heights, apart):
    """heights (n,) -> the nearest heights in the same order that are `apart` from one another (n,)."""
    order, steps = np.argsort(heights, kind="stable"), apart * np.arange(len(heights))
    places = np.empty(len(heights))
    places[order] = steps + isotonic_regression(heights[order] - steps).x
    return places


@styled()
def standings(rows, kinds, task):
    """Figure 7: {title: (x, y)}, each (value, low, high) of a difference from pixels, {title: kind} -> a point each."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots()
    shapes = {kind: (COLOURS[i], "osD^v"[i]) for i, kind in enumerate(dict.fromkeys(kinds.values()))}
    points = np.reshape([(x[0], y[0]) for x, y in rows.values()], (-1, 2))
    for title, (x, y) in rows.items():
        colour, shape = shapes[kinds[title]]
        if None not in (*x, *y):
            spread = [[[value - low], [high - value]] for value, low, high in (x, y)]
            axes.errorbar(x[0], y[0], *spread[::-1], color=colour, linewidth=0.8, alpha=0.4)
        axes.plot(x[0], y[0], shape, color=colour)
    low, high = axes.set_ylim(axes.get_ylim())
    line = {"arrowstyle": "-", "color": "0.7", "linewidth": 0.5, "relpos": (0, 0.5)}  # to the left end of a name
    for title, point, y in zip(rows, points, _spread((points[:, 1] - low) / (high - low), apart=0.028), strict=True):
        axes.annotate(title, point, (1.02, y), textcoords="axes fraction", fontsize=8, va="center",
                      annotation_clip=False, arrowprops=line)  # fmt: skip
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.axvline(0, color="0.7", linewidth=0.8)
    axes.set(xlabel=f"temporal MAP, {task}: difference from pixels", ylabel="class AUC: difference from pixels")
    handles = [Line2D([], [], color=colour, marker=m, linestyle="", label=kind) for kind, (colour, m) in shapes.items()]
    figure.legend(handles=handles, fontsize=8, loc="outside lower center", ncols=len(handles))
    axes.grid(alpha=0.3)
    return figure
