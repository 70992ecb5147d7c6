"""Eq. 2 as a whole: finite differences, the loop-written loss, blocks, both convolutions, the degeneracy."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import seeds
from test_conv import conv_by_loop
from test_layers import pool_by_loop

from slowae import blocks, conv, conv_fourier, model
from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.model import Config, encode, init_params, loss_and_gradients, statistics

weights = st.sampled_from([0.0, 0.3, 2.0])
CONV, LINEAR = (3, 3, 2, 8), (6, 8)
BOTH = pytest.mark.parametrize("shape", [CONV, LINEAR], ids=["frames", "patches"])
TERMS = pytest.mark.parametrize("term", model.TERMS_OF_Z)
TRIPLETS = {"beta": 0.0, "acceleration": 1.1}


def problem(seed, shape, windows=2, alpha=0.7, beta=1.3, **options):
    """-> float64 parameters for filters of `shape` and a batch that fits them, on the host, and a Config."""
    rng, config = np.random.default_rng(seed), Config(alpha, beta, size=2 if len(shape) == 4 else 1, **options)
    start = init_params(rng, shape)
    params = {name: value + 0.1 * rng.standard_normal(value.shape) for name, value in start.items()}
    x = rng.standard_normal((config.T * windows, 4, 4, shape[2]) if len(shape) == 4 else (config.T * windows, shape[0]))
    return params, x, config


def of_z(weights):
    """Weights of some terms of z -> of all: 0 for the others."""
    return dict.fromkeys(model.TERMS_OF_Z, 0.0) | weights


def evaluate(params, x, config, done=1.0):
    """loss_and_gradients on the chosen backend -> loss, gradients on the host."""
    loss, grads = loss_and_gradients(to_device(params), to_device(x), config, done)
    return float(loss), to_host(grads)


def assert_close(result, expected, rtol=1e-10):
    assert result[0] == pytest.approx(expected[0], rel=rtol)
    for name, value in expected[1].items():
        np.testing.assert_allclose(result[1][name], value, rtol, rtol * np.abs(value).max(), err_msg=name)


@BOTH
@TERMS
@given(weights, weights, st.sampled_from([*model.TERMS_OF_Z]), weights, seeds)
def test_gradients_of_the_whole(shape, term, alpha, weight, other, other_weight, seed):
    chosen = of_z({other: other_weight, term: weight})
    assume(not (chosen["beta"] and chosen["acceleration"]))  # of other windows
    params, x, config = problem(seed, shape, alpha=alpha, **chosen)
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
    turned = params["W_d"][::-1, ::-1].swapaxes(2, 3)  # the transpose of a convolution is one with turned filters
    x_hat = conv_by_loop(h, turned, np.zeros(x.shape[3]))
    z = pool_by_loop(h, config.group, config.size)
    return (((x_hat - x) ** 2).sum() + config.alpha * h.sum() + config.beta * np.abs(z[:N] - z[N:]).sum()) / N


@given(seeds)
def test_the_loss_is_eq_2(seed):
    params, x, config = problem(seed, CONV)
    assert evaluate(params, x, config)[0] == pytest.approx(loss_by_loop(params, x, config), rel=1e-10)


@TERMS
def test_a_term_of_z_adds_its_weight_times_its_value(term):
    params, x, config = problem(0, CONV, **of_z({term: 0.6}))
    without = evaluate(params, x, replace(config, **{term: 1e-300}))  # 0 might ask for other windows
    z, windows = encode(to_device(params), to_device(x), config), len(x) // config.T
    value = float(model.TERMS_OF_Z[term](z)[0]) / windows
    assert value > 0 and evaluate(params, x, config)[0] - without[0] == pytest.approx(0.6 * value)


def test_the_data_and_one_word_choose_the_convolution(monkeypatch):
    x = np.zeros((2, 4, 4, 3))
    for word, by in (("", conv_fourier), ("fourier", conv_fourier), ("plain", conv)):
        monkeypatch.setenv("SLOWAE_CONV", word)
        assert model.filters_for(x).decode_forward is by.decode_forward
    monkeypatch.setenv("SLOWAE_CONV", "quick")
    with pytest.raises(ValueError, match="SLOWAE_CONV must be plain or fourier, not 'quick'"):
        model.convolution(x)
    monkeypatch.delenv("SLOWAE_CONV")
    monkeypatch.setattr(model, "array_module", lambda x: "cupy")
    assert model.filters_for(x).decode_forward is conv.decode_forward


@pytest.mark.parametrize(
    ("rise", "done", "share"), [(0, 0, 1), (0.5, 0, 0), (0.5, 0.125, 0.25), (0.5, 0.9, 1), (1, 0.75, 0.75)]
)
@TERMS
def test_the_weights_of_z_rise_in_a_line(term, rise, done, share):
    params, x, config = problem(0, LINEAR, rise=rise, **of_z({term: 1.3}))
    reached = replace(config, rise=0.0, **{term: max(share, 1e-300) * 1.3})  # 0 might ask for other windows
    assert_close(evaluate(params, x, config, done), evaluate(params, x, reached))


@BOTH
@pytest.mark.parametrize(("windows", "weights"), [(5, {}), (4, TRIPLETS)])
def test_blocks_and_threads_change_nothing_but_rounding(shape, windows, weights, monkeypatch):
    params, x, config = problem(0, shape, windows, **weights)
    results = []
    for per_block in (2, 4, 6, 100):
        monkeypatch.setattr(blocks, "frames_per_block", lambda x, W, n=per_block: n)
        on_device = to_device(params), to_device(x), config
        results.append((evaluate(params, x, config), statistics(*on_device), to_host(encode(*on_device))))
    for whole, numbers, codes in results[1:]:
        assert_close(whole, results[0][0])
        assert numbers == pytest.approx(results[0][1])
        np.testing.assert_allclose(codes, results[0][2])


def test_the_same_call_gives_the_same_bits():
    rng = np.random.default_rng(0)
    params, x = init_params(rng, (9, 9, 3, 64)), rng.standard_normal((16, 32, 32, 3), dtype=np.float32)
    first, again = (evaluate(params, x, Config()) for _ in range(2))
    assert_close(first, again, rtol=0)


@BOTH
def test_the_degeneracy(shape):
    """(W_e, b_e, W_d) -> (c W_e, c b_e, W_d / c) leaves the reconstruction, and makes the other two terms free."""

    def loss(c, alpha, beta):
        params, x, config = problem(3, shape, alpha=alpha, beta=beta)
        scaled = {"W_e": c * params["W_e"], "b_e": c * params["b_e"], "W_d": params["W_d"] / c}
        return evaluate(scaled, x, config)[0]

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
    assert [found[name] for name in ("dead", "active", "slowness")] == pytest.approx([0.5, 0.5, 2 / 4])


@pytest.mark.parametrize(("shape", "size"), [((9, 9, 3, 64), 2), ((400, 512), 1)])
def test_init_reconstructs_from_the_start(shape, size):
    """The scale of W_e: a random code already explains most of the variance, so SGD can start at a useful rate."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 32, 32, 3) if size == 2 else (64, 400), dtype=np.float32)
    params = init_params(rng, shape)
    norms = np.sqrt((params["W_d"] ** 2).sum(tuple(range(len(shape) - 1))))
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    scale = 0.5 if size == 1 else 2 * 3 / 64
    np.testing.assert_allclose(params["W_e"], scale * params["W_d"], rtol=1e-6)
    assert statistics(to_device(params), to_device(x), Config(size=size))["reconstruction"] < 0.9


