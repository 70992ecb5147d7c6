"""What lesson 04 draws of the units of Figure 2."""

import matplotlib.pyplot as plt
import numpy as np

from slowae.plots import COLOURS


def measures(units, coherences, side, group=4):
    """{run: measures.measure}, {run: measures.coherence} of patches, side x side pixels -> three panels."""
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    width = 0.8 / len(coherences)
    for i, (name, coherence) in enumerate(coherences.items()):
        places = np.arange(len(coherence)) + width * (i - (len(coherences) - 1) / 2)
        bars = left.bar(places, [row["ratio"] for row in coherence.values()], width, color=COLOURS[i], label=name)
        left.bar_label(bars, fmt="%.2f", fontsize=8, rotation=90, padding=2)
    left.axhline(1, color="black", linestyle=":", linewidth=1)
    left.set_xticks(np.arange(len(coherence)), list(coherence))
    left.set(ylabel="spread within groups /\nrandom regrouping", title="do pooled units belong together?")
    left.margins(y=0.12)
    for i, (name, look) in enumerate(units.items()):
        lines = {"histtype": "step", "linewidth": 1.6, "color": COLOURS[i], "density": True}
        area = look["area"]
        middle.hist(area, np.linspace(0, side**2, 33), label=f"{name}: mean {area.mean():.0f}", **lines)
        phase = np.where(look["blob"], np.nan, look["phase"]).reshape(-1, group)
        apart = np.degrees(phase[:, :, None] - phase[:, None])[:, *np.triu_indices(group, 1)]
        apart = np.abs((apart + 180) % 360 - 180)
        right.hist(apart[np.isfinite(apart)], np.arange(0, 181, 10), label=name, **lines)
    middle.set(xlabel=f"effective area, pixels (whole patch: {side**2})", title="how local is a unit?")
    right.set(xlabel="phase between two units of a group, degrees", xticks=[0, 45, 90, 135, 180])
    right.set_title("quadrature, not copies")
    for axes in (middle, right):
        axes.set_ylabel("density")
        axes.legend(fontsize=8)
