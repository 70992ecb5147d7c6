"""Figure 1 and its companions: samples, the embedding coloured by each angle, its unrolling, the sweep."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from slowae import files

# The paper's 0 degrees blue, 90 degrees pink, with lightness rising all the way: it reads without colour too.
BLUE_TO_PINK = LinearSegmentedColormap.from_list("blue_to_pink", ["#10208f", "#8b5cb8", "#ffa3c4"])
ANGLES = ("yaw", "roll")


def _scatter(ax, z, angle, size):
    """One panel of Figure 1b -> the coloured points, angle in degrees from 0 to 90."""
    ax.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal", adjustable="datalim")
    return ax.scatter(*z.T, c=angle, s=size, cmap=BLUE_TO_PINK, vmin=0, vmax=90, linewidths=0, rasterized=True)


def samples(views, angles):
    """Figure 1a: views (N, 96, 96) with their angles (N, 2), yaw and roll in degrees -> figure."""
    figure = Figure(figsize=(2.2 * len(views), 2.5), layout="constrained")
    for ax, view, (yaw, roll) in zip(figure.subplots(1, len(views)), views, angles, strict=True):
        ax.imshow(view, cmap="gray", vmin=0, vmax=255)
        ax.set(title=f"yaw {yaw:.0f}°, roll {roll:.0f}°", xticks=[], yticks=[])
    return figure


def embedding(z_start, z_end, angles, margin):
    """Figure 1b: z (N, 2) before and after training, coloured by yaw (left) and roll (right) -> figure."""
    figure = Figure(figsize=(6.6, 6.6), layout="constrained")
    axes = figure.subplots(2, 2)
    for row, z, when in zip(axes, (z_start, z_end), ("start", "end"), strict=True):
        for ax, angle, name in zip(row, angles.T, ANGLES, strict=True):
            points = _scatter(ax, z, angle, max(3, 8000 / len(z)))
            ax.set_title(f"{when} of training, by {name}")
            if when == "end":
                figure.colorbar(points, ax=axes[:, ANGLES.index(name)], label=f"{name} (degrees)", location="bottom")
    figure.supxlabel(f"margin m = {margin:g} in the units of z", fontsize="small")
    return figure


def unrolling(path, snapshots, steps, angles):
    """Write z at each snapshot, (T, N, 2) at `steps` (T,), as a .gif, coloured as Figure 1b."""
    figure = Figure(figsize=(6, 3.9), dpi=72, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    snapshots = snapshots - snapshots.mean(1, keepdims=True)
    reach = 1.05 * np.abs(snapshots).max()
    panels = []
    for axes, angle, name in zip(figure.subplots(1, 2), angles.T, ANGLES, strict=True):
        panels.append(_scatter(axes, snapshots[0], angle, 5))
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), adjustable="box")
        figure.colorbar(panels[-1], ax=axes, label=f"{name} (degrees)", location="bottom")
    frames = []
    for z, step in zip(snapshots, steps, strict=True):
        figure.suptitle(f"step {step}: z from its mean", fontsize=10)
        for points in panels:
            points.set_offsets(z)
        canvas.draw()
        figure.set_layout_engine("none")  # the first frame's layout fits them all
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).quantize(64))
    durations = [120] * (len(frames) - 1) + [2000]  # milliseconds: it rests at the end
    with files.replacing(path) as file:
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def sweep(rows):
    """Held-out R2 of every run, a line for each setting: rows with setting, r2_yaw, r2_roll -> figure."""
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    figure = Figure(figsize=(8, 0.34 * len(settings) + 1.4), layout="constrained")
    ax = figure.subplots()
    for name, marker, colour, shift in (("yaw", "o", "#10208f", -0.15), ("roll", "s", "#e0709c", 0.15)):
        ax.plot(
            [1 - row[f"r2_{name}"] for row in rows],
            [settings.index(row["setting"]) + shift for row in rows],
            marker,
            color=colour,
            markersize=5,
            label=name,
        )
    ax.set(
        yticks=range(len(settings)),
        yticklabels=settings,
        xscale="log",
        xlim=(1e-3, 1.5),
        ylim=(len(settings) - 0.5, -0.5),
        xlabel="1 − R² on held-out views (less is better)",
    )
    ax.axvline(0.02, color="0.5", linestyle="--", label="R² = .98")
    ax.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3)
    return figure
