"""Every figure, from arrays; here those of the convolutional model.

Each function returns a Figure, which a notebook shows and `save` writes. All are made and saved with Matplotlib's own
defaults, whatever a user's matplotlibrc says, in Okabe and Ito's colours, which colour-blind readers can distinguish.
"""

import io
import warnings
from contextlib import contextmanager

import matplotlib.figure
import matplotlib.style
import numpy as np
from cycler import cycler
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from slowae import files

COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#999999", "#F0E442"]
CURVES = cycler(linestyle=["-", "--", ":", "-."]) * cycler(color=COLOURS)  # all colours, then again in another line
SIDE = 0.9  # of a frame in a row of frames


@contextmanager
def styled():
    """Matplotlib's own defaults inside, except for the order of curves and the resolution; a decorator, too."""
    own = {"figure.dpi": matplotlib.rcParams["figure.dpi"], "axes.prop_cycle": CURVES}
    with matplotlib.style.context(["default", own]):
        yield


class Figure(matplotlib.figure.Figure):
    """Matplotlib's, which a notebook shows before pyplot has drawn anything there, too."""

    @styled()
    def _repr_png_(self):
        file = io.BytesIO()
        self.canvas.print_figure(file, format="png", bbox_inches="tight")
        return file.getvalue()


@styled()
def save(figure, path):
    """Figure -> .png, written whole or not at all."""
    with files.replacing(path) as file:
        figure.savefig(file, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})


def draw(path, make, *args, **kwargs):
    """Save make(*args, **kwargs), a Figure, as `path`; if that fails, warn and go on without this picture."""
    try:
        save(make(*args, **kwargs), path)
    except Exception as error:  # Matplotlib's failures have many types, and no picture is worth a run's results
        reason = (str(error) or type(error).__name__).splitlines()[0]
        warnings.warn(f"{path} could not be drawn: {reason}", stacklevel=2)


def filter_mosaic(W, group=4, empty=()):
    """W (F, F, C, K), C 1 or 3 -> one image (rows, columns, 3) in 0..1: each pool group a block of its filters.

    Each filter is scaled by its own largest magnitude; grey is zero. empty: filters that are left white.
    """
    F, K = W.shape[0], W.shape[-1]
    scaled = 0.5 + W / (2 * np.abs(W).max((0, 1, 2), keepdims=True).clip(1e-12))
    scaled[..., list(empty)] = 1
    inner, outer = (int(np.ceil(np.sqrt(count))) for count in (group, K / group))
    block = inner * (F + 1) + 2
    image = np.ones((outer * block, outer * block, 3))
    for k in range(K):
        row, column = divmod(k // group, outer)
        i, j = divmod(k % group, inner)
        y, x = row * block + i * (F + 1), column * block + j * (F + 1)
        image[y : y + F, x : x + F] = scaled[..., k]
    return image[: -(-(K // group) // outer) * block - 3, :-3]


@styled()
def filters(dictionaries, groups=None, silent=None, columns=4):
    """{title: W (F, F, C, K)} -> the mosaics; filters that are pooled together stand in one block.

    groups: {title: how many are pooled together}, else 4. silent: {title: the units that never fire}: they have learned
    nothing, are left empty, and are counted below.
    """
    groups, silent, columns = groups or {}, silent or {}, min(columns, len(dictionaries))
    rows = -(-len(dictionaries) // columns)
    figure = Figure(figsize=(4.4 * columns, 4.6 * rows), layout="constrained")
    figure.get_layout_engine().set(wspace=0.08)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (title, W) in zip(grid, dictionaries.items(), strict=False):
        empty = silent.get(title) or []
        axes.imshow(filter_mosaic(W, groups.get(title, 4), empty), interpolation="nearest")
        axes.set_title(f"{title}: filters, by pool group" if silent else title, fontsize=10)
        if empty:
            axes.text(0.5, -0.04, f"empty: {len(empty)} of {W.shape[3]} units that never fire", fontsize=8,
                      ha="center", transform=axes.transAxes)  # fmt: skip
    return figure


@styled()
def precision_recall(rows, oracle=None, recall="recall: share of the scene retrieved", title=""):
    """{name: (P_k, R_k, area)}, the oracle's P_k, R_k -> precision over recall."""
    figure = Figure(figsize=(8.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, (precision, share, area) in rows.items():
        axes.plot(share, precision, label=f"{name} ({area:.3f})")
    if oracle is not None:
        axes.plot(oracle[1], oracle[0], "k:", label="oracle")
    axes.set(xlabel=recall, ylabel="precision: share of the neighbours that is right", title=title)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize=8, title="area under the curve", title_fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(alpha=0.3)
    return figure


@styled()
def frame_rows(rows):
    """{title: frames (n, H, W, 3) uint8} -> Figure, axes: each row its frames, SIDE wide, at 0, 1, 2, ...

    One axes for all: a grid of them takes matplotlib ten times as long.
    """
    columns = max(len(frames) for frames in rows.values())
    figure = Figure(figsize=(0.8 * columns + 1.4, 0.8 * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots()
    for y, frames in enumerate(rows.values()):
        for x, frame in enumerate(frames):
            axes.imshow(frame, extent=(x, x + SIDE, y + SIDE, y), interpolation="nearest")
    axes.set(xlim=(-0.1, columns), ylim=(len(rows), -0.1), xticks=[])
    axes.set_yticks(SIDE / 2 + np.arange(len(rows)), rows, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure, axes


@styled()
def reconstructions(rows):
    """{title: whitened frames (n, H, W, 3)}; the others reconstruct the first -> all at its scale, grey for 0."""
    scale = 2 * np.quantile(np.abs(next(iter(rows.values()))), 0.99)
    return frame_rows({title: np.uint8(255 * (0.5 + x / scale).clip(0, 1)) for title, x in rows.items()})[0]


@styled()
def nearest_frames(frames, query, rows, scene, what="scene"):
    """frames (N, H, W, 3) uint8, the query's index, {space: indices}, scene (N,) -> the query and its neighbours."""
    right, wrong = {"color": COLOURS[0], "linestyle": "-"}, {"color": COLOURS[1], "linestyle": "--"}
    figure, axes = frame_rows({name: frames[[query, *indices]] for name, indices in rows.items()})
    for y, indices in enumerate(rows.values()):
        for x, index in enumerate(indices, 1):
            border = right if scene[index] == scene[query] else wrong
            axes.add_patch(Rectangle((x, y), SIDE, SIDE, fill=False, linewidth=2.5, **border))
    axes.xaxis.tick_top()
    axes.set_xticks([0.45, 1.45], ["query", "nearest"], fontsize=8)
    lines = [Line2D([], [], label=f"of the same {what}", **right), Line2D([], [], label="of another", **wrong)]
    figure.legend(handles=lines, loc="outside lower center", ncols=2, fontsize=8)
    return figure


@styled()
def training_curves(histories):
    """{name: history of train.fit} -> what model.statistics says, over the steps."""
    panels = {"reconstruction": "error / variance", "sparsity": "mean h", "slowness": "mean |z - z'| / mean z"}
    panels |= {"active": "share of h > 0", "dead": "share of silent units"}
    figure = Figure(figsize=(14, 2.9), layout="constrained")
    for axes, (key, label) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for name, history in histories.items():
            axes.plot([row["step"] for row in history], [row[key] for row in history], label=name)
        axes.set(xlabel="step", title=key, ylabel=label, ylim=(0, None))
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
