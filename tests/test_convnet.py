"""Softmax cross-entropy and the supervised network: finite differences, plain loops, known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds
from strict import Strict
from test_conv import conv_by_loop

from slowae import convnet, model, optim, train
from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.losses import cross_entropy

SMALL = {"filters": ((3, 3, 2, 8), (3, 3, 2, 4)), "side": 8, "hidden": 5, "classes": 3}


def small(seed, N=3):
    """-> rng, params in float64 with biases, images, labels."""
    rng = np.random.default_rng(seed)
    params = {name: value.astype(float) for name, value in convnet.init_params(rng, **SMALL).items()}
    for name in ("b_1", "b_2", "b_3", "b_4"):
        params[name] += 0.3 * rng.standard_normal(params[name].shape)
    return rng, params, rng.standard_normal((N, 8, 8, 2)), rng.integers(3, size=N)


# Softmax cross-entropy


@given(st.integers(1, 6), st.integers(2, 5), seeds)
def test_cross_entropy_equals_the_loop_and_its_gradient_the_differences(N, classes, seed):
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.standard_normal((N, classes)), rng.integers(classes, size=N)
    expected = 0.0
    for row, label in zip(logits, labels, strict=True):
        expected -= np.log(np.exp(row[label]) / sum(np.exp(value) for value in row))
    loss, dlogits = cross_entropy(to_device(logits), to_device(labels))
    assert float(loss) == pytest.approx(expected)
    np.testing.assert_allclose(to_host(dlogits).sum(1), 0, atol=1e-12)  # adding a constant changes nothing
    check_gradients(
        lambda logits: cross_entropy(logits, to_device(labels)), lambda d, dlogits: d * dlogits, {"logits": logits}, rng
    )


def test_cross_entropy_of_known_logits():
    loss, dlogits = cross_entropy(np.zeros((2, 4)), np.array([1, 3]))
    assert loss == pytest.approx(2 * np.log(4))
    np.testing.assert_allclose(dlogits, [[0.25, -0.75, 0.25, 0.25], [0.25, 0.25, 0.25, -0.75]])
    loss, dlogits = cross_entropy(np.array([[1000.0, 0, -1000]], np.float32), np.array([0]))
    assert loss == 0 and dlogits.dtype == np.float32 and (dlogits == 0).all()
    loss, _ = cross_entropy(np.array([[1000.0, 0, -1000]]), np.array([2]))
    assert loss == 2000


def test_cross_entropy_leaves_its_arguments_and_refuses_what_does_not_fit():
    logits, labels = np.ones((2, 3)), np.array([0, 1])
    cross_entropy(logits, labels)
    assert (logits == 1).all() and labels.tolist() == [0, 1]
    for wrong in (np.array([0, 1, 2]), np.array([0.0, 1.0]), np.array([[0, 1]])):
        with pytest.raises(ValueError, match="whole numbers"):
            cross_entropy(logits, wrong)


# The network


def pool_by_loop(h, group, size):
    N, H, W, K = h.shape
    z = np.zeros((N, H // size, W // size, K // group))
    for n, y, x, k in np.ndindex(z.shape):
        z[n, y, x, k] = np.sqrt(
            (h[n, y * size : (y + 1) * size, x * size : (x + 1) * size, k * group : (k + 1) * group] ** 2).sum()
        )
    return z


@given(seeds)
def test_forward_equals_the_loop(seed):
    _, params, x, _ = small(seed, N=2)
    z = pool_by_loop(np.maximum(0, conv_by_loop(x, params["W_1"], params["b_1"])), 4, 2)
    assert z.shape == (2, 4, 4, 2)
    z = pool_by_loop(np.maximum(0, conv_by_loop(z, params["W_2"], params["b_2"])), 1, 4)
    assert z.shape == (2, 1, 1, 4)
    h = np.maximum(0, z.reshape(2, -1) @ params["W_3"] + params["b_3"])
    logits, _ = convnet.forward(to_device(params), to_device(x))
    np.testing.assert_allclose(to_host(logits), h @ params["W_4"] + params["b_4"], rtol=1e-10, atol=1e-12)


@given(seeds)
def test_gradients_of_the_whole_network(seed):
    """Of what training minimises: normalised, in blocks, of which the last is smaller."""
    rng, params, x, labels = small(seed, N=5)
    batch = to_device(x), to_device(labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convnet, "BLOCK", 3)
        check_gradients(
            lambda **params: convnet.loss_and_gradients(params, batch),
            lambda d, grads: tuple(d * grad for grad in grads.values()),
            params,
            rng,
            rtol=1e-5,
            step=1e-6,
        )


@given(seeds)
def test_gradients_without_normalisation(seed):
    rng, params, x, _ = small(seed)
    check_gradients(
        lambda **params: convnet.forward(params, to_device(x)),
        lambda dlogits, cache: tuple(convnet.backward(dlogits, cache).values()),
        params,
        rng,
        rtol=1e-5,
        step=1e-6,
    )


def test_the_loss_is_the_mean_over_the_images_of_blocks_normalised_by_themselves(monkeypatch):
    _, params, x, labels = small(1, N=7)
    monkeypatch.setattr(convnet, "BLOCK", 4)
    expected = 0.0
    for block in (slice(4), slice(4, 7)):
        logits, _ = convnet.forward(to_device(params), to_device(x[block]), normalise=True)
        expected += float(cross_entropy(logits, to_device(labels[block]))[0]) / 7
    loss, _ = convnet.loss_and_gradients(to_device(params), (to_device(x), to_device(labels)))
    assert float(loss) == pytest.approx(expected)


@given(seeds)
def test_normalised_sums_have_the_biases_as_means_and_variance_1(seed):
    _, params, x, _ = small(seed, N=30)
    *_, norm_2, _, _, _, _, norm_3, _, _ = convnet.forward(to_device(params), to_device(x), normalise=True)[1]
    for y, _, deviation in (norm_2, norm_3):
        lively = to_host(deviation) > 0.1  # the 1e-5 beside a smaller variance shows
        np.testing.assert_allclose(to_host(y).mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(to_host(y).var(0)[lively], 1, rtol=2e-3)


@given(seeds)
def test_folded_filters_give_what_normalisation_gave(seed):
    _, params, x, _ = small(seed, N=9)
    params, x = to_device(params), to_device(x)
    folded = convnet.fold(params, x)
    assert folded.keys() == params.keys()
    found, _ = convnet.forward(folded, x)
    expected, _ = convnet.forward(params, x, normalise=True)
    np.testing.assert_allclose(to_host(found), to_host(expected), rtol=1e-9, atol=1e-9)


def test_folding_takes_the_mean_of_the_blocks_moments(monkeypatch):
    _, params, x, _ = small(2, N=8)
    params, x = to_device(params), to_device(x)
    monkeypatch.setattr(convnet, "BLOCK", 4)
    both = convnet.fold(params, x)
    one, two = convnet.fold(params, x[:4]), convnet.fold(params, x[4:])
    deviations = [to_host(params["W_2"] / folded["W_2"]) for folded in (one, two, both)]
    np.testing.assert_allclose((deviations[0] + deviations[1]) / 2, deviations[2])


def test_blocks_do_not_change_the_accuracy(monkeypatch):
    _, params, x, labels = small(1, N=7)
    params, x, labels = to_device(params), to_device(x), to_device(labels)
    one = convnet.accuracy(params, x, labels)
    monkeypatch.setattr(convnet, "BLOCK", 2)
    assert convnet.accuracy(params, x, labels) == one


def test_the_stages_are_a_stack_like_ours():
    rng = np.random.default_rng(0)
    params = convnet.init_params(rng)
    assert [params[f"W_{i}"].shape for i in range(1, 5)] == [(9, 9, 3, 64), (5, 5, 16, 64), (1024, 256), (256, 10)]
    x = rng.standard_normal((4, 32, 32, 3), dtype=np.float32)
    one, two = to_device(convnet.stages(params)[0][0]), to_device(convnet.stages(params)[1][0])
    stack = [(one, convnet.POOLS[0]), (two, convnet.POOLS[1])]
    assert model.encode_stack(stack[:1], to_device(x)).shape == (4, 16, 16, 16)
    z = to_host(model.encode_stack(stack, to_device(x)))
    assert z.shape == (4, 4, 4, 64)
    h = np.maximum(0, z.reshape(4, -1) @ params["W_3"] + params["b_3"])
    logits = to_host(convnet.forward(to_device(params), to_device(x))[0])
    np.testing.assert_allclose(h @ params["W_4"] + params["b_4"], logits, atol=1e-4)
    assert logits.dtype == np.float32
    assert 0.5 < np.std(z.reshape(4, -1) @ params["W_3"]) < 1.5  # each layer starts at a variance of about 1


def test_it_learns_what_can_be_told_apart():
    """Three classes of gratings with noise; held-out ones are recognised after a short training."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:8, :8]
    pattern = np.stack([np.sin(1.5 * y), np.sin(1.5 * x), np.sin(1.5 * (x + y))])
    labels = rng.integers(3, size=400)
    images = (pattern[labels][..., None] + 0.5 * rng.standard_normal((400, 8, 8, 2))).astype(np.float32)

    def draw(rng):
        picks = rng.integers(300, size=16)
        return to_device(images[picks]), to_device(labels[picks])

    start = convnet.init_params(rng, **SMALL)
    held_out = to_device(images[300:]), to_device(labels[300:])
    assert convnet.accuracy(to_device(start), *held_out) < 0.7
    params, _ = train.fit(convnet.loss_and_gradients, start, draw, rng, steps=150, rate=0.01, optimizer=optim.ADAM)
    params = convnet.fold(to_device(params), to_device(images[:300]))
    assert convnet.accuracy(params, *held_out) > 0.95


