"""Eq. 2 as a whole: finite differences, the loop-written loss, blocks, the degeneracy, the stand-in for a GPU."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import seeds
from strict import Strict
from test_conv import conv_by_loop

from slowae import model, optim
from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.layers import relu_forward
from slowae.model import Config, encode, init_params, loss_and_gradients, statistics

weights = st.sampled_from([0.0, 0.3, 2.0])
CONV, LINEAR = (3, 3, 2, 8), (6, 8)


def frames(rng, shape, pairs=2):
    """A batch that fits filters of `shape`."""
    return rng.standard_normal((2 * pairs, 4, 4, shape[2]) if len(shape) == 4 else (2 * pairs, shape[0]))


def parameters(rng, shape):
    return {
        name: value.astype(float) + 0.1 * rng.standard_normal(value.shape)
        for name, value in init_params(rng, shape).items()
    }


def settings(shape, alpha=0.7, beta=1.3):
    return Config(alpha, beta, group=4, size=2 if len(shape) == 4 else 1)


@pytest.mark.parametrize("shape", [CONV, LINEAR])
@given(weights, weights, seeds)
def test_gradients_of_the_whole(shape, alpha, beta, seed):
    rng = np.random.default_rng(seed)
    params, x, config = parameters(rng, shape), frames(rng, shape), settings(shape, alpha, beta)
    a = model._filter_forward(x, params["W_e"], params["b_e"])[0]
    z = encode(params, x, config)
    # Off the kinks: nothing within reach of the finite step. Two equal z are two silent groups, where all is flat.
    assume(np.abs(a).min() > 1e-3)
    gaps = np.abs(z[:2] - z[2:])
    assume((gaps[gaps > 0] > 1e-3).all() if gaps.any() else True)
    check_gradients(
        lambda **p: loss_and_gradients(p, to_device(x), config),
        lambda dout, grads: tuple(dout * grads[name] for name in params),
        params,
        rng,
    )


def loss_by_loop(params, x, config):
    """Eq. 2 as printed (with the misprints mended), for frames (2N, H, W, C)."""
    N = len(x) // 2
    h = np.maximum(conv_by_loop(x, params["W_e"], params["b_e"]), 0)
    F = params["W_d"].shape[0]
    x_hat = np.zeros_like(x)
    for n, v, w, k, i, j, c in np.ndindex(*h.shape, F, F, x.shape[3]):
        y, u = v + i - F // 2, w + j - F // 2
        if 0 <= y < x.shape[1] and 0 <= u < x.shape[2]:
            x_hat[n, y, u, c] += h[n, v, w, k] * params["W_d"][i, j, c, k]
    z = np.zeros((2 * N, x.shape[1] // config.size, x.shape[2] // config.size, h.shape[3] // config.group))
    for n, v, w, k in np.ndindex(*h.shape):
        z[n, v // config.size, w // config.size, k // config.group] += h[n, v, w, k] ** 2
    z = np.sqrt(z)
    return (((x_hat - x) ** 2).sum() + config.alpha * h.sum() + config.beta * np.abs(z[:N] - z[N:]).sum()) / N


@given(seeds)
def test_the_loss_is_eq_2(seed):
    rng = np.random.default_rng(seed)
    params, x, config = parameters(rng, CONV), frames(rng, CONV), settings(CONV)
    loss, _ = loss_and_gradients(to_device(params), to_device(x), config)
    np.testing.assert_allclose(float(loss), loss_by_loop(params, x, config), rtol=1e-10)


@pytest.mark.parametrize("shape", [CONV, LINEAR])
def test_blocks_and_threads_change_nothing_but_rounding(shape, monkeypatch):
    rng = np.random.default_rng(0)
    params, x, config = (
        to_device(parameters(rng, shape)),
        to_device(frames(rng, shape, pairs=5)),
        settings(shape),
    )
    results = []
    for per_block in (2, 4, 6, 100):
        monkeypatch.setattr(model, "frames_per_block", lambda x, W, n=per_block: n)
        loss, grads = loss_and_gradients(params, x, config)
        results.append(([loss, *grads.values()], statistics(params, x, config), encode(params, x, config)))
    for arrays, numbers, codes in results[1:]:
        for one, other in zip(results[0][0], arrays, strict=True):
            np.testing.assert_allclose(to_host(one), to_host(other), rtol=1e-10)
        assert numbers == pytest.approx(results[0][1])
        np.testing.assert_allclose(to_host(codes), to_host(results[0][2]))


def test_the_same_call_gives_the_same_bits():
    rng = np.random.default_rng(0)
    params = init_params(rng, (9, 9, 3, 64))
    x = rng.standard_normal((16, 32, 32, 3), dtype=np.float32)
    params, x = to_device(params), to_device(x)
    (loss, grads), (again, grads_again) = (loss_and_gradients(params, x, Config()) for _ in range(2))
    assert float(loss) == float(again)
    for name in grads:
        np.testing.assert_array_equal(to_host(grads[name]), to_host(grads_again[name]))
        assert grads[name].dtype == np.float32


def test_swapping_the_frames_of_every_pair_changes_nothing():
    rng = np.random.default_rng(1)
    params, x, config = parameters(rng, CONV), frames(rng, CONV), settings(CONV)
    swapped = np.concatenate([x[2:], x[:2]])
    one, other = (loss_and_gradients(to_device(params), to_device(v), config) for v in (x, swapped))
    np.testing.assert_allclose(float(one[0]), float(other[0]))
    np.testing.assert_allclose(to_host(one[1]["W_e"]), to_host(other[1]["W_e"]))


def test_a_pair_of_equal_frames_is_free_of_slowness():
    rng = np.random.default_rng(2)
    params, x = parameters(rng, CONV), frames(rng, CONV)
    x[2:] = x[:2]
    params, x = to_device(params), to_device(x)
    losses = [float(loss_and_gradients(params, x, settings(CONV, beta=beta))[0]) for beta in (0.0, 100.0)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("shape", [CONV, LINEAR])
def test_the_degeneracy_and_the_projection_that_removes_it(shape):
    """(W_e, b_e, W_d) -> (c W_e, c b_e, W_d / c) leaves the reconstruction, and makes the other two terms free."""
    rng = np.random.default_rng(3)
    params, x = parameters(rng, shape), frames(rng, shape)

    def loss(c, alpha, beta):
        scaled = {"W_e": c * params["W_e"], "b_e": c * params["b_e"], "W_d": params["W_d"] / c}
        return float(loss_and_gradients(to_device(scaled), to_device(x), settings(shape, alpha, beta))[0])

    np.testing.assert_allclose(loss(0.01, 0, 0), loss(1, 0, 0))
    rest, rest_scaled = loss(1, 1, 1) - loss(1, 0, 0), loss(0.01, 1, 1) - loss(0.01, 0, 0)
    np.testing.assert_allclose(rest_scaled, 0.01 * rest)

    shrunk = to_device({"W_e": params["W_e"], "b_e": params["b_e"] + 1, "W_d": params["W_d"] / 0.01})
    optim.project(shrunk)
    norms = np.sqrt((to_host(shrunk["W_d"]) ** 2).sum(tuple(range(len(shape) - 1))))
    np.testing.assert_allclose(norms, 1)
    assert to_host(shrunk["b_e"]).max() <= 0


def test_training_without_the_projection_shrinks_the_code():
    """The loss falls while |h| shrinks and |W_d| grows; with the projection every |W_d| = 1."""
    rng = np.random.default_rng(4)
    x, config = to_device(frames(rng, LINEAR, pairs=50)), settings(LINEAR, alpha=0.0, beta=3.0)
    start = parameters(rng, LINEAR)
    norms = {}
    for projected in (True, False):
        params = to_device({name: value.copy() for name, value in start.items()})
        velocity = optim.init_velocity(params)
        for _ in range(600):
            _, grads = loss_and_gradients(params, x, config)
            optim.sgd(params, grads, velocity, 2e-3)
            if projected:
                optim.project(params)
        norms[projected] = np.sqrt((to_host(params["W_d"]) ** 2).sum(0))
    np.testing.assert_allclose(norms[True], 1)
    assert np.median(norms[False]) > 1.5


def test_statistics_by_hand():
    params = {"W_e": np.eye(2), "b_e": np.zeros(2), "W_d": np.array([[1.0, 0], [0, 0]])}
    x = np.array([[3.0, 4.0], [5.0, -1.0]])  # h = x clipped; x_hat keeps the first entry only
    found = statistics(to_device(params), to_device(x), Config(group=2, size=1))
    assert found == pytest.approx(
        {
            "reconstruction": (16 + 1) / (9 + 16 + 25 + 1),
            "sparsity": (3 + 4 + 5) / 4,
            "slowness": 0.0,  # |(3, 4)| = |(5, 0)|
            "active": 3 / 4,
            "dead": 0.0,
        }
    )
    params["b_e"] = np.array([0.0, -9.0])
    found = statistics(to_device(params), to_device(x), Config(group=2, size=1))
    assert (found["dead"], found["active"]) == (0.5, 0.5)
    assert found["slowness"] == pytest.approx(2 / 4)


def test_init_reconstructs_from_the_start():
    """The scale of W_e: a random code already explains most of the variance, so SGD can start at a useful rate."""
    for shape, size in (((9, 9, 3, 64), 2), ((400, 512), 1)):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((4, 32, 32, 3) if size == 2 else (64, 400), dtype=np.float32)
        params = to_device(init_params(rng, shape))
        assert statistics(params, to_device(x), Config(size=size))["reconstruction"] < 2


@pytest.mark.parametrize("shape", [CONV, LINEAR])
def test_the_whole_step_on_the_stand_in(shape):
    rng = np.random.default_rng(5)
    params, x, config = parameters(rng, shape), frames(rng, shape), settings(shape)
    device, x_device = Strict.of(params), Strict.of(x)
    for optimizer in (optim.SGD, optim.ADAM):
        state, state_device = optimizer.init(params), optimizer.init(device)
        for _ in range(2):
            for p, s, frame in ((params, state, x), (device, state_device, x_device)):
                _, grads = loss_and_gradients(p, frame, config)
                optimizer.step(p, grads, s, 1e-3, 0.9)
                optim.project(p)
    for name in params:
        assert type(device[name]) is Strict
        np.testing.assert_allclose(device[name].get(), params[name], rtol=1e-12)
    assert statistics(device, x_device, config) == pytest.approx(statistics(params, x, config))
    assert type(encode(device, x_device, config)) is Strict


def test_the_stand_in_refuses_host_arrays():
    device = Strict.of(np.ones((2, 3)))
    for leak in (
        lambda: device + np.ones(3),
        lambda: np.ones((3, 2)) @ device,
        lambda: np.concatenate([device, np.ones((1, 3))]),
        lambda: device[np.array([0])],
        lambda: device.__setitem__(0, np.ones(3)),
        lambda: np.add(device, 1, out=np.ones((2, 3))),
    ):
        with pytest.raises(TypeError, match="host array"):
            leak()
    assert type(relu_forward(device)[0]) is Strict


@pytest.mark.parametrize(
    ("x", "complaint"),
    [
        (np.zeros((3, 4, 4, 2)), "pairs"),
        (np.zeros((0, 4, 4, 2)), "pairs"),
        (np.zeros((2, 4, 4, 3)), "do not fit"),
        (np.zeros((2, 6)), "do not fit"),
        (np.zeros((2, 4, 4, 2), np.float32), "do not fit"),
        (np.full((2, 4, 4, 2), np.nan), "NaN or Inf"),
        (np.full((2, 4, 4, 2), np.inf), "NaN or Inf"),
    ],
)
def test_bad_frames_get_a_sentence(x, complaint):
    params = parameters(np.random.default_rng(0), CONV)
    with pytest.raises(ValueError, match=complaint):
        loss_and_gradients(params, x, settings(CONV))


@pytest.mark.parametrize("bad", [{"alpha": -1}, {"beta": -0.1}, {"group": 0}, {"size": 0}])
def test_bad_settings_get_a_sentence(bad):
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        Config(**bad)


def test_a_standardised_layer_gives_the_same_code_of_mean_0_and_variance_1():
    rng = np.random.default_rng(0)
    config = model.Config(group=2)
    params = model.init_params(rng, (3, 3, 2, 4)) | {"b_e": np.full(4, -0.3, np.float32)}
    x = rng.standard_normal((6, 4, 4, 2), dtype=np.float32)
    z = to_host(model.encode(to_device(params), to_device(x), config))
    scaled = to_host(model.standardise(to_device(params), to_device(z)))
    above = to_host(model.encode_stack([(to_device(scaled), config)], to_device(x)))
    np.testing.assert_allclose(above.mean((0, 1, 2)), 0, atol=1e-6)
    assert (above**2).mean() == pytest.approx(1, rel=1e-5) and above.dtype == np.float32
    c = (z - z.mean((0, 1, 2))).std()
    np.testing.assert_allclose(above, (z - z.mean((0, 1, 2))) / c, atol=1e-5)
    # The same reconstruction: only sparsity and slowness, at weight 0 here, are in other units.
    free = model.Config(0, 0, group=2)
    trained = {name: scaled[name] for name in params}
    losses = [float(model.loss_and_gradients(to_device(p), to_device(x), free)[0]) for p in (params, trained)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    with pytest.raises(ValueError, match="dead"):
        model.standardise(params, 0 * z)


def test_a_stack_encodes_layer_upon_layer():
    rng = np.random.default_rng(0)
    below = model.init_params(rng, (3, 3, 3, 8)), model.Config(group=4, size=2)
    above = model.init_params(rng, (3, 3, 2, 6)), model.Config(group=1, size=4)
    x = rng.standard_normal((3, 16, 16, 3), dtype=np.float32)
    layers, x = [(to_device(params), config) for params, config in (below, above)], to_device(x)
    z = model.encode_stack(layers, x)
    assert z.shape == (3, 2, 2, 6)
    expected = model.encode(layers[1][0], model.encode(layers[0][0], x, below[1]), above[1])
    np.testing.assert_array_equal(to_host(z), to_host(expected))
    np.testing.assert_array_equal(to_host(model.encode_stack([], x)), to_host(x))
