"""Every loss: its gradients by finite differences; values by hand and by loops, kinks exactly. (Eq. 1: test_drlim.)"""

import inspect
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from strategies import codes, seeds

from slowae import losses
from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.losses import acceleration, cross_entropy, reconstruction, slowness, sparsity

# All public functions of `losses`: who adds one adds nothing here, unless an argument needs a kind of its own.
LOSSES = {
    name: loss
    for name, loss in inspect.getmembers(losses, inspect.isfunction)
    if loss.__module__ == losses.__name__ and not name.startswith("_")
}
EVERY = pytest.mark.parametrize("name", LOSSES)
ARGUMENTS = {  # how an argument is drawn, by its name; others are codes of whole windows
    "near": lambda rng: rng.random(6) < 0.5,
    "margin": lambda rng: np.float64(2),
    "squared": lambda rng: bool(rng.integers(2)),
    "labels": lambda rng: rng.integers(4, size=6),
}


def draw(name, seed, dtype=float):
    """-> arguments of a loss on the chosen backend; the arrays among them that it gives gradients of, on the host."""
    rng, parameters = np.random.default_rng(seed), inspect.signature(LOSSES[name]).parameters
    arguments = {key: ARGUMENTS[key](rng) if key in ARGUMENTS else codes(rng).astype(dtype) for key in parameters}
    on_device = {key: to_device(value) if np.ndim(value) else value for key, value in arguments.items()}
    gradients = len(LOSSES[name](**on_device)) - 1  # of the first arguments
    return on_device, {key: arguments[key] for key in list(arguments)[:gradients]}


@EVERY
@given(seeds)
def test_gradients(name, seed):
    arguments, arrays = draw(name, seed)
    fixed = {key: value for key, value in arguments.items() if key not in arrays}

    def forward(**arrays):
        loss, *grads = LOSSES[name](**arrays, **fixed)
        return loss, grads

    def backward(dout, grads):
        return tuple(dout * grad for grad in grads)

    check_gradients(forward, backward, arrays, np.random.default_rng(seed))


@EVERY
def test_float32_and_arguments_stay(name):
    arguments, arrays = draw(name, 0, np.float32)
    results = LOSSES[name](**arguments)
    assert {value.dtype for value in results} == {np.dtype(np.float32)}
    for key, value in arrays.items():
        np.testing.assert_array_equal(to_host(arguments[key]), value)


@given(seeds)
def test_the_terms_equal_loops(seed):
    rng = np.random.default_rng(seed)
    x, middle, h = rng.standard_normal((3, 2, 3))
    z, triplets = np.concatenate([x, x + h]), np.concatenate([x, middle, 2 * middle - x + h])  # h off constant speed
    change = sum(abs(v) for v in h.ravel().tolist())
    for term, value, expected in (
        (partial(reconstruction, x=to_device(x)), x + h, sum(v**2 for v in h.ravel().tolist())),
        (sparsity, h, change),
        (slowness, z, change),
        (acceleration, triplets, change),
    ):
        assert float(term(to_device(value))[0]) == pytest.approx(expected)


def test_the_kinks_are_flat():
    value, dz = slowness(to_device(np.array([[1.0, 2.0], [1.0, 3.0]])))
    assert float(value) == 1
    assert to_host(dz).tolist() == [[0, -1], [0, 1]]
    value, dz = acceleration(to_device(np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 3.0]])))
    assert float(value) == 1
    assert to_host(dz).tolist() == [[0, 1], [0, -2], [0, 1]]
    assert to_host(sparsity(to_device(np.array([0.0, 2.0])))[1]).tolist() == [0, 1]


def test_logits_of_any_size_have_a_cross_entropy():
    for size in (1e3, 1e30):
        loss, dlogits = cross_entropy(np.array([[size, 0, -size]], np.float32), np.array([1]))
        assert loss == pytest.approx(size) and dlogits.tolist() == [[1, -1, 0]]


Z = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("slowness", (Z[:1],), "pairs"),
        ("acceleration", (Z,), "triplets"),
        ("reconstruction", (Z, Z[:1]), r"x_hat \(2, 3\) and x \(1, 3\) must have one shape"),
        ("drlim", (Z, Z[:1], np.zeros(2, bool), 1.0), "one shape"),
        ("drlim", (Z, Z, np.zeros(1, bool), 1.0), "one entry for each"),
        ("cross_entropy", (Z, np.zeros(1, int)), "one for each row"),
    ],
)
def test_what_would_broadcast_is_refused(name, arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        LOSSES[name](*arguments)
