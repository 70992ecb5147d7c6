"""The figures of `python -m slowae patches`, from arrays: each function returns a matplotlib Figure."""

import numpy as np

from slowae.plots import COLOURS, Figure, filter_mosaic, styled


@styled()
def measures(units, coherences, side, groups=None):
    """{run: units}, {run: coherence} of measures.measure and coherence -> three panels.

    side: of the patches, pixels. groups: {run: units in a group}; None is 4 for all.
    """
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    width = 0.8 / len(coherences)
    for i, (name, found) in enumerate(coherences.items()):
        places = np.arange(len(found)) + width * (i - (len(coherences) - 1) / 2)
        bars = left.bar(places, [row["ratio"] for row in found.values()], width, color=COLOURS[i], label=name)
        left.bar_label(bars, fmt="%.2f", fontsize=8, rotation=90, padding=2)
    left.axhline(1, color="black", linestyle=":", linewidth=1)
    left.set_xticks(np.arange(len(found)), list(found))
    left.set(ylabel="spread within groups /\nrandom regrouping", title="do pooled units belong together?")
    left.margins(y=0.12)
    for i, (name, found) in enumerate(units.items()):
        group = (groups or {}).get(name, 4)
        lines = {"histtype": "step", "linewidth": 1.6, "color": COLOURS[i], "density": True}
        area = found["area"]
        middle.hist(area, np.linspace(0, side**2, 33), label=f"{name}: mean {area.mean():.0f}", **lines)
        phase = np.where(found["blob"], np.nan, found["phase"]).reshape(-1, group)
        apart = np.degrees(phase[:, :, None] - phase[:, None])[:, *np.triu_indices(group, 1)]
        apart = np.abs((apart + 180) % 360 - 180)
        right.hist(apart[np.isfinite(apart)], np.arange(0, 181, 10), label=name, **lines)
    middle.set(xlabel=f"effective area, pixels (whole patch: {side**2})", title="how local is a unit?")
    right.set(xlabel="phase between two units of a group, degrees", xticks=[0, 45, 90, 135, 180])
    right.set_title("quadrature, not copies")
    for axes in (middle, right):
        axes.set_ylabel("density")
        axes.legend(fontsize=8)
    return figure


@styled()
def degeneracy(histories, panels, title, atoms=None):
    """{name: history of train.fit}, {key: axis label} -> those keys over the steps; {title: atoms (S, S, 1, K)}."""
    count = len(panels) + len(atoms or {})
    figure = Figure(figsize=(3.6 * count, 3.4), layout="constrained")
    every = figure.subplots(1, count)
    last = min(history[-1]["step"] for history in histories.values())
    for axes, (key, label) in zip(every, panels.items(), strict=False):
        for i, (name, history) in enumerate(histories.items()):
            axes.plot([row["step"] for row in history], [row[key] for row in history], color=COLOURS[i], label=name)
        axes.set(xlabel="step", ylabel=label, xlim=(0, last))
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    every[0].legend(fontsize=8)
    for axes, (name, W) in zip(every[len(panels) :], (atoms or {}).items(), strict=True):
        axes.imshow(filter_mosaic(W), interpolation="nearest")
        axes.set_title(name, fontsize=10)
        axes.axis("off")
    figure.suptitle(title, fontsize=11)
    return figure
