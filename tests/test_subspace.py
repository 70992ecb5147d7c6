"""Slow subspaces: the loss by loops, its gradient, quadrature pairs of what translates."""

import numpy as np
import pytest
from hypothesis import given
from strategies import seeds
from test_conv import conv_by_loop
from test_layers import pool_by_loop
from test_methods import make_data

from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.methods import Run, subspace
from slowae.methods.subspace import Config, learn, loss_and_gradients


@given(seeds)
def test_the_loss_equals_the_loop_at_any_scale(seed):
    rng = np.random.default_rng(seed)
    x, W = 10.0 ** rng.integers(-4, 4) * rng.standard_normal((14, 6)), rng.standard_normal((6, 12))
    A = np.array([[np.sqrt(sum((W[:, j] @ row) ** 2 for j in range(i, i + 4))) for i in (0, 4, 8)] for row in x])
    slowness = sum(np.mean((a[:7] - a[7:]) ** 2) / np.var(a) for a in A.T)
    penalty = sum(np.corrcoef(A[:, i], A[:, j])[0, 1] ** 2 for i in range(3) for j in range(3) if i != j)
    loss, _ = loss_and_gradients(to_device({"W": W}), to_device(x), Config(decorrelation=0.7))
    assert float(loss) == pytest.approx(slowness + 0.7 * penalty, rel=1e-9)


@pytest.mark.parametrize("decorrelation", [0.0, 2.0])
@given(seeds)
def test_gradient(decorrelation, seed):
    rng = np.random.default_rng(seed)
    x = to_device(rng.standard_normal((16, 5)))

    def forward(W):
        return loss_and_gradients({"W": W}, x, Config(decorrelation))

    check_gradients(forward, lambda d, grads: d * grads["W"], {"W": rng.standard_normal((5, 12))}, rng)


def translating_waves(rng, N=4000, D=12):
    """Waves of 1, 2 and 3 periods on a circle, amplitudes and phases at random, moved by 1 or 2 places (2, N, D).

    The amplitudes change a little, the more the shorter the wave.
    """
    k = np.arange(1, 4)

    def draw():
        return rng.standard_normal((N, 3)) + 1j * rng.standard_normal((N, 3))

    def signal(amplitude, shift):
        spectrum = np.zeros((N, D // 2 + 1), complex)
        spectrum[:, k] = (amplitude + 0.1 * k * draw()) * np.exp(-2j * np.pi * k * shift[:, None] / D)
        return 3 * np.fft.irfft(spectrum, D, axis=1)

    amplitude, shift = draw(), rng.choice((1, 2), size=N)
    return np.stack([signal(amplitude, 0 * shift), signal(amplitude, shift)]).astype(np.float32)


def test_what_translates_gives_quadrature_pairs():
    """The best of some starts."""
    x = translating_waves(np.random.default_rng(0))
    runs = [Run(steps=800, seed=seed) for seed in range(3)]
    learned = [learn(x, 6, Config(group=2, batch=200, rate=0.02), run) for run in runs]
    W = learned[np.argmin([run.histories["row"][-1]["loss"] for run in runs])]
    np.testing.assert_allclose((W**2).sum(0), 1, rtol=1e-5)
    spectrum = np.fft.rfft(W.T)[:, 1:4].reshape(3, 2, 3)  # what is not in x is not learned
    power = (np.abs(spectrum) ** 2).sum(1)
    own = power.argmax(1)
    assert sorted(own) == [0, 1, 2]  # each wave once
    assert (power.max(1) > 0.95 * power.sum(1)).all()
    one, other = spectrum[np.arange(3), :, own].T
    np.testing.assert_allclose(np.abs(np.degrees(np.angle(one / other))), 90, atol=8)
    np.testing.assert_allclose(np.abs(one / other), 1, atol=0.1)


def test_codes_are_the_pooled_energy_of_the_filters_at_all_places():
    data = make_data()
    W = np.random.default_rng(0).standard_normal((9, 9, 3, 4)).astype(np.float32)
    params = {"mean": data.whiten.mean, "matrix": data.whiten.matrix, "pool": np.array([4, 2]), "W": W}
    x = data.whiten(data.frames[:2])
    a = conv_by_loop(x, W, np.zeros(4))
    for group in (4, 2):
        z = subspace.encode(params | {"pool": np.array([group, 2])}, data.frames[:2])
        np.testing.assert_allclose(z, pool_by_loop(a, group, 2), rtol=1e-4, atol=1e-4)


def test_a_silent_group_costs_nothing_and_gets_no_gradient():
    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((14, 6), np.float32), rng.standard_normal((6, 12), np.float32)
    W[:, 4:8] = 0
    others = np.delete(W, range(4, 8), 1)
    loss, grads = loss_and_gradients(to_device({"W": W}), to_device(x), Config(0.7))
    expected, dothers = loss_and_gradients(to_device({"W": others}), to_device(x), Config(0.7))
    assert float(loss) == pytest.approx(float(expected), rel=1e-5) and not to_host(grads["W"])[:, 4:8].any()
    result = np.delete(to_host(grads["W"]), range(4, 8), 1)
    np.testing.assert_allclose(result, to_host(dothers["W"]), rtol=1e-3, atol=1e-5)
