"""Every way to turn a frame into a code that this project compares: one row each of METHODS, in the order of the table.

A new row is a file beside this one with a `fit` and an `encode`, and a line below.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slowae import files, train
from slowae.checks import require
from slowae.data.whitening import Whitening
from slowae.methods import (
    coherent,
    controls,
    convnet,
    drlim_convolutional,
    pooled_decoder,
    sfa,
    subspace,
    unitary,
    wavelets,
    whitened,
)
from slowae.methods import slow_autoencoder as eq2
from slowae.model import Config

FIRST = Config(alpha=3.0, beta=12.0, rise=0.25)
SECOND = Config(alpha=1.0, beta=4.0, group=1, size=4, rise=0.25)


class Data(NamedTuple):
    """What any method may learn from: the training part of one fold.

    frames (N, 32, 32, 3) uint8; windows (P, T), indices of T frames each one step apart, T = 2 or more; whiten: fitted
    on frames; validation: scenes that settings are chosen on and training is watched on; labelled: the training images
    (M, 32, 32, 3) uint8 and labels (M,) of CIFAR-10, or None.
    """

    frames: np.ndarray
    windows: np.ndarray
    whiten: Whitening
    validation: list = ()
    labelled: tuple | None = None

    @property
    def pairs(self):
        """Every two frames that follow one another in a window (P, 2). ValueError for windows of other frames."""
        good = self.windows.ndim == 2 and self.windows.shape[1] >= 2 and len(self.windows) > 0
        good = good and 0 <= self.windows.min() and self.windows.max() < len(self.frames)
        require(good, f"windows must be (P, T) indices of {len(self.frames)} frames, one or more, T = 2 or more")
        adjacent = np.stack([self.windows[:, :-1].ravel(), self.windows[:, 1:].ravel()], 1)
        return np.unique(adjacent, axis=0)

    @property
    def triplets(self):
        """Every three frames that follow one another (P, 3), chained from pairs. ValueError where there are none."""
        pairs, after = self.pairs, np.full(len(self.frames), -1)
        after[pairs[:, 0]] = pairs[:, 1]
        third = after[pairs[:, 1]]
        require((third >= 0).any(), "no three frames follow one another: give longer videos, or more frames a second")
        return np.column_stack([pairs, third])[third >= 0]

    @property
    def checksum(self):
        """What a cache of anything learned from these frames, and watched on those scenes, has in its name."""
        watched = {f"validation/{i}/{scene.step}": scene.frames for i, scene in enumerate(self.validation)}
        return files.checksum({"frames": self.frames, "windows": self.windows, **watched})

    def images(self):
        """labelled; ValueError where there are none."""
        require(self.labelled is not None, "this row learns from labelled images, and none were given")
        return self.labelled


@dataclass(frozen=True)
class Run:
    """How rows are trained. rate: of layers of Eq. 2; what else a row needs stands in its configuration.

    out: the folder that keeps what was trained, under names that hold a checksum of all that it depends on; None keeps
    nothing. resume: go on from there. bias_rate: biases learn so much slower than filters (optim), or slowness silences
    whole groups of units. configs: {row: configuration} where not the one of METHODS.
    """

    steps: int = 3000
    batch: int = 8
    rate: float = 1e-3
    optimizer: str = "adam"
    seed: int = 0
    out: Path | None = None
    resume: bool = True
    bias_rate: float = 0.03
    configs: dict = field(default_factory=dict)
    name: str = "row"  # of the row that is being fitted
    histories: dict = field(default_factory=dict)  # {row: history of train.fit}
    _fitted: dict = field(default_factory=dict)

    def fitted(self, name, data):
        """The parameters of row `name`, trained, or from the cache: layer 2 stands on layer 1."""
        kept = self._fitted.get(name)
        if kept is None or kept[0] is not data:
            config = self.configs.get(name, METHODS[name].config)
            self._fitted[name] = data, METHODS[name].fit(data, config, replace(self, name=name))
        return self._fitted[name][1]

    def kept(self, depends, make):
        """make() -> params that are learned without steps, or what it made before; depends (JSON): config, data, ..."""
        if self.out is None:
            return make()
        return files.cached(self.out / f"{self.name}-{files.key(depends)}.npz", make)

    def train(self, loss_and_gradients, init, draw, depends, *, project=None, watch=None, **descent):
        """train.fit with this run's settings, or those of `descent` -> params. depends (JSON): config, data, ..."""
        names = "steps rate optimizer bias_rate seed".split()
        settings = {name: getattr(self, name) for name in names} | descent
        place = self.out and train.Checkpoint(self.out, self.name, depends, self.resume)
        params, self.histories[self.name] = train.fit(
            loss_and_gradients, init, draw, train.Descent(**settings), project=project, watch=watch, checkpoint=place
        )
        return params