@pytest.mark.parametrize(
    ("x", "complaint"),
    [
        *((np.zeros(shape), "do not fit") for shape in ((0, 4, 4, 2), (2, 4, 4, 3), (2, 6))),
        (np.zeros((2, 4, 4, 2), np.float32), "do not fit"),
        *((np.full((2, 4, 4, 2), bad), "which is NaN, Inf, or") for bad in (np.nan, np.inf, 2e15, 1e-16)),
    ],
)
def test_bad_frames_get_a_sentence_where_they_enter(x, complaint):
    params, _, config = problem(0, CONV)
    for enter in (loss_and_gradients, statistics, encode):
        with pytest.raises(ValueError, match=complaint):
            enter(params, x, config)


@pytest.mark.parametrize("scale", [2e-15, 5e14])
def test_frames_of_any_size_that_are_taken_give_finite_numbers_in_float32(scale):
    params, x, _ = problem(0, CONV)
    params = {name: value.astype(np.float32) for name, value in params.items()} | {"b_e": np.zeros(8, np.float32)}
    x = (x / np.abs(x).max() * scale).astype(np.float32)
    weights = {name: np.float64(1) for name in model.TERMS_OF_Z if name != "acceleration"}  # NumPy's are float64
    config = Config(np.float64(0.5), rise=np.float64(0.5), **weights)
    loss, grads = loss_and_gradients(params, x, config, np.float64(0.25))
    assert {value.dtype for value in (loss, *grads.values())} == {np.dtype(np.float32)}
    assert 0 < loss < np.inf and all(np.isfinite(grad).all() and grad.any() for grad in grads.values())
    assert encode(params, x, config).max() > 0.01 * scale


def test_integers_and_even_filters_are_refused():
    params, x, config = problem(0, CONV)
    with pytest.raises(ValueError, match=r"frames .* int64 do not fit"):
        encode({name: value.astype(int) for name, value in params.items()}, x.astype(int), config)
    with pytest.raises(ValueError, match="side must be odd, not 2"):
        encode({"W_e": params["W_e"][:2, :2]}, x, config)


@pytest.mark.parametrize(("weights", "T"), [({}, 2), (TRIPLETS, 3)])
def test_what_does_not_divide_into_windows_is_refused(weights, T):
    params, x, config = problem(0, LINEAR, **weights)
    with pytest.raises(ValueError, match=f"windows of {T} frames, all first ones, then all second ones, not {T + 1}"):
        loss_and_gradients(params, x[: T + 1], config)


@pytest.mark.parametrize(
    "bad",
    [
        *({name: bad} for name in ("alpha", "rise", *model.TERMS_OF_Z) for bad in (-0.5, np.nan, np.inf)),
        *({name: 0} for name in ("group", "size", "filters", "side")),
        {"acceleration": 0.5, "beta": 1.0},
    ],
    ids=str,
)
def test_bad_settings_get_a_sentence(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be "):
        Config(**bad)
