"""Stochastic gradient descent with momentum, Adam, and the projection that Eq. 2 needs after every step.

The convolutional layer learns with Adam. Its loss is far steeper along blurs, which all places and shifts share, than
along the details of a filter: a rate at which SGD does not diverge hardly moves the filters.
"""

from collections import namedtuple
from math import inf

from slowae.backend import array_module
from slowae.checks import require_alike


def _rate_of(name, rate, bias_rate):
    """Biases, the b_..., learn `bias_rate` times as fast as weights.

    Sparsity and slowness push every bias down, step after step, while a filter's gradients turn with the batch. So
    biases outrun filters, in Adam also by small gradients, and a unit that has fallen silent stays silent (lesson 07).
    """
    return rate * bias_rate if name.startswith("b_") else rate


def init_velocity(params):
    """One zero array for each parameter."""
    return {name: array_module(value).zeros_like(value) for name, value in params.items()}


def sgd(params, grads, velocity, rate, momentum=0.9, bias_rate=1.0):
    """v = momentum v - rate dL/dp, p = p + v. In place: params and velocity change."""
    for name, grad in grads.items():
        require_alike(parameter=params[name], gradient=grad)
        velocity[name] *= momentum
        velocity[name] -= _rate_of(name, rate, bias_rate) * grad
        params[name] += velocity[name]


def init_moments(params):
    """Zero first and second moments for each parameter, and the number of steps taken, 0."""
    moments = {f"{kind}/{name}": zero for kind in ("first", "second") for name, zero in init_velocity(params).items()}
    some = next(iter(params.values()))
    return moments | {"steps": array_module(some).zeros_like(some, shape=())}


def adam(params, grads, moments, rate, momentum=0.9, bias_rate=1.0, decay=0.999, epsilon=1e-8):
    """p = p - rate m / (sqrt(v) + epsilon), m and v unbiased running means of g and g^2 (Kingma, Ba 2015). In place."""
    moments["steps"] += 1
    steps = moments["steps"]
    for name, grad in grads.items():
        require_alike(parameter=params[name], gradient=grad)
        first, second = moments[f"first/{name}"], moments[f"second/{name}"]
        first *= momentum
        first += (1 - momentum) * grad
        second *= decay
        second += (1 - decay) * grad * grad
        root = array_module(grad).sqrt(second / (1 - decay**steps))
        params[name] -= _rate_of(name, rate, bias_rate) / (1 - momentum**steps) * first / (root + epsilon)


# init(params) -> state; step(params, grads, state, rate, momentum, bias_rate) changes params and state in place.
Optimizer = namedtuple("Optimizer", "init step")
OPTIMIZERS = {"sgd": Optimizer(init_velocity, sgd), "adam": Optimizer(init_moments, adam)}


def project(params, kappa=inf):
    """Unit L2 norm for each atom of W_d, and -kappa |W_e| <= b_e <= 0 for each unit. In place.

    Without the first, (W_e, b_e, W_d) -> (c W_e, c b_e, W_d / c), c -> 0, makes sparsity and slowness free. With biases
    above 0, at alpha = 0, every unit is always on, and slowness is free again. A unit that no frame activates has no
    gradient and stays silent. Where the input has variance 1, W_e x varies by about |W_e|: with kappa = 0.5 half of
    that turns a unit on.
    """
    W_d = params["W_d"]
    W_d /= _norms(W_d)
    lowest = -kappa * _norms(params["W_e"]) if kappa < inf else None  # inf times the norm of a filter of zeros is NaN
    params["b_e"].clip(lowest, 0, out=params["b_e"])


def _norms(W):
    """|W| of each filter (..., K) -> (K,)."""
    return array_module(W).sqrt((W * W).sum(tuple(range(W.ndim - 1))))
