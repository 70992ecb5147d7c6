"""Eq. 2 as a whole: finite differences, the loop-written loss, blocks, both convolutions, the degeneracy."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import seeds
from test_conv import conv_by_loop

from slowae import blocks, conv, conv_fourier, losses, model
from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.model import Config, encode, init_params, loss_and_gradients, statistics

weights = st.sampled_from([0.0, 0.3, 2.0])
CONV, LINEAR = (3, 3, 2, 8), (6, 8)
BOTH = pytest.mark.parametrize("shape", [CONV, LINEAR], ids=["frames", "patches"])


TRIPLETS = {"beta": 0.0, "acceleration": 1.1}


def problem(seed, shape, windows=2, **options):
    """-> float64 parameters for filters of `shape` and a batch that fits them, on the host, and a Config."""
    rng, config = np.random.default_rng(seed), settings(shape, **options)
    start = init_params(rng, shape)
    params = {name: value + 0.1 * rng.standard_normal(value.shape) for name, value in start.items()}
    x = rng.standard_normal((config.T * windows, 4, 4, shape[2]) if len(shape) == 4 else (config.T * windows, shape[0]))
    return params, x, config


def settings(shape, alpha=0.7, beta=1.3, **options):
    return Config(alpha, beta, group=4, size=2 if len(shape) == 4 else 1, **options)


def evaluate(params, x, config, done=1.0):
    """loss_and_gradients on the chosen backend -> loss, gradients on the host."""
    loss, grads = loss_and_gradients(to_device(params), to_device(x), config, done)
    return float(loss), to_host(grads)


def assert_close(found, expected, rtol=1e-10):
    assert found[0] == pytest.approx(expected[0], rel=rtol)
    for name, value in expected[1].items():
        np.testing.assert_allclose(found[1][name], value, rtol, rtol * np.abs(value).max(), err_msg=name)


@BOTH
@given(weights, st.sampled_from(["beta", "acceleration"]), weights, weights, seeds)
def test_gradients_of_the_whole(shape, alpha, change, weight, group_sparsity, seed):
    of_z = {"beta": 0.0, change: weight, "group_sparsity": group_sparsity}
    params, x, config = problem(seed, shape, alpha=alpha, **of_z)
    a = model.filters_for(x).forward(x, params["W_e"], params["b_e"])[0]
    z = encode(params, x, config)
    # Off the kinks: nothing within reach of the finite step. Equal z are silent groups, where all is flat.
    gaps = np.abs(np.diff(z.reshape(config.T, -1), config.T - 1, axis=0))
    assume(np.abs(a).min() > 1e-3 and (gaps[gaps > 0] > 1e-3).all())
    check_gradients(
        lambda **p: loss_and_gradients(p, to_device(x), config),
        lambda dout, grads: tuple(dout * grads[name] for name in params),
        params,
        np.random.default_rng(seed),
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
    params, x, config = problem(seed, CONV)
    assert evaluate(params, x, config)[0] == pytest.approx(loss_by_loop(params, x, config), rel=1e-10)


@pytest.mark.parametrize(("term", "weight"), [("sparsity", "alpha"), ("slowness", "beta")])
def test_the_terms_are_those_of_losses(term, weight, monkeypatch):
    """Doubled there, a term weighs twice as much here: lessons put a student's own in its place."""
    original, (params, x, config) = getattr(losses, term), problem(0, CONV)
    twice = evaluate(params, x, settings(CONV, **{weight: 2 * getattr(config, weight)}))
    monkeypatch.setattr(losses, term, lambda h: tuple(2 * part for part in original(h)))
    assert_close(evaluate(params, x, config), twice)


def test_both_convolutions_give_the_same_eq_2(monkeypatch):
    params, x, config = problem(0, CONV, windows=3)
    found = []
    for by in (conv, conv_fourier):
        monkeypatch.setattr(model, "convolution", lambda x, by=by: by)
        assert model.filters_for(x).forward is by.conv_forward
        found.append((evaluate(params, x, config), to_host(encode(to_device(params), to_device(x), config))))
    assert_close(found[0][0], found[1][0])
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9, atol=1e-12)


