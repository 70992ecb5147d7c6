"""Every way to turn a frame into a code that this project compares: one row each of METHODS, in the order of the table.

A new row is a file beside this one with a `fit` and an `encode`, and a line below. Whatever a `fit` is handed, data,
configurations and settings, is in the name of the files that keep what it learned. Cadieu and Olshausen (2012), who
learn what stays and what moves as amplitudes and phases, have no row.
"""

from dataclasses import replace
from functools import partial

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
from slowae.methods.data import Data  # noqa: F401
from slowae.methods.run import Method, Run, reach  # noqa: F401
from slowae.methods.slow_autoencoder import FIRST, SECOND


def _layer(title, config, below=None):
    fit = partial(eq2.fit, below=below) if below else eq2.fit
    return Method(title, fit, eq2.encode, config, "Eq. 2, and its terms", eq2.describe, (below or "film",))


def _other(title, module, config):
    return Method(title, module.fit, module.encode, config, "other ways", module.describe, ("film",))


def _decoder(title, config, *below):
    fit = partial(pooled_decoder.fit, below=below[0])
    return Method(title, fit, pooled_decoder.encode, config, "other ways", pooled_decoder.describe, below)


def _network(title, fit, config, *uses, accuracy=convnet.image_accuracy):
    return Method(title, fit, eq2.encode, config, "with labels", eq2.describe, uses, accuracy)


def _tuned(title, config, *uses):
    return Method(title, controls.fit_zca_tuned, controls.tuned, config, uses=uses)


def _untrained(title, fit, config, *uses):
    return Method(title, fit, eq2.encode, config, describe=eq2.describe_filters, uses=uses)


METHODS = {
    "pixels": Method("pixels", controls.nothing, controls.pixels, uses=()),
    "pixels_centred": Method("pixels, mean removed", controls.nothing, controls.pixels_centred, uses=()),
    "zca": Method("ZCA pixels", whitened.fit_zca, whitened.whitened, uses=("film",)),
    "zca_own": Method("ZCA, statistics of the images", whitened.fit_zca_own, whitened.whitened, uses=("labels",)),
    "zca_tuned": _tuned("ZCA pixels, tuned on video", controls.Tuning(), "film"),
    "zca_tuned_classes": _tuned("ZCA pixels, tuned on classes", controls.Tuning("class_auc"), "film", "labels"),
    "colour_histogram": Method("colour histogram", controls.nothing, controls.colour_histogram, uses=()),
    "random": _untrained("random weights", eq2.fit_random, FIRST, "film"),
    "random_patches": _untrained("random patches as filters", eq2.fit_patches, FIRST, "film"),
    "wavelets": _untrained("wavelets", wavelets.fit, None, "film"),
    "random2": _untrained("random weights, 2 layers", partial(eq2.fit_random, below="random"), SECOND, "random"),
    "alpha0": _layer("alpha = 0", replace(FIRST, alpha=0.0)),
    "beta0": _layer("beta = 0", replace(FIRST, beta=0.0)),
    "layer1": _layer("layer 1", FIRST),
    "group_sparse": _layer("group sparsity", replace(FIRST, alpha=1.0, beta=0.0, group_sparsity=4.0)),
    "acceleration": _layer("acceleration", replace(FIRST, beta=0.0, acceleration=8.0)),
    "beta0_2": _layer("beta = 0, 2 layers", replace(SECOND, beta=0.0), "beta0"),
    "layer2": _layer("layer 2", SECOND, "layer1"),
    "group_sparse2": _layer("group sparsity, 2 layers", replace(SECOND, beta=0.0, group_sparsity=1.0), "group_sparse"),
    "sfa": _other("slow feature analysis", sfa, sfa.Config()),
    "subspace": _other("slow subspaces", subspace, subspace.Config(decorrelation=0.1)),
    "unitary": _other("unitary pairs", unitary, unitary.Config(slowness=0.9)),
    "drlim1": _other("DrLIM", drlim_convolutional, drlim_convolutional.Config((FIRST,), squared=True)),
    "drlim2": _other("DrLIM, 2 layers", drlim_convolutional, drlim_convolutional.Config((FIRST, SECOND), squared=True)),
    "pooled_decoder": _decoder("decoded from layer 1", pooled_decoder.Config(), "layer1"),
    "pooled_decoder2": _decoder("decoded from layer 2", pooled_decoder.Config(filter=3), "layer2", "pooled_decoder"),
    "supervised1": _network("supervised, layer 1", convnet.fit_first, None, "supervised2", accuracy=None),
    "supervised2": _network("supervised, layer 2", convnet.fit, convnet.Config(), "labels", "zca_own"),
    "few_labels": _network(
        "few labels, layer 2", coherent.fit, coherent.Config(weight=0.0), "film", "labels", "zca_own"
    ),
    "coherent": _network("few labels and film, layer 2", coherent.fit, coherent.Config(), "film", "labels", "zca_own"),
}
# Rows that learn from Data.labelled.
LABELLED = {name for name in METHODS if "labels" in reach(name)}
