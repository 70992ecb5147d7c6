"""SGD with momentum against the written-out recursion, and the projection."""

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
