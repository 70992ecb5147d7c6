"""Every row of the table fits and encodes, and layer 2 stands on layer 1; the supervised network by loops."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from films import shot
from hypothesis import assume, given
from strategies import seeds
from test_conv import conv_by_loop
from test_layers import pool_by_loop
from tiny import cheap, cheap_whitening  # noqa: F401

from slowae import model, optim, retrieval, train
from slowae.backend import to_device, to_host
from slowae.data import cifar, scenes, whitening
from slowae.data.scenes import Scene, windows
from slowae.data.whitening import Whitening
from slowae.gradcheck import check_gradients
from slowae.methods import LABELLED, METHODS, coherent, controls, convnet, drlim_convolutional, sfa, subspace, unitary
from slowae.methods import slow_autoencoder as eq2
from slowae.methods.data import Data
from slowae.methods.run import Method, Run
from slowae.methods.slow_autoencoder import FIRST, SECOND
from slowae.model import Config

IMAGES = np.random.default_rng(0).integers(0, 256, (220, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(220) % 10
CONFIG, FEW = convnet.Config(), {"few_labels": 0, "coherent": 1}


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


@pytest.fixture(scope="module")
def trained():
    """A run, and what it makes of every row."""
    short = {"epochs": 1, "batch": 100, "hidden": 8}
    few = {name: coherent.Config(**short, labels=100, weight=w, near=2) for name, w in FEW.items()}
    patches = {"subspace": subspace.Config(patches=300, batch=50), "unitary": unitary.Config(patches=300, batch=50)}
    run = Run(steps=2, batch=2, rate=1e-4, configs={"supervised2": convnet.Config(**short), **few, **patches})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whitening, "principal_axes", lambda frames: (frames,))
        patch.setattr(whitening, "whitening", cheap_whitening)
        data = make_data()
        return {name: run.fitted(name, data) for name in METHODS}


FIRST_BANK, SECOND_BANK = 9 * 9 * 3 * 64, 5 * 5 * 16 * 64
LEARNED = {
    "layer1": 2 * FIRST_BANK + 64, "layer2": 2 * (FIRST_BANK + SECOND_BANK + 64), "subspace": FIRST_BANK,
    "drlim2": FIRST_BANK + SECOND_BANK + 128, "pooled_decoder": 2 * FIRST_BANK + 64 + 5 * 5 * 16 * 256 + 256,
    "supervised1": FIRST_BANK + 64, "random": None, "random2": None, "random_patches": None, "wavelets": None,
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_every_row_fits_encodes_and_describes_itself(name, trained):
    method, params, data = METHODS[name], trained[name], make_data(labelled=False)
    z, part = method.encode(params, data.frames), method.encode(params, data.frames[5:7])
    assert type(z) is np.ndarray and z.dtype == np.float32 and np.isfinite(z).all() and z.std() > 0
    np.testing.assert_allclose(part, z[5:7], rtol=1e-4, atol=1e-4)
    if method.encode is eq2.encode:
        assert z.shape == ((16, 4, 4, 64) if "centre" in params else (16, 16, 16, 16))
        np.testing.assert_allclose(encoded_by_hand(params, data.frames[:2]), z[:2], rtol=1e-3, atol=1e-4)
    else:
        shapes = {"colour_histogram": (4096,), "subspace": (16, 16, 16), "unitary": (16, 16, 32)}
        shapes["sfa"] = np.shape(params.get("slowness"))  # the frames vary in few directions
        assert z.shape[1:] == shapes.get(name, z.shape[1:])
    if name in LABELLED:
        with pytest.raises(ValueError, match="learns from labelled images, and none were given"):
            Run().fitted(name, data)
    about = method.describe(params, data.frames[:6]) if method.describe else {}
    assert name not in LEARNED or about.get("learned") == LEARNED[name]
    assert "filters" not in about or about["filters"].shape[3] == about["group"] * z.shape[3]
    assert not method.accuracy or 0 <= method.accuracy(params, IMAGES, LABELS) <= 1


def test_a_row_is_trained_once_for_a_run_and_data(monkeypatch):
    data, trained, real = make_data(), [], train.fit
    monkeypatch.setattr(train, "fit", lambda *args, **how: trained.append(1) or real(*args, **how))
    run = Run(steps=1, batch=1, rate=1e-4)
    first = run.fitted("layer1", data)
    run.fitted("layer2", data)  # stands on the same layer 1
    assert run.fitted("layer1", make_data()) is first and len(trained) == 2
    assert list(run.histories) == ["layer1", "layer2"]
    assert run.fitted("layer1", replace(data, pairs=data.pairs[1:])) is not first and len(trained) == 3


def toy_fit(data, config, run):
    start = {"a": np.zeros(1)}
    run.cached(lambda: start)
    return run.train(lambda *_: (0.0, start), lambda _: start, lambda _: 0)


def test_whatever_a_fit_is_given_is_in_the_names_of_its_files(tmp_path, monkeypatch):
    """Each change gives two other files, and each again none."""
    method = Method("toy", toy_fit, None, sfa.Config(), uses=("film", "labels", "layer1"))
    monkeypatch.setitem(METHODS, "toy", method)
    data, run = make_data(), Run(steps=1, batch=2, out=tmp_path)
    scene, whiten = data.validation[0], data.whiten
    runs = {"steps": 2, "batch": 3, "rate": 2e-4, "optimizer": "sgd", "bias_rate": 0.5, "seed": 1}
    changes = [
        ({}, {}),
        ({"configs": {"layer1": replace(FIRST, beta=2.0)}}, {}),
        ({"configs": {"toy": sfa.Config(axes=3)}}, {}),
    ]
    changes += [({name: value}, {}) for name, value in runs.items()]
    changes += [({}, {"whiten": replace(whiten, **{n: 2 * getattr(whiten, n)})}) for n in ("mean", "matrix", "epsilon")]
    changes += [({}, {"labelled": images}) for images in ((IMAGES[1:], LABELS[1:]), (IMAGES, LABELS[::-1]), None)]
    changes += [({}, {"validation": scenes}) for scenes in ([], data.validation[:1], [replace(scene, step=7)])]
    changes += [({}, {"frames": data.frames[:, ::2]}), ({}, {"pairs": data.pairs[1:]})]
    for i, (other, parts) in enumerate(changes, 1):
        for _ in range(2):
            replace(run, **other, _fitted={}).fitted("toy", replace(data, **parts))
        assert len(list(tmp_path.iterdir())) == 2 * i, (other, parts.keys())
    other = METHODS["layer1"]._replace(config=replace(FIRST, beta=3.0))  # a default below, changed in the code
    monkeypatch.setitem(METHODS, "layer1", other)
    run.fitted("toy", data)
    assert len(list(tmp_path.iterdir())) == 2 * i + 2


def test_a_row_is_given_what_it_uses_and_its_files_depend_on_no_more(tmp_path, monkeypatch):
    """Rows of film are not given labels, nor rows of labels the film; and none another row's configuration."""
    given = []

    def fit(data, config, run):
        given.append((len(data.frames), data.labelled is not None, sorted(run.configs)))
        return run.cached(lambda: {"a": np.zeros(1)})

    run, data = Run(out=tmp_path, configs={"toy": 1, "layer1": FIRST, "sfa": sfa.Config()}), make_data()
    for uses, expected in {
        ("labels",): (0, True, []),
        ("layer2",): (16, False, ["layer1", "layer2"]),
        ("film", "supervised2"): (16, True, ["supervised2", "zca_own"]),
        ("film",): (16, False, []),
    }.items():
        monkeypatch.setitem(METHODS, "toy", Method("toy", fit, None, uses=uses))
        run.fitted("toy", data)
        assert given.pop() == expected, uses
    replace(run, configs={"toy": 1}, _fitted={}).fitted("toy", replace(data, labelled=None))
    assert len(list(tmp_path.iterdir())) == 4
    monkeypatch.setitem(METHODS, "toy", Method("toy", lambda data, config, run: run.fitted("sfa", data), None))
    with pytest.raises(ValueError, match="toy uses sfa: say so in its row's `uses`"):
        Run().fitted("toy", data)