class Method(NamedTuple):
    """A row: title as printed; fit(data, config, run) -> params, {} where there is nothing to learn; encode(params,
    frames (N, 32, 32, 3) uint8) -> z (N, ...) on the host; config: its frozen dataclass, or None; kind: in pictures."""

    title: str
    fit: Callable
    encode: Callable
    config: object = None
    kind: str = "control"


def _layer1(title, config):
    return Method(title, eq2.fit, eq2.encode, config, EQ_2)


def _layer2(title, config, below):
    return Method(title, partial(eq2.fit, below=below), eq2.encode, config, EQ_2)


def _other(title, module, config, kind="other ways"):
    return Method(title, module.fit, getattr(module, "encode", eq2.encode), config, kind)


EQ_2, LABELS = "Eq. 2, and its terms", "with labels"
METHODS = {
    "pixels": Method("pixels", controls.nothing, controls.pixels),
    "pixels_centred": Method("pixels, mean removed", controls.nothing, controls.pixels_centred),
    "zca": Method("ZCA pixels", whitened.fit_zca, whitened.whitened),
    "zca_own": Method("ZCA, statistics of the images", whitened.fit_zca_own, whitened.whitened),
    "zca_tuned": Method("ZCA pixels, tuned on video", controls.fit_zca_tuned, controls.tuned, controls.Tuning()),
    "zca_tuned_classes": Method(
        "ZCA pixels, tuned on classes", controls.fit_zca_tuned, controls.tuned, controls.Tuning("class_auc")
    ),
    "colour_histogram": Method("colour histogram", controls.nothing, controls.colour_histogram),
    "random": Method("random weights", eq2.fit_random, eq2.encode, FIRST),
    "random_patches": Method("random patches as filters", eq2.fit_patches, eq2.encode, FIRST),
    "wavelets": Method("wavelets", wavelets.fit, eq2.encode, FIRST),
    "random2": Method("random weights, 2 layers", partial(eq2.fit_random, below="random"), eq2.encode, SECOND),
    "alpha0": _layer1("alpha = 0", replace(FIRST, alpha=0.0)),
    "beta0": _layer1("beta = 0", replace(FIRST, beta=0.0)),
    "layer1": _layer1("layer 1", FIRST),
    "group_sparse": _layer1("group sparsity", replace(FIRST, alpha=1.0, beta=0.0, group_sparsity=4.0)),
    "acceleration": _layer1("acceleration", replace(FIRST, beta=0.0, acceleration=8.0)),
    "beta0_2": _layer2("beta = 0, 2 layers", replace(SECOND, beta=0.0), below="beta0"),
    "layer2": _layer2("layer 2", SECOND, below="layer1"),
    "group_sparse2": _layer2(
        "group sparsity, 2 layers", replace(SECOND, beta=0.0, group_sparsity=1.0), below="group_sparse"
    ),
    "sfa": _other("slow feature analysis", sfa, sfa.Config()),
    "subspace": _other("slow subspaces", subspace, subspace.Config(decorrelation=0.1)),
    "unitary": _other("unitary pairs", unitary, unitary.Config(slowness=0.9)),
    "drlim1": _other("DrLIM", drlim_convolutional, drlim_convolutional.Config(squared=True)),
    "drlim2": _other("DrLIM, 2 layers", drlim_convolutional, drlim_convolutional.Config(layers=2, squared=True)),
    "pooled_decoder": _other("decoded from layer 1", pooled_decoder, pooled_decoder.Config()),
    "pooled_decoder2": Method(
        "decoded from layer 2",
        partial(pooled_decoder.fit, below="layer2"),
        pooled_decoder.encode,
        pooled_decoder.Config(filter=3),
        "other ways",
    ),
    "supervised1": Method("supervised, layer 1", convnet.fit_first, eq2.encode, kind=LABELS),
    "supervised2": _other("supervised, layer 2", convnet, convnet.Config(), LABELS),
    "few_labels": _other("few labels, layer 2", coherent, coherent.Config(weight=0.0), LABELS),
    "coherent": _other("few labels and film, layer 2", coherent, coherent.Config(), LABELS),
}
# Rows that learn from Data.labelled.
LABELLED = {"zca_own", "zca_tuned_classes"} | {name for name, row in METHODS.items() if row.kind == LABELS}