def test_the_data_chooses_the_convolution(monkeypatch):
    assert model.filters_for(np.zeros((2, 4, 4, 3))).decode_forward is conv_fourier.decode_forward
    monkeypatch.setattr(model, "array_module", lambda x: "cupy")
    assert model.filters_for(np.zeros((2, 4, 4, 3))).decode_forward is conv.decode_forward


@pytest.mark.parametrize(
    ("rise", "done", "share"), [(0, 0, 1), (0.5, 0, 0), (0.5, 0.125, 0.25), (0.5, 0.9, 1), (1, 0.75, 0.75)]
)
@pytest.mark.parametrize("of_z", [{"beta": 1.3, "group_sparsity": 0.6}, TRIPLETS])
def test_the_weights_of_z_rise_in_a_line(rise, done, share, of_z):
    params, x, config = problem(0, LINEAR, rise=rise, **of_z)
    reached = {name: max(share, 1e-300) * weight for name, weight in of_z.items()}  # 0 would ask for pairs
    assert_close(evaluate(params, x, config, done), evaluate(params, x, settings(LINEAR, **reached)))


def test_group_sparsity_and_acceleration_by_hand():
    """What the weight adds: of z = 5 and 0, and of z = 5, 10, 15, and of 5, 10, 10."""
    params = {"W_e": np.eye(2), "b_e": np.zeros(2), "W_d": np.eye(2)}

    def added(x, **weight):
        x = np.array(x, float)
        (loss, grads), (without, grads_without) = (
            evaluate(params, x, Config(0.0, 0.0, group=2, size=1, **{name: share * w for name, w in weight.items()}))
            for share in (1, 1e-300)
        )
        return loss - without, grads["W_e"] - grads_without["W_e"]

    value, dW_e = added([[3, 4], [0, -1]], group_sparsity=2)
    assert value == pytest.approx(2 * 5)
    np.testing.assert_allclose(dW_e, 2 * np.outer([3, 4], [3 / 5, 4 / 5]))
    steady, turning = ([[3, 4], [6, 8], last] for last in ([9, 12], [6, 8]))
    assert added(steady, acceleration=2)[0] == pytest.approx(0, abs=1e-12)
    value, dW_e = added(turning, acceleration=2)
    assert value == pytest.approx(2 * 5)
    # The signs of z_t-1 - 2 z_t + z_t+1 = -5, times x and dz / dh = (3/5, 4/5) of each frame.
    np.testing.assert_allclose(dW_e, 2 * np.outer(-1 * np.array([3, 4]) + 2 * np.array([6, 8]) - [6, 8], [0.6, 0.8]))


@BOTH
@pytest.mark.parametrize(("windows", "of_z"), [(5, {}), (4, TRIPLETS)])
def test_blocks_and_threads_change_nothing_but_rounding(shape, windows, of_z, monkeypatch):
    params, x, config = problem(0, shape, windows, **of_z)
    results = []
    for per_block in (2, 4, 6, 100):
        monkeypatch.setattr(blocks, "frames_per_block", lambda x, W, n=per_block: n)
        on_device = to_device(params), to_device(x), config
        results.append((evaluate(params, x, config), statistics(*on_device), to_host(encode(*on_device))))
    for whole, numbers, codes in results[1:]:
        assert_close(whole, results[0][0])
        assert numbers == pytest.approx(results[0][1])
        np.testing.assert_allclose(codes, results[0][2])


def test_the_same_call_gives_the_same_bits_in_float32():
    rng = np.random.default_rng(0)
    params, x = init_params(rng, (9, 9, 3, 64)), rng.standard_normal((16, 32, 32, 3), dtype=np.float32)
    (loss, grads), (again, grads_again) = (evaluate(params, x, Config()) for _ in range(2))
    assert loss == again
    for name in grads:
        np.testing.assert_array_equal(grads[name], grads_again[name])
        assert grads[name].dtype == np.float32


