"""Figure 1 and its companions: samples, the embedding coloured by each angle, and how it unrolls."""

import io

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from slowae.plots import Figure, styled

# The paper's 0 degrees blue, 90 degrees pink, with lightness rising all the way: it reads without colour too.
BLUE_TO_PINK = LinearSegmentedColormap.from_list("blue_to_pink", ["#10208f", "#8b5cb8", "#ffa3c4"])
ANGLES = ("yaw", "roll")


def _scatter(axes, z, angle, size):
    """One panel of Figure 1b -> the coloured points; angle in degrees."""
    axes.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal", adjustable="datalim")
    return axes.scatter(*z.T, c=angle, s=size, cmap=BLUE_TO_PINK, vmin=0, vmax=90, linewidths=0, rasterized=True)


@styled()
def samples(views, angles):
    """Figure 1a: views (N, 96, 96) with their angles (N, 2), yaw and roll in degrees -> figure."""
    figure = Figure(figsize=(2.2 * len(views), 2.5), layout="constrained")
    for axes, view, (yaw, roll) in zip(figure.subplots(1, len(views)), views, angles, strict=True):
        axes.imshow(view, cmap="gray", vmin=0, vmax=255)
        axes.set(title=f"yaw {yaw:.0f}°, roll {roll:.0f}°", xticks=[], yticks=[])
    return figure


@styled()
def embedding(z_start, z_end, angles, margin):
    """Figure 1b: z (N, 2) before and after training, coloured by yaw (left) and roll (right) -> figure."""
    figure = Figure(figsize=(6.6, 6.6), layout="constrained")
    panels = figure.subplots(2, 2)
    for row, z, when in zip(panels, (z_start, z_end), ("start", "end"), strict=True):
        for axes, angle, name in zip(row, angles.T, ANGLES, strict=True):
            points = _scatter(axes, z, angle, max(3, 8000 / len(z)))
            axes.set_title(f"{when} of training, by {name}")
            if when == "end":
                figure.colorbar(points, ax=panels[:, ANGLES.index(name)], label=f"{name} (degrees)", location="bottom")
    figure.supxlabel(f"margin m = {margin:g} in the units of z", fontsize="small")
    return figure


class Unrolling(Figure):
    """z at each snapshot, (T, N, 2) at `steps` (T,), coloured as Figure 1b; savefig writes a .gif of all of them."""

    @styled()
    def __init__(self, snapshots, steps, angles):
        super().__init__(figsize=(6, 3.9), layout="constrained")
        self.snapshots, self.steps, self.panels = snapshots - snapshots.mean(1, keepdims=True), steps, []
        reach = 1.05 * np.abs(self.snapshots).max()
        for axes, angle, name in zip(self.subplots(1, 2), angles.T, ANGLES, strict=True):
            self.panels.append(_scatter(axes, self.snapshots[0], angle, 5))
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), adjustable="box")
            self.colorbar(self.panels[-1], ax=axes, label=f"{name} (degrees)", location="bottom")

    def savefig(self, file, **_):
        frames = []
        for z, step in zip(self.snapshots, self.steps, strict=True):
            self.suptitle(f"step {step}: z from its mean", fontsize=10)
            for points in self.panels:
                points.set_offsets(z)
            picture = io.BytesIO()
            super().savefig(picture, format="png", dpi=72)
            frames.append(Image.open(picture).convert("RGB").quantize(64))
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=120, loop=0)
