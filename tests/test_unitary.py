"""Unitary pairs: U stays orthogonal, translation gives Fourier pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm
from strategies import seeds

from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.methods import Run, unitary
from slowae.methods.unitary import Config, learn, loss_and_gradients, principal_sphere, project, tangent


@given(seeds, st.sampled_from([0.0, 0.3, 1.0]))
def test_the_loss_equals_the_loop_and_its_gradient_the_differences(seed, w):
    rng = np.random.default_rng(seed)
    x, U = rng.standard_normal((10, 6)), rng.standard_normal((6, 6))
    r = np.array([[np.hypot(U[:, i] @ row, U[:, i + 1] @ row) for i in (0, 2, 4)] for row in x])
    expected = w * ((r[:5] - r[5:]) ** 2).sum(1).mean() + (1 - w) * r.sum(1).mean()
    x = to_device(x)
    assert float(loss_and_gradients({"U": to_device(U)}, x, Config(w))[0]) == pytest.approx(expected)
    check_gradients(
        lambda U: loss_and_gradients({"U": U}, x, Config(w)), lambda d, grads: d * grads["U"], {"U": U}, rng
    )


@given(seeds, st.integers(2, 7))
def test_the_tangent_part_is_all_that_rotations_see(seed, D):
    """Along U expm(t A), A = -A^T, a function changes at the rate <dU, U A>; tangent(dU) is itself such a direction."""
    rng = np.random.default_rng(seed)
    A, dU = rng.standard_normal((2, D, D))
    A, U = A - A.T, expm(A - A.T)
    part = tangent(U, dU)
    np.testing.assert_allclose(U.T @ part, -part.T @ U, atol=1e-10)
    assert (part * (U @ A)).sum() == pytest.approx((dU * (U @ A)).sum(), abs=1e-9)


def circle(rng, events, N=5000, D=12):
    """Signals on a circle moved by 1 or 2 places, without the constant and the alternating one (2, N, D)."""
    spectrum = np.fft.rfft(events((N, D)), axis=1)
    spectrum[:, [0, -1]] = 0
    x = np.fft.irfft(spectrum, D, axis=1)
    return np.stack([x, [np.roll(row, shift) for row, shift in zip(x, rng.choice((1, 2), size=N), strict=True)]])


def test_u_is_orthogonal_after_every_step_and_filters_decorrelate(monkeypatch):
    rng, after = np.random.default_rng(0), []

    def spy(params):
        before = to_host(params["U"]).copy()
        project(params)
        after.append((before, to_host(params["U"]).copy()))

    monkeypatch.setattr(unitary, "project", spy)
    x = circle(rng, rng.standard_normal).astype(np.float32)
    W = learn(x, 10, Config(0.5, batch=50, rate=0.05), Run(steps=40))
    assert len(after) == 40 and all(U.dtype == np.float64 for _, U in after)
    off = np.array([[np.abs(U.T @ U - np.eye(10)).max() for U in pair] for pair in after])
    assert (off[:, 0] > 1e-6).all() and (off[:, 1] < 1e-10).all()
    y = x.reshape(-1, 12) @ W
    np.testing.assert_allclose(y.T @ y / len(y), np.eye(10), atol=1e-5)


def test_the_sphere_whitens_along_the_leading_axes():
    x = np.random.default_rng(0).standard_normal((2, 500, 5)) * [3, 2, 1, 0.1, 0.01]
    S = principal_sphere(x, 3)
    y = x.reshape(-1, 5) @ S
    np.testing.assert_allclose(y.T @ y / 1000, np.eye(3), atol=1e-10)
    assert np.abs(S[:3]).max() > 100 * np.abs(S[3:]).max()
    with pytest.raises(ValueError, match="vary in 4 directions, fewer than 5"):
        principal_sphere(x * [1, 1, 1, 1, 0], 5)


def test_translation_gives_fourier_pairs():
    """The best of some starts: in others two pairs hold one half each of two waves, and no small step parts them."""
    rng = np.random.default_rng(0)
    x = circle(rng, rng.standard_normal)
    runs = [Run(steps=600, seed=seed) for seed in range(6)]
    learned = [learn(x, 10, Config(1.0, batch=200), run) for run in runs]
    losses = [run.histories["row"][-1]["loss"] for run in runs]
    W = learned[np.argmin(losses)]
    spectrum = np.fft.rfft(W.T)[:, 1:6].reshape(5, 2, 5)
    power = (np.abs(spectrum) ** 2).sum(1)
    own = power.argmax(1)
    assert sorted(own) == [0, 1, 2, 3, 4] and (power.max(1) > 0.99 * power.sum(1)).all()
    one, other = spectrum[np.arange(5), :, own].T
    np.testing.assert_allclose(np.abs(np.degrees(np.angle(one / other))), 90, atol=3)
    assert min(losses) < 0.01  # a moved wave keeps its length
