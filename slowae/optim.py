"""Stochastic gradient descent with momentum, and the projection that Eq. 2 needs after every step."""

from slowae.backend import array_module


def init_velocity(params):
    """One zero array for each parameter."""
    return {name: array_module(value).zeros_like(value) for name, value in params.items()}


def sgd(params, grads, velocity, rate, momentum=0.9):
    """v = momentum v - rate dL/dp, p = p + v. In place: params and velocity change."""
    for name, grad in grads.items():
        velocity[name] *= momentum
        velocity[name] -= rate * grad
        params[name] += velocity[name]


def project(params):
    """Unit L2 norm for each atom of W_d, and b_e <= 0. In place.

    Without the first, (W_e, b_e, W_d) -> (c W_e, c b_e, W_d / c), c -> 0, makes sparsity and slowness free.
    Without the second, at alpha = 0, the biases rise until every unit is always on, and slowness is free again.
    """
    W_d = params["W_d"]
    W_d /= array_module(W_d).sqrt((W_d * W_d).sum(tuple(range(W_d.ndim - 1))))
    params["b_e"].clip(None, 0, out=params["b_e"])
