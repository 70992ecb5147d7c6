"""The whole training loop on the stand-in for a GPU: what a host array would break there breaks here."""

import numpy as np
import pytest
from strict import Strict

from slowae import model, optim, train
from slowae.data import whitening
from slowae.losses import drlim


@pytest.fixture
def on_the_stand_in(monkeypatch):
    """to_device and to_host move to and from the stand-in."""

    def to_host(value):
        if isinstance(value, dict):
            return {name: to_host(item) for name, item in value.items()}
        return value.get() if isinstance(value, Strict) else value

    for module in (train, whitening):
        monkeypatch.setattr(module, "to_device", Strict.of)
    monkeypatch.setattr(train, "to_host", to_host)


def run(tmp_path, device):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    whiten, config = whitening.fit_whitening(frames, 0.1).on_device(), model.Config(0.5, 1.0)
    frames = device(frames)

    def draw(rng):
        x = whiten(frames[device(rng.integers(40, size=8))])
        assert type(x) is type(frames) and x.dtype == np.float32
        return x

    return train.fit(
        lambda params, x: model.loss_and_gradients(params, x, config),
        model.init_params(rng, (3, 3, 3, 8)),
        draw,
        rng,
        steps=6,
        rate=1e-4,
        project=optim.project,
        watch=lambda params: model.statistics(params, draw(np.random.default_rng(1)), config),
        every=3,
        checkpoint=tmp_path / "checkpoint.npz",
    )


def test_the_training_loop_runs_on_the_stand_in_as_on_the_host(tmp_path, on_the_stand_in, monkeypatch):
    found, history = run(tmp_path, Strict.of)
    for module in (train, whitening):
        monkeypatch.setattr(module, "to_device", lambda value: value)
    expected, history_host = run(tmp_path, lambda value: value)
    assert history == history_host
    for name in expected:
        assert type(found[name]) is np.ndarray
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("squared", [False, True])
def test_eq_1_on_the_stand_in(squared):
    rng = np.random.default_rng(0)
    z, other, near = rng.standard_normal((6, 2)), rng.standard_normal((6, 2)), np.arange(6) < 2
    expected = drlim(z, other, near, 2.0, squared=squared)
    found = drlim(Strict.of(z), Strict.of(other), Strict.of(near), 2.0, squared=squared)
    np.testing.assert_allclose(float(found[0]), expected[0])
    for one, two in zip(found[1:], expected[1:], strict=True):
        assert type(one) is Strict
        np.testing.assert_array_equal(one.get(), two)
