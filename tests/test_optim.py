"""SGD with momentum and Adam against the written-out recursions, and the projection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from slowae import optim
from slowae.backend import to_device, to_host


def sgd_by_hand(p, gradients, rate, momentum):
    v = 0
    for g in gradients:
        v = momentum * v - rate * g
        p = p + v
    return p


def adam_by_hand(p, gradients, rate, momentum):
    m = v = 0
    for t, g in enumerate(gradients, 1):
        m, v = momentum * m + (1 - momentum) * g, 0.999 * v + 0.001 * g**2
        p = p - rate * (m / (1 - momentum**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p


BOTH = pytest.mark.parametrize("name", ["sgd", "adam"])


@BOTH
@given(st.sampled_from([0.0, 0.1, 1.0]), seeds)
def test_the_optimizers_are_their_recursions_and_biases_learn_bias_rate_times_as_fast(name, bias_rate, seed):
    rng, optimizer = np.random.default_rng(seed), optim.OPTIMIZERS[name]
    start, gradients = rng.standard_normal((2, 4)), rng.standard_normal((5, 2, 4))
    params = to_device({"W_b": start[0].copy(), "b_e": start[1].copy()})
    state = optimizer.init(params)
    for W, b in gradients:
        optimizer.step(params, to_device({"W_b": W, "b_e": b}), state, 0.1, 0.8, bias_rate)
    by_hand = {"sgd": sgd_by_hand, "adam": adam_by_hand}[name]
    np.testing.assert_allclose(to_host(params["W_b"]), by_hand(start[0], gradients[:, 0], 0.1, 0.8))
    np.testing.assert_allclose(to_host(params["b_e"]), by_hand(start[1], gradients[:, 1], 0.1 * bias_rate, 0.8))


@BOTH
def test_float32_and_gradients_stay(name):
    params, grads = to_device({"p": np.ones(3, np.float32)}), to_device({"p": np.full(3, 2, np.float32)})
    state = optim.OPTIMIZERS[name].init(params)
    for _ in range(2):
        optim.OPTIMIZERS[name].step(params, grads, state, 0.1, 0.9, 1.0)
    assert {value.dtype for value in (params | state).values()} == {np.dtype(np.float32)}
    assert to_host(grads["p"]).tolist() == [2, 2, 2]


@BOTH
@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_a_gradient_that_would_broadcast_is_refused(name, shape):
    params = {"p": np.ones(3)}
    with pytest.raises(ValueError, match=r"parameter \(3,\) and gradient .* must have one shape"):
        optim.OPTIMIZERS[name].step(params, {"p": np.ones(shape)}, optim.OPTIMIZERS[name].init(params), 0.1, 0.9, 1.0)
    assert params["p"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("kappa", [np.inf, 1.0, 0.25, 0.0])
@pytest.mark.parametrize("shape", [(3, 3, 2, 4), (6, 4)])
def test_projection_keeps_directions_and_twice_is_once(shape, kappa):
    rng = np.random.default_rng(0)
    host = {"W_e": rng.standard_normal(shape), "b_e": np.array([-0.5, 0.5, -5, -50]), "W_d": rng.standard_normal(shape)}
    params = to_device({name: value.copy() for name, value in host.items()})
    norms = {name: np.sqrt((host[name] ** 2).sum(tuple(range(len(shape) - 1)))) for name in ("W_e", "W_d")}
    bounded = [max(min(b, 0), -kappa * norm) for b, norm in zip(host["b_e"], norms["W_e"], strict=True)]
    for _ in range(2):
        optim.project(params, kappa)
        np.testing.assert_allclose(to_host(params["W_d"]), host["W_d"] / norms["W_d"])
        np.testing.assert_allclose(to_host(params["b_e"]), bounded)
        np.testing.assert_array_equal(to_host(params["W_e"]), host["W_e"])


@pytest.mark.parametrize(("kappa", "bias"), [(np.inf, -2), (1.0, 0)])
def test_the_projection_of_a_filter_of_zeros_is_finite(kappa, bias):
    params = {"W_e": np.zeros((6, 1)), "b_e": np.array([-2.0]), "W_d": np.ones((6, 1))}
    optim.project(params, kappa)
    assert params["b_e"].tolist() == [bias]