def test_cached_results_have_names_and_no_resume_moves_them_aside(tmp_path):
    run, numbers = Run(out=tmp_path), iter(range(9))

    def make():
        return {"a": np.array(next(numbers))}

    with pytest.raises(ValueError, match="cached results need names"):
        run.cached(make)
    named, fresh = (one.named("b", {"x": 1}) for one in (run, replace(run, resume=False)))
    assert [int(one.cached(make)["a"]) for one in (named, named, run.named("b", 2), fresh, named)] == [0, 0, 1, 2, 2]
    assert len(list(tmp_path.glob("b-*.npz"))) == 2 and len(list(tmp_path.glob("b-*.npz.old"))) == 1


def test_silent_units_are_those_that_no_frame_activates(trained):
    params = trained["drlim1"]
    params = params | {"b_e": np.where(np.isin(np.arange(64), (3, 60)), np.float32(-1e6), np.float32(9))}
    assert METHODS["drlim1"].describe(params, make_data().frames[:6])["silent"] == [3, 60]


@pytest.mark.parametrize(
    ("row", "shape"), [("layer2", (4, 4, 3)), ("drlim2", (4, 4, 3)), ("subspace", (8, 8, 2)), ("unitary", (8, 8, 4))]
)
def test_filters_and_pools_are_settings(row, shape):
    first, second = replace(FIRST, filters=8, side=3, group=2), replace(SECOND, filters=6, side=5, group=2)
    small = {"filters": 8, "side": 5, "size": 4, "patches": 50, "batch": 10}
    configs = {
        "layer1": first, "layer2": second, "drlim2": drlim_convolutional.Config((first, second)),
        "subspace": subspace.Config(**small), "unitary": unitary.Config(**small),
    }  # fmt: skip
    data = make_data()
    params = Run(steps=1, batch=2, rate=1e-4, configs=configs).fitted(row, data)
    assert METHODS[row].encode(params, data.frames).shape[1:] == shape


