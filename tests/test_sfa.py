"""Slow Feature Analysis: known slowest functions, and a direct solution of the same problem."""

import numpy as np
import pytest
from films import shot
from hypothesis import given
from scipy.linalg import eigh
from strategies import seeds

from slowae.data.scenes import Scene, windows
from slowae.methods import Data, Run, sfa
from slowae.methods.sfa import Config, features, learn


def in_order(T):
    """Each row and the next."""
    return np.stack([np.arange(T - 1), np.arange(1, T)], 1)


def noise(seed, N=300, D=4):
    """Smooth random walks, not Gaussian, about a large mean, and their pairs."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.laplace(size=(N, D)), 0) + 3 * rng.standard_normal((N, D)) + 50
    return x, in_order(N)


@given(seeds)
def test_cosines_come_back_from_their_mixture_slowest_first(seed):
    """Of all functions of a time that passes once cos(k t) are the slowest; quadratics can undo this mixture.

    At (n + 1/2) pi / T they are the eigenvectors of the chain of T points, with eigenvalues 2 - 2 cos(pi k / T).
    """
    T, k = 500, np.arange(1, 5)
    c = np.cos(np.outer(np.pi * (np.arange(T) + 0.5) / T, k))
    mixed = np.stack([c[:, 0] + c[:, 2] * c[:, 3], c[:, 1] - c[:, 2] ** 2, c[:, 2], c[:, 3]], 1)
    x = mixed @ np.random.default_rng(seed).uniform(-1, 1, (4, 4)) + 7 * mixed
    params = learn(x, in_order(T), Config(features=4, least=1e-13))
    y = features(params, x)
    cosine = np.sqrt(2) * c
    np.testing.assert_allclose(y, cosine * np.sign((cosine * y).sum(0)), atol=1e-4)
    np.testing.assert_allclose(params["slowness"], (2 - 2 * np.cos(np.pi * k / T)) * T / (T - 1), rtol=1e-4)


@given(seeds)
def test_it_solves_the_generalised_eigenvalue_problem(seed):
    """And so: mean 0, unit variance, no correlation, ascending slowness."""
    x, pairs = noise(seed)
    params = learn(x, pairs, Config(features=6, least=1e-12))
    y = features(params, x)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-8)
    np.testing.assert_allclose(y.T @ y / len(y), np.eye(6), atol=1e-7)
    moved = y[pairs[:, 0]] - y[pairs[:, 1]]
    np.testing.assert_allclose((moved**2).mean(0), params["slowness"], rtol=1e-6)
    u = (x - x.mean(0)) / x.std(0)
    q = np.array([[*row, *(row[i] * row[j] for i in range(4) for j in range(i, 4))] for row in u])
    step = q[pairs[:, 0]] - q[pairs[:, 1]]
    expected = eigh(step.T @ step / len(pairs), np.cov(q.T, bias=True), eigvals_only=True)
    np.testing.assert_allclose(params["slowness"], expected[:6], rtol=1e-6)


def test_neither_blocks_nor_the_unit_of_x_matter_and_signs_are_fixed(monkeypatch):
    x, pairs = noise(0)
    whole, again = (learn(x, pairs, Config(features=5)) for _ in range(2))
    assert all(np.array_equal(value, again[name]) for name, value in whole.items())
    monkeypatch.setattr(sfa, "BLOCK", 77)
    parts = learn(x, pairs, Config(features=5))
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-6, atol=1e-8 * np.abs(value).max())
    tiny = features(learn(1e-6 * x, pairs, Config(features=5)), 1e-6 * x)
    np.testing.assert_allclose(tiny, features(whole, x), atol=1e-6)
    for name in ("axes", "weights"):
        assert (whole[name].max(0) == np.abs(whole[name]).max(0)).all()


def test_directions_that_hardly_vary_are_dropped():
    x, pairs = noise(1, D=3)
    wide = np.column_stack([x, x[:, 0] + x[:, 1], np.full(len(x), 5.0), 1e-9 * np.sin(np.arange(len(x)))])
    expected, result = (learn(part, pairs, Config(least=1e-9)) for part in (x, wide))
    assert result["axes"].shape == (6, 3) and len(result["slowness"]) == 9  # 3 axes, 6 products
    np.testing.assert_allclose(result["slowness"], expected["slowness"], rtol=1e-5)
    assert learn(x, pairs, Config(axes=2))["weights"].shape == (5, 5)


def test_the_row_is_the_analysis_of_whole_frames():
    frames, pairs = windows([Scene("a", i, 1, 0, shot(i, 10)[:, ::4, ::4]) for i in range(12)])
    data, config = Data(frames, pairs, None), Config(axes=6, features=8)
    params = sfa.fit(data, config, Run())
    z = sfa.encode(params, frames)
    assert z.shape == (120, 8) and z.dtype == np.float32
    x = frames.reshape(120, -1).astype(float)
    np.testing.assert_allclose(z, features(learn(x, pairs, config), x), atol=1e-3)
    np.testing.assert_allclose(z.T @ z / 120, np.eye(8), atol=1e-3)


@given(seeds)
def test_features_are_sums_of_the_energies_of_their_filters(seed):
    """Of as many as there are axes, orthogonal; the even part, y(x) + y(-x), is all in them, strongest first."""
    x, pairs = noise(seed)
    params = learn(x, pairs, Config(features=3, least=1e-12))
    V = sfa.filters(params, 4)
    steps = np.random.default_rng(seed).standard_normal((50, 4))
    even = sum(
        features(params, params["mean"] + sign * steps) - features(params, params["mean"][None]) for sign in (-1, 1)
    )
    for j in range(3):
        energies = (steps @ V[:, 4 * j : 4 * j + 4]) ** 2
        strength, *_ = np.linalg.lstsq(energies, even[:, j])
        np.testing.assert_allclose(energies @ strength, even[:, j], rtol=1e-6, atol=1e-8 * np.abs(even).max())
        assert (np.diff(np.abs(strength)) <= 1e-9 * np.abs(strength).max()).all()
    np.testing.assert_array_equal(sfa.filters(params, 2)[:, 2:4], V[:, 4:6])


@pytest.mark.parametrize(
    ("scale", "pairs", "sentence"),
    [(1.0, 1, "need pairs"), (0.0, 300, "all the same"), (1e160, 300, "too large"), (np.nan, 300, "hold NaN or Inf")],
)
def test_one_sentence_for_what_cannot_be(scale, pairs, sentence):
    with pytest.raises(ValueError, match=sentence):
        learn(scale * noise(0)[0], in_order(pairs), Config())
