"""A few labels, and film without labels: the supervised ConvNet with temporal coherence (Mobahi et al. 2009).

    L = cross_entropy(labelled images) + weight * Eq. 1 on h_3, the hidden units before the classes, of film,

in every step; Mobahi et al. take the three kinds of step in turn. Adjacent frames show the same thing, of one class.
"""

from dataclasses import dataclass

from slowae.backend import array_module, to_device
from slowae.blocks import mean_over_blocks
from slowae.methods import convnet
from slowae.methods.drlim import draw_pairs, over_pairs


@dataclass(frozen=True)
class Config(convnet.Config):
    """labels: how many images are labelled. weight: of coherence; 0 leaves the film out. margin: of Eq. 1, in units of
    h_3. blocks: of film a step, each of `near` near pairs, and `far` far ones for each."""

    epochs: int = 32
    labels: int = 1000
    weight: float = 0.03
    margin: float = 10.0
    blocks: int = 2
    near: int = convnet.BLOCK // 2
    far: int = 1


def loss_and_gradients(params, batch, config):
    """batch: images x (N, H, W, C), their labels (N,), blocks of film -> the joint loss, gradients keyed as params.

    A block: frames x (N, H, W, C), first, second (P,), near (P,) bool as in drlim, normalised by itself; Eq. 1 on h_3
    is the mean over blocks.
    """
    x, labels, film = batch

    def part(block):
        x, *pairs = block
        logits, cache = convnet.forward(params, x, config.stages, normalise=True)
        loss, dh = over_pairs(cache["linear_4"][0], *pairs, config.margin)
        return loss, convnet.backward(array_module(x).zeros_like(logits), cache, dh)

    loss, grads = convnet.loss_and_gradients(params, (x, labels), config)
    coherence, dcoherence = mean_over_blocks(part, film, len(film))
    return loss + config.weight * coherence, {n: grads[n] + config.weight * dcoherence[n] for n in grads}


def fit(data, config, run):
    """The ConvNet, trained on the labels of few images and on the film's pairs."""
    if config.weight == 0:
        return convnet.fit(data, config, run, config.labels)

    def film(rng, whitened):
        blocks = [draw_pairs(rng, data.pairs, config) for _ in range(config.blocks)]
        return [(whitened(data.frames[frames]), *map(to_device, pairs)) for frames, *pairs in blocks]

    return convnet.fit(data, config, run, config.labels, film, loss_and_gradients)
