"""Figures 3, 4 and 7 of the paper, and the map of alpha x beta."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch

from slowae.plots import COLOURS, frame_rows


def diagram():
    """Figure 3: the Siamese convolutional model and the three terms of Eq. 2."""
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 5.2))
    axes.axis("off")

    def box(x, y, text, colour, width=1.35):
        style = {"boxstyle": "round,pad=0.05", "facecolor": colour + "33", "edgecolor": colour}
        axes.add_patch(FancyBboxPatch((x - width / 2, y - 0.36), width, 0.72, **style))
        axes.text(x, y, text, ha="center", va="center", fontsize=9)

    def arrow(start, end):
        axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0})

    for y, out, t in ((4.3, 4.95, "t"), (0.9, 0.25, "t'")):
        box(0.9, y, f"frame $x_{{{t}}}$\n32 x 32 x 3", COLOURS[7])
        box(3.1, y, "convolve $W_e$, rectify\n64 filters of 9 x 9", COLOURS[0], 1.9)
        box(5.6, y, f"$h_{{{t}}}$\n32 x 32 x 64", COLOURS[7])
        box(7.6, y, "$L_2$ pool\n4 maps x 2 x 2", COLOURS[2], 1.45)
        box(9.3, y, f"$z_{{{t}}}$\n16 x 16 x 16", COLOURS[7], 1.25)
        for left, right in ((1.63, 2.1), (4.1, 4.87), (6.33, 6.82), (8.38, 8.62)):
            arrow((left, y), (right, y))
        inside = y - 1 if t == "t" else y + 1
        box(3.1, inside, "decode $W_d$\n64 filters of 9 x 9", COLOURS[0], 1.9)
        arrow((5.3, y + (inside - y) * 0.44), (4.1, inside))
        arrow((2.1, inside), (1.05, y + (inside - y) * 0.44))
        axes.text(0.1, inside, f"$|W_d h_{{{t}}} - x_{{{t}}}|^2$", fontsize=10, va="center", color=COLOURS[5])
        axes.text(5.6, out, f"$\\alpha \\, |h_{{{t}}}|_1$", ha="center", fontsize=10,
                  va="center", color=COLOURS[5])  # fmt: skip
    axes.text(3.1, 2.6, "the same weights", ha="center", va="center", fontsize=9, style="italic")
    arrow((9.3, 3.88), (9.3, 2.9))
    arrow((9.3, 1.32), (9.3, 2.3))
    axes.text(
        9.85, 2.6, "$\\beta \\, \\sum_i |z_{t,i} - z_{t',i}|$", ha="right", va="center", fontsize=10, color=COLOURS[5]
    )
    return figure


def scenes(rows, columns=12):
    """Figure 4: [(name, frames (N, 32, 32, 3) uint8), ...] -> each scene a row of frames, evenly spaced in time."""
    shown = {}
    for name, frames in rows:
        picks = np.unique(np.linspace(0, len(frames) - 1, columns).round().astype(int))
        shown[f"{name}\n{len(frames)} frames"] = frames[picks]
    return frame_rows(shown)[0]


def grid(alphas, betas, panels):
    """{title: values (alphas, betas)} -> one map each; beside them the second over the first, cell by cell."""
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
    varied = np.ptp(x) > 0 and np.ptp(y) > 0
    title = f"R = {np.corrcoef(x.ravel(), y.ravel())[0, 1]:.2f}" if varied else ""
    scatter.set(xlabel=across, ylabel=up, title=title)
    scatter.legend(fontsize=8)
    scatter.grid(alpha=0.3)
    return figure


def standings(rows, kinds):
    """{title: (x, y)}, each (value, low, high) of a difference from pixels, {title: kind} -> who stands where.

    x: temporal MAP, each video once, y: class AUC, both above pixels; lines: 95 % intervals of the differences.
    """
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = figure.subplots()
    shapes = {kind: (COLOURS[i], "osD^v"[i]) for i, kind in enumerate(dict.fromkeys(kinds.values()))}
    for number, (title, (x, y)) in enumerate(rows.items(), 1):
        colour, shape = shapes[kinds[title]]
        if None not in (*x, *y):  # where there is something to resample
            spread = [[[value - low], [high - value]] for value, low, high in (x, y)]
            axes.errorbar(x[0], y[0], *spread[::-1], color=colour, linewidth=0.8, alpha=0.6)
        axes.plot(x[0], y[0], shape, color=colour, label=f"{number}  {title}")
        away = ((4, 4), (4, -10), (-12, 4), (-12, -10))[number % 4]  # neighbours' numbers, in different corners
        axes.annotate(str(number), (x[0], y[0]), away, textcoords="offset points", fontsize=8)
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.axvline(0, color="0.7", linewidth=0.8)
    axes.set(xlabel="temporal MAP, each video once, difference from pixels", ylabel="class AUC, difference from pixels")
    figure.legend(fontsize=8, loc="outside right upper")
    told = [Line2D([], [], color=colour, marker=m, linestyle="", label=kind) for kind, (colour, m) in shapes.items()]
    figure.legend(handles=told, fontsize=8, loc="outside lower center", ncols=len(told))
    axes.grid(alpha=0.3)
    return figure