def test_rows_of_eq_2_by_hand():
    """Two steps of Adam again: layer 2 on the frozen, standardised code of layer 1, and one of triplets."""
    data, config = make_data(), replace(SECOND, alpha=0.5, beta=2.0, rise=1.0, kappa=0.0)
    run = Run(steps=2, batch=2, rate=1e-4, seed=3, bias_rate=0.1, configs={"layer2": config})
    one, two = run.fitted("layer1", data), run.fitted("layer2", data)
    for name in ("W_e", "b_e", "W_d"):
        np.testing.assert_array_equal(two[f"below/{name}"], one[name])
    x = data.whiten(data.frames)
    z = to_host(model.encode(to_device(one), to_device(x), Config(group=4, size=2)))
    np.testing.assert_allclose(two["centre"], z.mean((0, 1, 2)), rtol=1e-5)
    assert two["scale"] == pytest.approx((z - z.mean((0, 1, 2))).std(), rel=1e-5)
    for result, seen, frames, shape, by_hand in (
        (two, (z - two["centre"]) / two["scale"], data.pairs, (5, 5, 16, 64), config),
        (run.fitted("acceleration", data), x, data.triplets, (9, 9, 3, 64), METHODS["acceleration"].config),
    ):
        rng = np.random.default_rng(3)
        params = to_device(model.init_params(rng, shape))
        moments = optim.init_moments(params)
        for done in (0, 0.5):
            batch = to_device(seen[frames[rng.integers(len(frames), size=2)].T.ravel()])
            _, grads = model.loss_and_gradients(params, batch, by_hand, done)
            optim.adam(params, grads, moments, 1e-4, bias_rate=0.1)
            optim.project(params, by_hand.kappa)
        for name, value in to_host(params).items():
            np.testing.assert_allclose(result[name], value, atol=2e-6)


def test_layers_of_a_row_have_the_same_terms():
    for method in METHODS.values():
        for below in {*method.uses} & {*METHODS} if isinstance(method.config, Config) else ():
            one, other = (
                [getattr(m.config, w) > 0 for w in ("alpha", *model.TERMS_OF_Z)] for m in (method, METHODS[below])
            )
            assert one == other, method.title


