"""SGD with momentum and Adam against the written-out recursions, and the projection."""

import numpy as np
from hypothesis import given
from strategies import seeds

from slowae import optim
from slowae.backend import to_device, to_host


@given(seeds)
def test_sgd_is_the_recursion(seed):
    rng = np.random.default_rng(seed)
    start, gradients = rng.standard_normal(4), rng.standard_normal((3, 4))
    params = to_device({"p": start.copy()})
    velocity = optim.init_velocity(params)
    p, v = start, np.zeros(4)
    for g in gradients:
        optim.sgd(params, to_device({"p": g}), velocity, rate=0.1, momentum=0.8)
        v = 0.8 * v - 0.1 * g
        p = p + v
    np.testing.assert_allclose(to_host(params["p"]), p)


@given(seeds)
def test_adam_is_the_recursion(seed):
    rng = np.random.default_rng(seed)
    start, gradients = rng.standard_normal(4), rng.standard_normal((5, 4))
    params = to_device({"p": start.copy()})
    moments = optim.init_moments(params)
    p, m, v = start, np.zeros(4), np.zeros(4)
    for t, g in enumerate(gradients, 1):
        optim.adam(params, to_device({"p": g}), moments, rate=0.1, momentum=0.8, decay=0.99)
        m, v = 0.8 * m + 0.2 * g, 0.99 * v + 0.01 * g**2
        p = p - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
    np.testing.assert_allclose(to_host(params["p"]), p)


def test_adam_does_not_see_the_scale_of_the_loss():
    ends = []
    for scale in (1.0, 1e6):
        params = to_device({"p": np.array([3.0, -2.0])})
        moments = optim.init_moments(params)
        for _ in range(20):
            optim.adam(params, {"p": scale * params["p"]}, moments, rate=0.05)
        ends.append(to_host(params["p"]))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5)


def test_the_optimizers_keep_dtype_and_gradients():
    for optimizer in (optim.SGD, optim.ADAM):
        params, grads = to_device({"p": np.ones(3, np.float32)}), to_device({"p": np.full(3, 2, np.float32)})
        state = optimizer.init(params)
        for _ in range(2):
            optimizer.step(params, grads, state, 0.1, 0.9)
        assert {value.dtype for value in (params | state).values()} == {np.dtype(np.float32)}
        assert to_host(grads["p"]).tolist() == [2, 2, 2]
        assert (to_host(params["p"]) < 1).all()


def test_momentum_reaches_the_minimum_of_a_quadratic():
    scale = to_device(np.array([1.0, 10.0]))
    params = to_device({"p": np.array([3.0, -2.0])})
    velocity = optim.init_velocity(params)
    for _ in range(400):
        optim.sgd(params, {"p": scale * params["p"]}, velocity, rate=0.05)
    np.testing.assert_allclose(to_host(params["p"]), 0, atol=1e-6)


def test_projection_twice_is_projection_once_and_keeps_directions():
    rng = np.random.default_rng(0)
    for shape in ((3, 3, 2, 4), (6, 4)):
        host = {
            "W_e": rng.standard_normal(shape),
            "b_e": rng.standard_normal(4),
            "W_d": rng.standard_normal(shape),
        }
        params = to_device({name: value.copy() for name, value in host.items()})
        optim.project(params)
        once = {name: value.copy() for name, value in to_host(params).items()}
        axes = tuple(range(len(shape) - 1))
        np.testing.assert_allclose(once["W_d"], host["W_d"] / np.sqrt((host["W_d"] ** 2).sum(axes)))
        np.testing.assert_array_equal(once["b_e"], np.minimum(host["b_e"], 0))
        np.testing.assert_array_equal(once["W_e"], host["W_e"])
        optim.project(params)
        np.testing.assert_allclose(to_host(params)["W_d"], once["W_d"])
