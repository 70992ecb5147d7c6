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
from slowae.backend import require
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
)
from slowae.methods import slow_autoencoder as eq2
from slowae.model import Config

FIRST, SECOND = Config(rise=0.25), Config(group=1, size=4, rise=0.25)


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
        watched = {f"validation/{i}": scene.frames for i, scene in enumerate(self.validation)}
        return files.checksum({"frames": self.frames, "windows": self.windows, **watched})

    def images(self):
        """labelled; ValueError where there are none."""
        require(self.labelled is not None, "this row learns from labelled images, and none were given")
        return self.labelled


@dataclass(frozen=True)
class Run:
    """How rows are trained. rate: of layers of Eq. 2; what else a row needs stands in its own configuration.

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
    frames (N, 32, 32, 3) uint8) -> z (N, ...) on the host; config: its frozen dataclass, or None."""

    title: str
    fit: Callable
    encode: Callable
    config: object = None


METHODS = {
    "pixels": Method("pixels", controls.nothing, controls.pixels),
    "pixels_centred": Method("pixels, mean removed", controls.nothing, controls.pixels_centred),
    "zca": Method("ZCA pixels", controls.fit_zca, controls.whitened),
    "zca_own": Method("ZCA, statistics of the images", controls.fit_zca_own, controls.whitened),
    "zca_tuned": Method("ZCA pixels, tuned on video", controls.fit_zca_tuned, controls.tuned, controls.Tuning()),
    "zca_tuned_classes": Method(
        "ZCA pixels, tuned on classes", controls.fit_zca_tuned, controls.tuned, controls.Tuning("class_auc")
    ),
    "colour_histogram": Method("colour histogram", controls.nothing, controls.colour_histogram),
    "random": Method("random weights", eq2.fit_random, eq2.encode, FIRST),
    "random_patches": Method("random patches as filters", eq2.fit_patches, eq2.encode, FIRST),
    "wavelets": Method("wavelets", wavelets.fit, eq2.encode, FIRST),
    "alpha0": Method("alpha = 0", eq2.fit, eq2.encode, replace(FIRST, alpha=0.0)),
    "beta0": Method("beta = 0", eq2.fit, eq2.encode, replace(FIRST, beta=0.0)),
    "layer1": Method("layer 1", eq2.fit, eq2.encode, FIRST),
    "group_sparse": Method(
        "group sparsity", eq2.fit, eq2.encode, replace(FIRST, alpha=0.0, beta=0.0, group_sparsity=8.0)
    ),
    "acceleration": Method("acceleration", eq2.fit, eq2.encode, replace(FIRST, beta=0.0, acceleration=2.0)),
    "drlim1": Method("DrLIM", drlim_convolutional.fit, eq2.encode, drlim_convolutional.Config()),
    "random2": Method("random weights, 2 layers", partial(eq2.fit_random, below="random"), eq2.encode, SECOND),
    "beta0_2": Method("beta = 0, 2 layers", partial(eq2.fit, below="beta0"), eq2.encode, replace(SECOND, beta=0.0)),
    "layer2": Method("layer 2", partial(eq2.fit, below="layer1"), eq2.encode, SECOND),
    "sfa": Method("slow feature analysis", sfa.fit, sfa.encode, sfa.Config()),
    "subspace": Method("slow subspaces", subspace.fit, subspace.encode, subspace.Config()),
    "unitary": Method("unitary pairs", unitary.fit, unitary.encode, unitary.Config()),
    "group_sparse2": Method(
        "group sparsity, 2 layers",
        partial(eq2.fit, below="group_sparse"),
        eq2.encode,
        replace(SECOND, alpha=0.0, beta=0.0, group_sparsity=2.0),
    ),
    "drlim2": Method("DrLIM, 2 layers", drlim_convolutional.fit, eq2.encode, drlim_convolutional.Config(layers=2)),
    "pooled_decoder": Method(
        "decoded from layer 1", pooled_decoder.fit, pooled_decoder.encode, pooled_decoder.Config()
    ),
    "pooled_decoder2": Method(
        "decoded from layer 2",
        partial(pooled_decoder.fit, below="layer2"),
        pooled_decoder.encode,
        pooled_decoder.Config(filter=3),
    ),
    "supervised1": Method("supervised, layer 1", convnet.fit_first, eq2.encode),
    "supervised2": Method("supervised, layer 2", convnet.fit, eq2.encode, convnet.Config()),
    "few_labels": Method("1,000 labels, layer 2", coherent.fit, eq2.encode, coherent.Config(weight=0.0)),
    "coherent": Method("1,000 labels and film, layer 2", coherent.fit, eq2.encode, coherent.Config()),
}
LABELLED = {
    "zca_own",
    "zca_tuned_classes",
    "supervised1",
    "supervised2",
    "few_labels",
    "coherent",
}  # rows that learn from Data.labelled