def test_accuracy_counts():
    _, params, x, _ = small(0, N=5)
    best = to_host(convnet.forward(to_device(params), to_device(x))[0]).argmax(1)
    labels = best.copy()
    labels[:2] = (labels[:2] + 1) % 3
    assert convnet.accuracy(to_device(params), to_device(x), to_device(labels)) == pytest.approx(3 / 5)


def test_a_training_step_on_the_stand_in_for_a_gpu():
    _, params, x, labels = small(0)
    loss, grads = convnet.loss_and_gradients(params, (x, labels))
    found, strict = convnet.loss_and_gradients(Strict.of(params), (Strict.of(x), Strict.of(labels)))
    assert float(found) == pytest.approx(float(loss))
    for name in params:
        assert type(strict[name]) is Strict
        np.testing.assert_allclose(strict[name].get(), grads[name])
    folded, strict = convnet.fold(params, x), convnet.fold(Strict.of(params), Strict.of(x))
    for name, value in folded.items():
        np.testing.assert_allclose(strict[name].get(), value)
    assert convnet.accuracy(strict, Strict.of(x), Strict.of(labels)) == convnet.accuracy(folded, x, labels)


# Crops and flips


def test_augmented_images_are_windows_of_the_mirrored_image_half_of_them_flipped():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 6, 7, 3), dtype=np.uint8)
    before = images.copy()
    result = convnet.augment(images, rng, shift=2)
    np.testing.assert_array_equal(images, before)
    assert result.shape == images.shape and result.dtype == np.uint8
    seen = np.zeros((2, 5, 5), int)
    for image, found in zip(images, result, strict=True):
        mirrored = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        hits = [
            (flip, top, left)
            for flip in (0, 1)
            for top in range(5)
            for left in range(5)
            if np.array_equal(mirrored[top : top + 6, left : left + 7][:, :: 1 - 2 * flip], found)
        ]
        assert len(hits) == 1
        seen[hits[0]] += 1
    assert (seen.sum((1, 2)) > 100).all() and (seen.sum((0, 2)) > 30).all() and (seen.sum((0, 1)) > 30).all()


def test_images_and_labels_must_match():
    _, params, x, labels = small(0)
    with pytest.raises(ValueError, match="3 images, but 2 labels"):
        convnet.loss_and_gradients(params, (x, labels[:2]))