@BOTH
def test_the_degeneracy(shape):
    """(W_e, b_e, W_d) -> (c W_e, c b_e, W_d / c) leaves the reconstruction, and makes the other two terms free."""
    params, x, _ = problem(3, shape)

    def loss(c, alpha, beta):
        scaled = {"W_e": c * params["W_e"], "b_e": c * params["b_e"], "W_d": params["W_d"] / c}
        return evaluate(scaled, x, settings(shape, alpha, beta))[0]

    assert loss(0.01, 0, 0) == pytest.approx(loss(1, 0, 0))
    assert loss(0.01, 1, 1) - loss(0.01, 0, 0) == pytest.approx(0.01 * (loss(1, 1, 1) - loss(1, 0, 0)))


def test_statistics_by_hand():
    params = {"W_e": np.eye(2), "b_e": np.zeros(2), "W_d": np.array([[1.0, 0], [0, 0]])}
    x = np.array([[3.0, 4.0], [5.0, -1.0]])  # h = x clipped; x_hat keeps the first entry only
    found = statistics(to_device(params), to_device(x), Config(group=2, size=1))
    expected = {"reconstruction": (16 + 1) / (9 + 16 + 25 + 1), "sparsity": (3 + 4 + 5) / 4, "active": 3 / 4}
    assert found == pytest.approx(expected | {"slowness": 0, "dead": 0})  # |(3, 4)| = |(5, 0)|
    params["b_e"] = np.array([0.0, -9.0])
    found = statistics(to_device(params), to_device(x), Config(group=2, size=1))
    assert (found["dead"], found["active"]) == (0.5, 0.5)
    assert found["slowness"] == pytest.approx(2 / 4)


@pytest.mark.parametrize(("shape", "size"), [((9, 9, 3, 64), 2), ((400, 512), 1)])
def test_init_reconstructs_from_the_start(shape, size):
    """The scale of W_e: a random code already explains most of the variance, so SGD can start at a useful rate."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 32, 32, 3) if size == 2 else (64, 400), dtype=np.float32)
    params = init_params(rng, shape)
    norms = np.sqrt((params["W_d"] ** 2).sum(tuple(range(len(shape) - 1))))
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    assert statistics(to_device(params), to_device(x), Config(size=size))["reconstruction"] < 1.3


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
    params, _, config = problem(0, CONV)
    with pytest.raises(ValueError, match=complaint):
        loss_and_gradients(params, x, config)


@pytest.mark.parametrize("frames", [0, 2, 4])
def test_acceleration_asks_for_triplets(frames):
    params, _, config = problem(0, LINEAR, **TRIPLETS)
    with pytest.raises(ValueError, match=f"triplets: all x_t-1, then all x_t, then all x_t.1, not {frames} frames"):
        loss_and_gradients(params, np.zeros((frames, 6)), config)


def test_weights_of_numpys_do_not_make_float64_of_float32():
    params, x, _ = problem(0, CONV)
    params = {name: value.astype(np.float32) for name, value in params.items()}
    config = Config(np.float64(0.5), np.float64(2), group=2, rise=np.float64(0.5), group_sparsity=np.float64(1))
    loss, grads = loss_and_gradients(params, x.astype(np.float32), config, np.float64(0.25))
    assert {value.dtype for value in (loss, *grads.values())} == {np.dtype(np.float32)}


@pytest.mark.parametrize("done", [-0.1, 1.1, np.nan])
def test_no_share_of_a_training_is_refused(done):
    with pytest.raises(ValueError, match=f"between 0 and 1, not {done}"):
        loss_and_gradients(*problem(0, CONV), done)


@pytest.mark.parametrize(
    "bad",
    [
        *({"alpha": -1}, {"beta": -0.1}, {"beta": np.nan}, {"group": 0}, {"size": 0}, {"rise": 2}, {"rise": -0.5}),
        *({"group_sparsity": -2}, {"acceleration": np.inf, "beta": 0.0}, {"acceleration": 0.5}),
    ],
)
def test_bad_settings_get_a_sentence(bad):
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        Config(**bad)
