"""The joint loss by hand and by differences; which labels and films count."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from strategies import seeds
from test_methods import IMAGES, LABELS, make_data, small
from tiny import cheap  # noqa: F401

from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.methods import METHODS, Run, coherent, convnet
from slowae.methods.coherent import Config

JOINT = Config(weight=0.7, margin=2.5)


def make_film(rng, blocks=2):
    """Blocks of four frames, two near pairs and two far ones."""
    pairs = np.array([0, 1, 0, 1]), np.array([2, 3, 3, 2]), np.array([True, True, False, False])
    return [(rng.standard_normal((4, 8, 8, 2)), *pairs) for _ in range(blocks)]


def distances(params, film):
    """|dh_3| of each pair of each block (blocks, 4)."""
    h = [to_host(convnet.forward(to_device(params), to_device(x), normalise=True)[1]["linear_4"][0]) for x, *_ in film]
    return np.array([np.linalg.norm(h[b][i] - h[b][j], axis=1) for b, (_, i, j, _) in enumerate(film)])


def moved(film):
    return [tuple(map(to_device, block)) for block in film]


def test_the_joint_loss_is_cross_entropy_and_weighted_distances():
    rng, params, x, labels = small(0, N=5)
    film, params = make_film(rng), to_device(params)
    batch = to_device(x), to_device(labels), moved(film)
    d = distances(params, film)
    expected = (d[:, :2].sum() + np.maximum(0, 2.5 - d[:, 2:]).sum()) / 8
    loss, _ = coherent.loss_and_gradients(params, batch, JOINT)
    supervised, _ = convnet.loss_and_gradients(params, batch[:2], JOINT)
    assert 0 < expected and float(loss) == pytest.approx(float(supervised) + 0.7 * expected)


@given(seeds)
def test_gradients_of_the_joint_loss(seed):
    rng, params, x, labels = small(seed, N=3)
    film = make_film(rng, blocks=1)
    d = distances(params, film)
    assume(d.min() > 0.05 and np.abs(d - 2.5).min() > 0.05)
    batch = to_device(x), to_device(labels), moved(film)

    def forward(**params):
        return coherent.loss_and_gradients(params, batch, JOINT)

    _, grads = forward(**to_device(params))
    assume(min(float(abs(grad).max()) for grad in grads.values()) > 1e-4)  # a silent network is flat
    check_gradients(forward, lambda d, g: tuple(d * g[n] for n in params), params, rng, rtol=1e-5, step=1e-6)


def few(labels=LABELS[:50]):
    """50 labelled images, and film."""
    return replace(make_data(), labelled=(IMAGES[:50], labels))


def test_only_the_drawn_labels_count_and_the_film_only_with_a_weight(cheap):  # noqa: F811
    film = replace(few(), frames=255 - few().frames)
    config = Config(epochs=1, batch=10, hidden=8, labels=10, weight=0.5, near=2, blocks=1)
    drawn = np.random.default_rng(1).permutation(49)[:10]
    others = (LABELS[:50] + 1) % 10
    relabelled = others.copy()
    relabelled[drawn] = LABELS[drawn]

    def fitted(data, **changes):
        return METHODS["coherent"].fit(data, replace(config, **changes), Run(seed=1, name="coherent"))["W_3"]

    W = fitted(few())
    np.testing.assert_array_equal(fitted(few(relabelled)), W)
    for other in (few(others), film):
        assert not np.array_equal(fitted(other), W)
    np.testing.assert_array_equal(fitted(film, weight=0.0), fitted(few(), weight=0.0))


def test_more_labels_than_images_are_refused():
    with pytest.raises(ValueError, match="1000 labels were asked of 49 images"):
        coherent.fit(few(), Config(), Run())
