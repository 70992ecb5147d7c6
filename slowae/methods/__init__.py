"""Every way to turn a frame into a code that this project compares: one row each of METHODS, in the order of the table.

A new row is a file beside this one with a `fit` and an `encode`, and two lines below. Whatever a `fit` is given, data,
configurations and settings, is in the names of its cached files. Cadieu and Olshausen (2012), who
learn what stays and what moves as amplitudes and phases, have no row.
"""

from dataclasses import replace
from functools import partial

from slowae.methods import coherent, controls, convnet, pooled_decoder, sfa, subspace, unitary, wavelets
from slowae.methods import drlim_convolutional as siamese
from slowae.methods import slow_autoencoder as eq2
from slowae.methods.data import Data  # noqa: F401
from slowae.methods.run import Method, Run, reach  # noqa: F401
from slowae.methods.slow_autoencoder import FIRST, SECOND


def _layer(title, config, below=None):
    fit, uses = partial(eq2.fit, below=below), (below or "film",)
    return Method(title, fit, eq2.encode, config, "Eq. 2, and its terms", eq2.describe, uses)


def _untrained(title, fit, config=None, uses=("film",)):
    return Method(title, fit, eq2.encode, config, describe=eq2.describe_filters, uses=uses)


def _other(title, module, config, uses=("film",)):
    return Method(title, module.fit, module.encode, config, "other ways", module.describe, uses)


def _network(title, fit, config, uses=("zca_own",), accuracy=convnet.image_accuracy):
    return Method(title, fit, eq2.encode, config, "with labels", eq2.describe, uses, accuracy)


tuned, class_auc = (controls.fit_zca_tuned, controls.zca), controls.Tuning("class_auc")
decoder2 = pooled_decoder.Config(below="layer2", filter=3)
METHODS = {
    "pixels": Method("pixels", controls.nothing, controls.pixels),
    "pixels_centred": Method("pixels, mean removed", controls.nothing, controls.pixels_centred),
    "zca": Method("ZCA pixels", controls.fit_zca, controls.zca),
    "zca_own": Method("ZCA, statistics of the images", controls.fit_zca_own, controls.zca, uses=("labels",)),
    "zca_tuned": Method("ZCA pixels, tuned on video", *tuned, controls.Tuning()),
    "zca_tuned_classes": Method("ZCA pixels, tuned on classes", *tuned, class_auc, uses=("film", "labels")),
    "colour_histogram": Method("colour histogram", controls.nothing, controls.colour_histogram),
    "random": _untrained("random weights", eq2.fit_random, FIRST),
    "random_patches": _untrained("random patches as filters", eq2.fit_patches, FIRST),
    "wavelets": _untrained("wavelets", wavelets.fit),
    "random2": _untrained("random weights, 2 layers", partial(eq2.fit_random, below="random"), SECOND, ("random",)),
    "alpha0": _layer("alpha = 0", replace(FIRST, alpha=0.0)),
    "beta0": _layer("beta = 0", replace(FIRST, beta=0.0)),
    "layer1": _layer("layer 1", FIRST),
    "group_sparse": _layer("group sparsity", replace(FIRST, alpha=1.0, beta=0.0, group_sparsity=0.5)),
    "acceleration": _layer("acceleration", replace(FIRST, beta=0.0, acceleration=24.0)),
    "beta0_2": _layer("beta = 0, 2 layers", replace(SECOND, beta=0.0), "beta0"),
    "layer2": _layer("layer 2", SECOND, "layer1"),
    "group_sparse2": _layer("group sparsity, 2 layers", replace(SECOND, beta=0.0, group_sparsity=1.0), "group_sparse"),
    "sfa": _other("slow feature analysis", sfa, sfa.Config(axes=64)),
    "subspace": _other("slow subspaces", subspace, subspace.Config(decorrelation=0.3)),
    "unitary": _other("unitary pairs", unitary, unitary.Config(slowness=0.75)),
    "drlim1": _other("DrLIM", siamese, siamese.Config((FIRST,), squared=True)),
    "drlim2": _other("DrLIM, 2 layers", siamese, siamese.Config((FIRST, SECOND), squared=True)),
    "pooled_decoder": _other("decoded from layer 1", pooled_decoder, pooled_decoder.Config(), ("layer1",)),
    "pooled_decoder2": _other("decoded from layer 2", pooled_decoder, decoder2, ("layer2", "pooled_decoder")),
    "supervised1": _network("supervised, layer 1", convnet.fit_first, None, ("supervised2",), None),
    "supervised2": _network("supervised, layer 2", convnet.fit, convnet.Config()),
    "few_labels": _network("few labels, layer 2", coherent.fit, coherent.Config(weight=0.0)),
    "coherent": _network("few labels and film, layer 2", coherent.fit, coherent.Config(), ("film", "zca_own")),
}
# Rows that learn from Data.labelled.
LABELLED = {name for name in METHODS if "labels" in reach(name)}