@pytest.mark.parametrize("row", ["random", "random2"])
@pytest.mark.parametrize("most", [2**29, 0])
def test_what_a_layer_sees_is_held_where_it_fits_and_else_made_again(row, most, monkeypatch):
    data, picks = make_data(), np.array([9, 2, 2])
    params = Run().fitted(row, data)
    monkeypatch.setattr(eq2, "LARGEST", most)
    x = to_host(eq2.layer_input(params, data.frames)(to_device(picks)))
    expected = to_host(eq2.seen(eq2.on_device(params), to_device(data.frames[picks])))
    np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-4)


def test_random_rows_are_the_start_of_training_and_patches_are_of_the_frames():
    data, run = make_data(), Run(seed=3, steps=1, batch=1, rate=1e-12)
    start = model.init_params(np.random.default_rng(3), (9, 9, 3, 64))
    np.testing.assert_array_equal(run.fitted("random", data)["W_e"], start["W_e"])
    np.testing.assert_allclose(run.fitted("layer1", data)["W_e"], start["W_e"], atol=1e-6)
    result = run.fitted("random_patches", data)
    W = result["W_d"]
    np.testing.assert_allclose(result["W_e"] / W, (start["W_e"] / start["W_d"]).mean(), rtol=1e-4)
    patches = np.lib.stride_tricks.sliding_window_view(data.whiten(data.frames), (9, 9, 3), (1, 2, 3))[:, :, :, 0]
    norm = np.sqrt((patches.astype(float) ** 2).sum((3, 4, 5), keepdims=True))
    for k in (0, 17, 63):
        assert np.abs(patches / norm - W[..., k]).max((3, 4, 5)).min() < 1e-5
    assert len({W[..., k].tobytes() for k in range(64)}) > 50


def test_triplets_are_chained_from_pairs_and_cross_no_scene():
    parts = [Scene("a", i, 2, 0, shot(i, n)) for i, n in enumerate((9, 12))]
    data = Data(*windows(parts, 2), None)
    np.testing.assert_array_equal(data.triplets, windows(parts, 3)[1])
    with pytest.raises(ValueError, match="no three frames follow one another: give longer videos"):
        replace(data, pairs=data.pairs[:2]).triplets  # noqa: B018


# Controls


def test_controls_by_hand():
    frames = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(controls.pixels({}, frames), frames)
    centred = controls.pixels_centred({}, frames)
    np.testing.assert_allclose(centred, frames - frames.mean((1, 2, 3), keepdims=True), atol=1e-3)
    expected = np.zeros((7, 512))
    for n, y, x in np.ndindex(7, 8, 8):
        red, green, blue = frames[n, y, x].astype(int) // 32
        expected[n, 64 * red + 8 * green + blue] += 1
    np.testing.assert_array_equal(controls.colour_histogram({}, frames, bins=8), expected)


