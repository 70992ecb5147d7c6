"""The terms of Eq. 2: values by hand, gradients by finite differences, kinks exactly. (Eq. 1 has a file of its own.)"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import off_zero, seeds

from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.losses import reconstruction, slowness, sparsity

shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def scaled(dout, grad):
    """The backward of a function that returns its own gradient."""
    return dout * grad


@given(shapes, seeds)
def test_reconstruction(shape, seed):
    rng = np.random.default_rng(seed)
    x, x_hat = rng.standard_normal(shape), rng.standard_normal(shape)
    check_gradients(lambda x_hat: reconstruction(x_hat, to_device(x)), scaled, {"x_hat": x_hat}, rng)
    by_loop = sum((a - b) ** 2 for a, b in zip(x_hat.ravel(), x.ravel(), strict=True))
    np.testing.assert_allclose(float(reconstruction(to_device(x_hat), to_device(x))[0]), by_loop)


@given(shapes, seeds)
def test_sparsity(shape, seed):
    rng = np.random.default_rng(seed)
    h = off_zero(rng, shape)
    check_gradients(sparsity, scaled, {"h": h}, rng)
    np.testing.assert_allclose(float(sparsity(to_device(h))[0]), sum(abs(v) for v in h.ravel()))


@given(shapes, seeds)
def test_slowness(shape, seed):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(shape)
    z = np.concatenate([z, z + off_zero(rng, shape)])
    check_gradients(slowness, scaled, {"z": z}, rng)
    N = shape[0]
    by_loop = sum(abs(a - b) for a, b in zip(z[:N].ravel(), z[N:].ravel(), strict=True))
    np.testing.assert_allclose(float(slowness(to_device(z))[0]), by_loop)


def test_the_kinks_are_flat():
    z = to_device(np.array([[1.0, 2.0], [1.0, 3.0]]))
    value, dz = slowness(z)
    assert float(value) == 1
    assert to_host(dz).tolist() == [[0, -1], [0, 1]]
    assert to_host(sparsity(to_device(np.array([0.0, 2.0])))[1]).tolist() == [0, 1]


def test_bad_arguments_get_a_sentence():
    with pytest.raises(ValueError, match="pairs"):
        slowness(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="one shape"):
        reconstruction(np.zeros((3, 2)), np.zeros((2, 3)))
