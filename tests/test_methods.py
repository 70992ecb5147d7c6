"""Every row of the table fits and encodes, and layer 2 stands on layer 1; the supervised network by loops."""

from dataclasses import replace

import numpy as np
import pytest
from films import shot
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import seeds
from strict import Strict
from test_conv import conv_by_loop
from tiny import cheap, cheap_whitening  # noqa: F401

from slowae import blocks, model, optim, retrieval, train
from slowae.backend import to_device, to_host
from slowae.data import cifar, scenes
from slowae.data.scenes import Scene, windows
from slowae.data.whitening import Whitening
from slowae.gradcheck import check_gradients
from slowae.losses import cross_entropy
from slowae.methods import LABELLED, METHODS, Data, Run, coherent, controls, convnet, validation
from slowae.methods import slow_autoencoder as eq2
from slowae.model import Config

IMAGES = np.random.default_rng(0).integers(0, 256, (220, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(220) % 10


def make_data(labelled=True):
    """Two scenes to learn from, two to watch -> Data."""
    frames, pairs = windows([Scene("a", i, 2, 0, shot(i, 8)) for i in range(2)])
    watched = [Scene("b", i, 1, 0, shot(2 + i, 4)) for i in range(2)]
    return Data(frames, pairs, cheap_whitening(frames, 0.1), watched, (IMAGES, LABELS) if labelled else None)


# Rows


def encoded_by_hand(params, frames):
    """What the parameters of any row of Eq. 2 mean, whatever trained them."""
    x = Whitening(params["mean"], params["matrix"])(frames)
    if "centre" not in params:
        return model.encode(params, x, Config(group=4, size=2))
    below = {name: params[f"below/{name}"] for name in ("W_e", "b_e")}
    x = (model.encode(below, x, Config(group=4, size=2)) - params["centre"]) / params["scale"]
    return model.encode(params, x, Config(group=1, size=4))


def test_every_row_fits_and_encodes(cheap):  # noqa: F811
    with_images, without = make_data(), make_data(labelled=False)
    short = {"epochs": 1, "batch": 100, "hidden": 8}
    few = {
        name: coherent.Config(**short, labels=100, weight=w, near=2) for name, w in (("few_labels", 0), ("coherent", 1))
    }
    run = Run(steps=2, batch=2, rate=1e-4, configs={"supervised2": convnet.Config(**short), **few})
    again = replace(run, _fitted={}, histories={})
    for name, method in METHODS.items():
        data = with_images if name in LABELLED else without
        params = run.fitted(name, data)
        z, part = method.encode(params, data.frames), method.encode(params, data.frames[5:7])
        assert type(z) is np.ndarray and z.dtype == np.float32 and np.isfinite(z).all() and z.std() > 0, name
        np.testing.assert_allclose(part, z[5:7], rtol=1e-4, atol=1e-4, err_msg=name)
        if "W_e" in params and "W_q" not in params:
            assert z.shape == ((16, 4, 4, 64) if "centre" in params else (16, 16, 16, 16)), name
            found = encoded_by_hand(params, data.frames[:2])
            np.testing.assert_allclose(found, z[:2], rtol=1e-3, atol=1e-4, err_msg=name)
        else:
            shapes = {"colour_histogram": (512,), "subspace": (16, 16, 16), "unitary": (16, 16, 32)}
            shapes["sfa"] = np.shape(params.get("slowness"))  # the frames vary in few directions
            assert z.shape[1:] == shapes.get(name, (32, 32, 3)), name
        if name in LABELLED:
            with pytest.raises(ValueError, match="learns from labelled images, and none were given"):
                run.fitted(name, without)
        if name in ("random", "random_patches", "layer2"):
            for key, value in again.fitted(name, data).items():
                assert np.array_equal(value, params[key]), f"{name}: {key}"


def test_a_row_is_trained_once_for_a_run_and_data(monkeypatch):
    data, trained, real = make_data(), [], train.fit

    def spy(*args, **kwargs):
        trained.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(train, "fit", spy)
    run = Run(steps=1, batch=1, rate=1e-4)
    first = run.fitted("layer1", data)
    run.fitted("layer2", data)  # stands on the same layer 1
    assert run.fitted("layer1", data) is first and len(trained) == 2
    assert list(run.histories) == ["layer1", "layer2"]
    assert run.fitted("layer1", make_data()) is not first and len(trained) == 3  # other data


def test_whatever_a_training_depends_on_is_in_its_name(tmp_path):
    """Else another run would take its parameters for its own."""
    data, base = make_data(), Run(steps=1, batch=2, rate=1e-4, out=tmp_path)
    other = data._replace(windows=data.windows[1:])
    changes = [{}, *({name: value} for name, value in dict(
        steps=2, batch=3, rate=2e-4, optimizer="sgd", bias_rate=0.5, seed=1).items())]  # fmt: skip
    changes += [{"configs": {"layer1": Config(**change)}} for change in ({"alpha": 2}, {"beta": 2}, {"rise": 1})]
    runs = [(data, change) for change in changes]
    runs += [(other, {}), (data._replace(whiten=cheap_whitening(data.frames, 1.0)), {})]
    for count, (learned_from, change) in enumerate(runs, 1):
        replace(base, **change, _fitted={}, histories={}).fitted("layer1", learned_from)
        assert len(list(tmp_path.iterdir())) == count, change


def test_layer_2_is_trained_on_the_frozen_standardised_code_of_layer_1():
    """Two steps of Adam again, by hand."""
    data = make_data()
    config = Config(0.5, 2.0, group=1, size=4, rise=1.0)
    run = Run(steps=2, batch=2, rate=1e-4, seed=3, bias_rate=0.1, configs={"layer2": config})
    one, two = run.fitted("layer1", data), run.fitted("layer2", data)
    for name in ("W_e", "b_e", "W_d"):
        np.testing.assert_array_equal(two[f"below/{name}"], one[name])
    z = to_host(model.encode(to_device(one), to_device(data.whiten(data.frames)), Config(group=4, size=2)))
    np.testing.assert_allclose(two["centre"], z.mean((0, 1, 2)), rtol=1e-5)
    assert two["scale"] == pytest.approx((z - z.mean((0, 1, 2))).std(), rel=1e-5)
    rng = np.random.default_rng(3)
    params = to_device(model.init_params(rng, (5, 5, 16, 64)))
    moments = optim.init_moments(params)
    for done, rate in ((0, 1e-4), (0.5, 1e-4)):
        picks = data.pairs[rng.integers(len(data.pairs), size=2)]
        x = to_device((z[picks.T.ravel()] - two["centre"]) / two["scale"])
        _, grads = model.loss_and_gradients(params, x, replace(config, beta=2.0 * done, rise=0.0))
        optim.adam(params, grads, moments, rate, bias_rate=0.1)
        optim.project(params)
    for name, value in to_host(params).items():
        np.testing.assert_allclose(two[name], value, atol=2e-6)


@pytest.mark.parametrize("row", ["random", "random2"])
def test_what_a_layer_sees_is_kept_where_it_fits_and_else_made_again(row, monkeypatch):
    data, picks = make_data(), np.array([9, 2, 2])
    params = Run().fitted(row, data)
    for kept in (2**29, 0):
        monkeypatch.setattr(eq2, "KEPT", kept)
        x = to_host(eq2.layer_input(params, data.frames)(to_device(picks)))
        expected = to_host(eq2.seen(to_device(params), to_device(data.frames[picks])))
        np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-4)


def test_acceleration_is_learned_from_triplets():
    """One step of Adam again, by hand."""
    data, run = make_data(), Run(steps=1, batch=2, rate=1e-4, seed=3, bias_rate=0.1)
    found = run.fitted("acceleration", data)
    rng = np.random.default_rng(3)
    params = to_device(model.init_params(rng, (9, 9, 3, 64)))
    picks = data.triplets[rng.integers(len(data.triplets), size=2)]
    x = to_device(data.whiten(data.frames[picks.T.ravel()]))
    _, grads = model.loss_and_gradients(params, x, METHODS["acceleration"].config, 0.0)
    optim.adam(params, grads, optim.init_moments(params), 1e-4, bias_rate=0.1)
    optim.project(params)
    for name, value in to_host(params).items():
        np.testing.assert_allclose(found[name], value, atol=2e-6)


def test_random_rows_are_the_start_of_training_and_patches_are_of_the_frames():
    data, run = make_data(), Run(seed=3, steps=1, batch=1, rate=1e-12)
    start = model.init_params(np.random.default_rng(3), (9, 9, 3, 64))
    np.testing.assert_array_equal(run.fitted("random", data)["W_e"], start["W_e"])
    np.testing.assert_allclose(run.fitted("layer1", data)["W_e"], start["W_e"], atol=1e-6)
    found = run.fitted("random_patches", data)
    W = found["W_d"]
    np.testing.assert_allclose((W**2).sum((0, 1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(found["W_e"] / W, (start["W_e"] / start["W_d"]).mean(), rtol=1e-4)
    patches = np.lib.stride_tricks.sliding_window_view(data.whiten(data.frames), (9, 9, 3), (1, 2, 3))[:, :, :, 0]
    norm = np.sqrt((patches.astype(float) ** 2).sum((3, 4, 5), keepdims=True))
    for k in (0, 17, 63):
        assert np.abs(patches / norm - W[..., k]).max((3, 4, 5)).min() < 1e-5
    assert len({W[..., k].tobytes() for k in range(64)}) > 50


@pytest.mark.parametrize("T", [3, 4])
def test_pairs_of_longer_windows_are_those_of_pairs(T):
    """Scenes long enough for a window of T give the same pairs; no pair crosses a scene."""
    parts = [Scene("a", i, 2, 0, shot(i, n)) for i, n in enumerate((9, 12))]
    two, many = (Data(*windows(parts, t), None) for t in (2, T))
    assert two.windows.shape[1] == 2 and many.windows.shape[1] == T
    np.testing.assert_array_equal(many.pairs, two.pairs)
    assert (np.diff(two.pairs) == 2).all() and not ((two.pairs[:, 0] < 9) & (two.pairs[:, 1] >= 9)).any()


@pytest.mark.parametrize("T", [2, 3, 4])
def test_triplets_are_chained_from_pairs(T):
    """Whatever the windows, those of three frames; none crosses a scene."""
    parts = [Scene("a", i, 2, 0, shot(i, n)) for i, n in enumerate((9, 12))]
    np.testing.assert_array_equal(Data(*windows(parts, T), None).triplets, windows(parts, 3)[1])
    short = Data(*windows([Scene("a", i, 2, 0, shot(i, 4)) for i in range(2)]), None)
    with pytest.raises(ValueError, match="no three frames follow one another: give longer videos"):
        short.triplets  # noqa: B018


@pytest.mark.parametrize(
    "spoil", [lambda w: w[:0], lambda w: w - 1, lambda w: w + 1, lambda w: w[:, :1], lambda w: w[:, 0]]
)
def test_windows_of_other_frames_are_refused(spoil):
    data = make_data()
    assert data.windows.min() == 0 and data.windows.max() == len(data.frames) - 1
    with pytest.raises(ValueError, match=f"indices of {len(data.frames)} frames"):
        data._replace(windows=spoil(data.windows)).pairs  # noqa: B018


def test_checksums_of_data_tell_frames_windows_and_validation_apart():
    data = make_data()
    frames, watched = data.frames.copy(), data.validation[0].frames.copy()
    frames[3, 1, 2, 0] ^= 1
    watched[0, 0, 0, 0] ^= 1
    others = [
        data._replace(frames=frames), data._replace(windows=data.windows[:-1]), data._replace(validation=[]),
        data._replace(validation=[replace(data.validation[0], frames=watched), data.validation[1]]),
        data._replace(validation=[replace(data.validation[0], step=7), data.validation[1]]),
    ]  # fmt: skip
    assert len({d.checksum for d in [data, *others]}) == 6 and data.checksum == make_data().checksum


# Controls


def test_controls_by_hand():
    frames = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(controls.pixels({}, frames), frames)
    centred = controls.pixels_centred({}, frames)
    np.testing.assert_allclose(centred, frames - frames.mean((1, 2, 3), keepdims=True), atol=1e-3)
    double = blocks.in_blocks(lambda x: 2.0 * x, frames, block=3)
    np.testing.assert_array_equal(double, 2.0 * frames)
    counts = controls.colour_histogram({}, frames)
    expected = np.zeros((7, 512))
    for n, y, x in np.ndindex(7, 8, 8):
        red, green, blue = frames[n, y, x].astype(int) // 32
        expected[n, 64 * red + 8 * green + blue] += 1
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("measure", ["temporal_map", "temporal_auc", "class_auc"])
def test_tuning_takes_what_validates_best(cheap, monkeypatch, measure):  # noqa: F811
    asked = []

    def score(encode, data):
        """One code is best by each measure."""
        code = encode(data.validation[0].frames)
        asked.append((float(code.std()), abs(float(code.mean((1, 2, 3)).max())) < 1e-4))
        at = {"temporal_map": 5, "temporal_auc": 2, "class_auc": 7}
        return {name: float(len(asked) == 1 + place) for name, place in at.items()}

    monkeypatch.setattr(controls, "validate", score)
    data = make_data()
    best = controls.fit_zca_tuned(data, controls.Tuning(measure), Run())
    assert [centred for _, centred in asked] == [False, True] * 4 and len({std for std, _ in asked}) == 8
    place = {"temporal_map": 5, "temporal_auc": 2, "class_auc": 7}[measure]
    assert best["epsilon"] == controls.EPSILONS[place // 2] and best["centre"] == place % 2
    with pytest.raises(ValueError, match="tuning needs validation scenes, and there are none"):
        controls.fit_zca_tuned(data._replace(validation=[]), controls.Tuning(measure), Run())


def test_validation_asks_the_validation_scenes_and_the_last_fiftieth_of_the_images():
    data = make_data()
    found = validation.validate(lambda frames: controls.pixels({}, frames), data)
    frames, scene = scenes.retrieval_frames(data.validation)
    temporal = retrieval.temporal_retrieval(frames, scene)
    classes = retrieval.class_retrieval(IMAGES[-4:], LABELS[-4:], IMAGES[:44], LABELS[:44])
    for task, expected in (("temporal", temporal), ("class", classes)):
        assert all(found[f"{task}_{name}"] == pytest.approx(expected.measure(name)) for name in ("map", "auc"))
    assert "class_auc" not in validation.validate(lambda f: controls.pixels({}, f), data._replace(labelled=None))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: eq2.fit(make_data(), Config(group=2), Run()), "pools groups of 4 maps x 2 x 2, not 2, 2"),
        (lambda: eq2.moments(np.ones((4, 2, 2, 3))), "every code is the same: the layer is dead"),
        (lambda: convnet.Config(epochs=0), "must be at least 1"),
        (lambda: convnet.loss_and_gradients({}, (np.zeros((3, 8, 8, 2)), np.zeros(2, int))), "3 images, but 2 labels"),
    ],
)
def test_one_sentence_for_what_cannot_be(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


# The supervised network

SMALL = {"filters": ((3, 3, 2, 8), (3, 3, 2, 4)), "side": 8, "hidden": 5, "classes": 3}


def small(seed, N=3):
    """-> rng, params in float64 with biases, images, labels."""
    rng = np.random.default_rng(seed)
    params = {name: value.astype(float) for name, value in convnet.init_params(rng, **SMALL).items()}
    for name in ("b_1", "b_2", "b_3", "b_4"):
        params[name] += 0.3 * rng.standard_normal(params[name].shape)
    return rng, params, rng.standard_normal((N, 8, 8, 2)), rng.integers(3, size=N)


@given(st.integers(1, 6), st.integers(2, 5), seeds)
def test_cross_entropy_equals_the_loop_and_its_gradient_the_differences(N, classes, seed):
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.standard_normal((N, classes)), rng.integers(classes, size=N)
    p = [np.exp(row) / np.exp(row).sum() for row in logits]
    loss, _ = cross_entropy(to_device(logits), to_device(labels))
    assert float(loss) == pytest.approx(-sum(np.log(row[label]) for row, label in zip(p, labels, strict=True)))
    check_gradients(
        lambda logits: cross_entropy(logits, to_device(labels)), lambda d, dlogits: d * dlogits, {"logits": logits}, rng
    )


def pool_by_loop(h, group, size):
    N, H, W, K = h.shape
    z = np.zeros((N, H // size, W // size, K // group))
    for n, y, x, k in np.ndindex(z.shape):
        part = h[n, y * size : (y + 1) * size, x * size : (x + 1) * size, k * group : (k + 1) * group]
        z[n, y, x, k] = np.sqrt((part**2).sum())
    return z


def test_forward_equals_the_loop():
    _, params, x, _ = small(0, N=2)
    z = pool_by_loop(np.maximum(0, conv_by_loop(x, params["W_1"], params["b_1"])), 4, 2)
    z = pool_by_loop(np.maximum(0, conv_by_loop(z, params["W_2"], params["b_2"])), 1, 4)
    assert z.shape == (2, 1, 1, 4)
    h = np.maximum(0, z.reshape(2, -1) @ params["W_3"] + params["b_3"])
    logits, _ = convnet.forward(to_device(params), to_device(x))
    np.testing.assert_allclose(to_host(logits), h @ params["W_4"] + params["b_4"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("normalise", [False, True])
@given(seeds)
def test_gradients_of_the_whole_network(normalise, seed):
    """Of what training minimises: normalised, in blocks, of which the last is smaller."""
    rng, params, x, labels = small(seed, N=5)
    x, labels = to_device(x), to_device(labels)

    def forward(**params):
        return convnet.loss_and_gradients(params, (x, labels)) if normalise else convnet.forward(params, x)

    def backward(d, cache):
        return tuple(d * g for g in cache.values()) if normalise else tuple(convnet.backward(d, cache).values())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convnet, "BLOCK", 3)
        out, cache = forward(**to_device(params))
        grads = backward(out / out, cache)
        assume(min(float(abs(grad).max()) for grad in grads) > 1e-4)  # a silent network is flat
        check_gradients(forward, backward, params, rng, rtol=1e-5, step=1e-6)


def test_the_loss_is_the_mean_over_the_images_of_blocks_normalised_by_themselves(monkeypatch):
    _, params, x, labels = small(1, N=7)
    params, x, labels = to_device(params), to_device(x), to_device(labels)
    monkeypatch.setattr(convnet, "BLOCK", 4)
    expected = 0.0
    for block in (slice(4), slice(4, 7)):
        logits, _ = convnet.forward(params, x[block], normalise=True)
        expected += float(cross_entropy(logits, labels[block])[0]) / 7
    assert float(convnet.loss_and_gradients(params, (x, labels))[0]) == pytest.approx(expected)


def test_folded_filters_give_what_normalisation_gave(monkeypatch):
    _, params, x, labels = small(2, N=8)
    params, x, labels = to_device(params), to_device(x), to_device(labels)
    whole = convnet.fold(params, x)
    expected, _ = convnet.forward(params, x, normalise=True)
    np.testing.assert_allclose(to_host(convnet.forward(whole, x)[0]), to_host(expected), rtol=1e-9, atol=1e-9)
    assert convnet.accuracy(whole, x, to_device(to_host(expected).argmax(1))) == 1
    wrong = (to_host(expected).argmax(1) + (np.arange(8) < 2)) % 3
    monkeypatch.setattr(convnet, "BLOCK", 3)
    assert convnet.accuracy(whole, x, to_device(wrong)) == pytest.approx(6 / 8)
    monkeypatch.setattr(convnet, "BLOCK", 4)  # the mean of the blocks' moments
    deviations = [to_host(params["W_2"] / convnet.fold(params, part)["W_2"]) for part in (x[:4], x[4:], x)]
    np.testing.assert_allclose((deviations[0] + deviations[1]) / 2, deviations[2])


def test_it_learns_what_can_be_told_apart():
    """Three classes of gratings with noise; held-out ones are recognised after a short training."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:8, :8]
    pattern, labels = np.stack([np.sin(1.5 * y), np.sin(1.5 * x), np.sin(1.5 * (x + y))]), rng.integers(3, size=400)
    images = (pattern[labels][..., None] + 0.5 * rng.standard_normal((400, 8, 8, 2))).astype(np.float32)

    def draw(rng):
        picks = rng.integers(300, size=16)
        return to_device(images[picks]), to_device(labels[picks])

    params, _ = train.fit(
        lambda params, batch, done: convnet.loss_and_gradients(params, batch),
        lambda rng: convnet.init_params(rng, **SMALL),
        draw,
        train.Descent(150, 0.01, "adam"),
    )
    params = convnet.fold(to_device(params), to_device(images[:300]))
    assert convnet.accuracy(params, to_device(images[300:]), to_device(labels[300:])) > 0.95


def test_the_row_is_the_network_folded(cheap):  # noqa: F811
    """What `fit` returns, seen as a row of Eq. 2, classifies as the network does; layers start at variance 1."""
    data, run = make_data(), Run(seed=1, configs={"supervised2": convnet.Config(epochs=1, batch=100, hidden=8)})
    params = run.fitted("supervised2", data)
    assert [row["step"] for row in run.histories["supervised2"]] == [2]  # 216 images
    z = METHODS["supervised2"].encode(params, IMAGES)
    h = np.maximum(0, z.reshape(220, -1) @ params["W_3"] + params["b_3"])
    right = (h @ params["W_4"] + params["b_4"]).argmax(1) == LABELS
    assert convnet.image_accuracy(params, IMAGES, LABELS) == pytest.approx(right.mean())
    rng = np.random.default_rng(0)
    start, x = convnet.init_params(rng), rng.standard_normal((4, 32, 32, 3), dtype=np.float32)
    z, W_3 = convnet.forward(to_device(start), to_device(x))[1]["linear_3"]
    assert 0.5 < to_host(z @ W_3).std() < 1.5


def test_augmented_images_are_windows_of_the_mirrored_image_half_of_them_flipped():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 6, 7, 3), dtype=np.uint8)
    before, result = images.copy(), cifar.augment(images, rng, shift=2)
    np.testing.assert_array_equal(images, before)
    assert result.shape == images.shape and result.dtype == np.uint8
    seen = np.zeros((2, 5, 5), int)
    for image, found in zip(images, result, strict=True):
        mirrored = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        hits = [
            (flip, top, left)
            for flip, top, left in np.ndindex(2, 5, 5)
            if np.array_equal(mirrored[top : top + 6, left : left + 7][:, :: 1 - 2 * flip], found)
        ]
        assert len(hits) == 1
        seen[hits[0]] += 1
    assert (seen.sum((1, 2)) > 100).all() and (seen.sum((0, 2)) > 30).all() and (seen.sum((0, 1)) > 30).all()


def test_a_step_on_the_stand_in_for_a_gpu():
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