@pytest.mark.parametrize(("measure", "place"), [("moving_map", 5), ("class_auc", 2)])
def test_tuning_takes_what_validates_best(cheap, monkeypatch, measure, place):  # noqa: F811
    asked = []

    def score(data, encode):
        code = encode(data.validation[0].frames)
        asked.append((float(code.std()), abs(float(code.mean((1, 2, 3)).max())) < 1e-4))
        return {measure: float(len(asked) == 1 + place)}

    monkeypatch.setattr(Data, "validate", score)
    best = controls.fit_zca_tuned(make_data(), controls.Tuning(measure), Run())
    assert [centred for _, centred in asked] == [False, True] * 4 and len({std for std, _ in asked}) == 8
    assert best["epsilon"] == controls.EPSILONS[place // 2] and best["centre"] == place % 2


def test_validation_asks_the_validation_scenes_and_the_last_fiftieth_of_the_images():
    data, encode = make_data(), partial(controls.pixels, {})
    scores = data.validate(encode)
    temporal = retrieval.temporal_retrieval(*scenes.retrieval_frames(data.validation))
    classes = retrieval.class_retrieval(IMAGES[-4:], LABELS[-4:], IMAGES[:44], LABELS[:44])
    most = np.argmax([scenes.motion(scene) for scene in data.validation])
    assert len(data.validation) < 6  # the moving third is one
    moving = temporal.only([most])
    for task, expected in (("temporal", temporal), ("moving", moving), ("class", classes)):
        assert all(scores[f"{task}_{name}"] == pytest.approx(expected.measure(name)) for name in ("map", "auc"))
    assert "class_auc" not in replace(data, labelled=None).validate(encode)


def test_codes_that_are_all_the_same_are_refused():
    with pytest.raises(ValueError, match="every code is the same"):
        eq2.moments(np.ones((4, 2, 2, 3)))


# The supervised network

SMALL = {"filters": ((3, 3, 2, 8), (3, 3, 2, 4)), "side": 8, "hidden": 5, "classes": 3}


def small(seed, N=3):
    """-> rng, params in float64 with biases, images, labels."""
    rng = np.random.default_rng(seed)
    params = {name: value.astype(float) for name, value in convnet.init_params(rng, **SMALL).items()}
    for name in ("b_1", "b_2", "b_3", "b_4"):
        params[name] += 0.3 * rng.standard_normal(params[name].shape)
    return rng, params, rng.standard_normal((N, 8, 8, 2)), rng.integers(3, size=N)


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
        return convnet.loss_and_gradients(params, (x, labels), CONFIG) if normalise else convnet.forward(params, x)

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
        logits = to_host(convnet.forward(params, x[block], normalise=True)[0])
        for row, label in zip(logits, to_host(labels[block]), strict=True):
            expected -= np.log(np.exp(row[label]) / np.exp(row).sum()) / 7
    assert float(convnet.loss_and_gradients(params, (x, labels), CONFIG)[0]) == pytest.approx(expected)


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


def test_the_row_is_the_network_folded(cheap, monkeypatch):  # noqa: F811
    """What `fit` returns classifies as the network does; layers start at variance 1; the last images are watched."""
    drawn = []
    monkeypatch.setattr(convnet, "augment", lambda images, rng: drawn.extend(images) or images)
    data, run = make_data(), Run(seed=1, configs={"supervised2": convnet.Config(epochs=1, batch=100, hidden=8)})
    params = run.fitted("supervised2", data)
    (last,) = run.histories["supervised2"]
    assert last["step"] == 2  # 216 images
    assert len(drawn) == 200 and {i.tobytes() for i in drawn} <= {i.tobytes() for i in IMAGES[:216]}
    assert convnet.image_accuracy(params, IMAGES[216:], LABELS[216:]) == pytest.approx(last["accuracy"])
    first = eq2.first_layer(params)
    network = {"W_1": first["W_e"], "b_1": first["b_e"], "W_2": params["W_e"], "b_2": params["b_e"]}
    network |= {name: params[name] for name in ("W_3", "b_3", "W_4", "b_4")}
    x = Whitening(params["mean"], params["matrix"])(IMAGES)
    right = convnet.accuracy(to_device(network), to_device(x), to_device(LABELS))
    assert convnet.image_accuracy(params, IMAGES, LABELS) == pytest.approx(right)
    rng = np.random.default_rng(0)
    start, x = convnet.init_params(rng, hidden=256), rng.standard_normal((4, 32, 32, 3), dtype=np.float32)
    z, W_3 = convnet.forward(to_device(start), to_device(x))[1]["linear_3"]
    assert 0.5 < to_host(z @ W_3).std() < 1.5
    assert start["W_4"].shape == (256, 10)


def test_augmented_images_are_windows_of_the_mirrored_image_half_of_them_flipped():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 6, 7, 3), dtype=np.uint8)
    result, seen = cifar.augment(images.copy(), rng, shift=2), np.zeros((2, 5, 5), int)
    for image, window in zip(images, result, strict=True):
        mirrored = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        hits = [
            (flip, top, left)
            for flip, top, left in np.ndindex(2, 5, 5)
            if np.array_equal(mirrored[top : top + 6, left : left + 7][:, :: 1 - 2 * flip], window)
        ]
        assert len(hits) == 1
        seen[hits[0]] += 1
    assert (seen.sum((1, 2)) > 100).all() and (seen.sum((0, 2)) > 30).all() and (seen.sum((0, 1)) > 30).all()
