"""The terms of Eq. 2: values by hand, gradients by finite differences, kinks exactly. (Eq. 1 has a file of its own.)"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import off_zero, seeds

from slowae import losses
from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.losses import acceleration, cross_entropy, drlim, reconstruction, slowness, sparsity

shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def scaled(dout, grad):
    """The backward of a function that returns its own gradient."""
    return dout * grad


@given(shapes, seeds)
def test_the_terms_equal_loops_and_their_gradients_the_differences(shape, seed):
    rng = np.random.default_rng(seed)
    x, middle, h = rng.standard_normal(shape), rng.standard_normal(shape), off_zero(rng, shape)
    z, triplets = np.concatenate([x, x + h]), np.concatenate([x, middle, 2 * middle - x + h])  # h off constant speed
    pairs = list(zip(x.ravel().tolist(), (x + h).ravel().tolist(), strict=True))
    for term, name, value, expected in (
        (lambda x_hat: reconstruction(x_hat, to_device(x)), "x_hat", x + h, sum((a - b) ** 2 for a, b in pairs)),
        (sparsity, "h", h, sum(abs(v) for v in h.ravel().tolist())),
        (slowness, "z", z, sum(abs(a - b) for a, b in pairs)),
        (acceleration, "z", triplets, sum(abs(a - b) for a, b in pairs)),
    ):
        assert float(term(to_device(value))[0]) == pytest.approx(expected)
        check_gradients(term, scaled, {name: value}, rng)


def test_the_kinks_are_flat():
    value, dz = slowness(to_device(np.array([[1.0, 2.0], [1.0, 3.0]])))
    assert float(value) == 1
    assert to_host(dz).tolist() == [[0, -1], [0, 1]]
    value, dz = acceleration(to_device(np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 3.0]])))
    assert float(value) == 1
    assert to_host(dz).tolist() == [[0, 1], [0, -2], [0, 1]]
    assert to_host(sparsity(to_device(np.array([0.0, 2.0])))[1]).tolist() == [0, 1]


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_eq_1_where_squares_leave_float32(scale):
    rng, scale = np.random.default_rng(0), np.float32(scale)
    z, other = rng.standard_normal((2, 6, 3), dtype=np.float32)
    near, margin = np.arange(6) < 3, 4.0
    expected = drlim(z, other, near, margin)
    found = drlim(scale * z, scale * other, near, margin * float(scale))
    assert float(found[0] / scale) == pytest.approx(float(expected[0]), rel=1e-5)
    for one, two in zip(found[1:], expected[1:], strict=True):  # of a distance, which has the scale of z, by z
        np.testing.assert_allclose(one, two, rtol=1e-4)


def test_logits_of_any_size_have_a_cross_entropy():
    for size in (1e3, 1e30):
        loss, dlogits = cross_entropy(np.array([[size, 0, -size]], np.float32), np.array([1]))
        assert loss == pytest.approx(size) and dlogits.tolist() == [[1, -1, 0]]


Z, NEAR = np.zeros((2, 3)), np.zeros(2, bool)
CALLS = {  # every public function, with arguments that it takes
    "drlim": {"z": Z, "z_other": Z, "near": NEAR, "margin": 1.0},
    "reconstruction": {"x_hat": Z, "x": Z},
    "sparsity": {"h": Z},
    "slowness": {"z": Z},
    "acceleration": {"z": np.zeros((3, 3))},
    "cross_entropy": {"logits": Z, "labels": np.array([0, 2], np.uint8)},
}


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.float16])
@pytest.mark.parametrize("name", CALLS)
def test_what_is_not_float32_or_float64_is_refused_by_name(name, dtype):
    for key, value in CALLS[name].items():
        if np.ndim(value) == 2:
            with pytest.raises(ValueError, match=f"{key} {np.dtype(dtype)}.*convert with .astype"):
                getattr(losses, name)(**CALLS[name] | {key: value.astype(dtype)})


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("slowness", {"z": np.zeros((3, 2))}, "pairs"),
        ("acceleration", {"z": Z}, "triplets"),
        ("reconstruction", {"x": np.zeros((3, 2))}, "one shape"),
        *(("drlim", {"margin": bad}, f"not {bad}") for bad in (0, -1.0, np.inf, np.nan)),
        ("drlim", {"z": Z[:0], "z_other": Z[:0], "near": NEAR[:0]}, "one pair or more"),
        ("drlim", {"z_other": Z[:1]}, "one pair or more"),
        ("drlim", {"near": np.zeros(2, int)}, "bool"),
        ("drlim", {"near": NEAR[:1]}, "bool"),
        *(("cross_entropy", {"labels": np.array([0, bad])}, "between 0 and 2") for bad in (3, -1, 255)),
        ("cross_entropy", {"labels": np.array([0, 255], np.uint8)}, "between 0 and 2"),
        ("cross_entropy", {"labels": np.zeros(2)}, "whole numbers"),
        ("cross_entropy", {"labels": np.zeros(3, int)}, "must be"),
    ],
)
def test_bad_arguments_get_a_sentence(name, change, complaint):
    getattr(losses, name)(**CALLS[name])
    with pytest.raises(ValueError, match=complaint):
        getattr(losses, name)(**CALLS[name] | change)


def test_a_margin_of_numpys_does_not_make_float64_of_float32():
    z = Z.astype(np.float32)
    assert {value.dtype for value in losses.drlim(z, z + 1, NEAR, np.float64(2))} == {np.dtype(np.float32)}
