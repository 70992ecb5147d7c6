"""Eq. 1 through one convolutional layer and through two: gradients, blocks, and what a row is."""

import numpy as np
import pytest
from hypothesis import assume, given
from strategies import seeds
from test_methods import make_data

from slowae import blocks
from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.losses import drlim
from slowae.methods import FIRST, METHODS, SECOND, Run
from slowae.methods.drlim_convolutional import Config, fit, forward, init_params, loss_and_gradients

FILTERS, STAGES = ((3, 3, 2, 8), (3, 3, 2, 4)), (FIRST, SECOND)
LAYERS = pytest.mark.parametrize("layers", [1, 2])


def problem(seed, layers, pairs=9):
    """-> float64 params and a batch of 5 frames, on the host."""
    rng = np.random.default_rng(seed)
    params = {name: value.astype(float) for name, value in init_params(rng, FILTERS[:layers]).items()}
    for name in ("b_1", "b_2")[:layers]:
        params[name] += 0.1 * rng.standard_normal(params[name].shape)
    first = rng.integers(5, size=pairs)
    second = (first + rng.integers(1, 5, size=pairs)) % 5
    return params, (rng.standard_normal((5, 8, 8, 2)), first, second, np.arange(pairs) < 4)


def on_device(params, batch, config):
    loss, grads = loss_and_gradients(to_device(params), tuple(map(to_device, batch)), config)
    return float(loss), to_host(grads)


def codes(params, x):
    return to_host(forward(to_device(params), to_device(x))[0]).reshape(len(x), -1)


@LAYERS
@given(seeds)
def test_gradients_through_all_layers(layers, seed):
    params, batch = problem(seed, layers)
    x, first, second, near = batch
    z = codes(params, x)
    apart = np.linalg.norm(z[first] - z[second], axis=1)
    config = Config(STAGES[:layers], float(np.median(apart)) + 0.01, squared=bool(seed % 2))
    assume(np.abs(apart - config.margin).min() > 1e-3 and apart.min() > 1e-2)
    loss, grads = on_device(params, batch, config)
    assert loss == pytest.approx(float(drlim(z[first], z[second], near, config.margin, config.squared)[0]))
    assume(min(np.abs(grad).max() for grad in grads.values()) > 1e-4)  # a silent network is flat
    check_gradients(
        lambda **params: on_device(params, batch, config),
        lambda dout, grads: tuple(to_device(to_host(dout) * grads[name]) for name in params),
        params,
        np.random.default_rng(seed),
        rtol=1e-5,
        step=1e-6,
    )


@LAYERS
def test_blocks_change_nothing_but_rounding(layers, monkeypatch):
    params, batch = problem(0, layers)
    config, results = Config(margin=2.0, stages=STAGES[:layers]), []
    for per_block in (1, 2, 100):
        monkeypatch.setattr(blocks, "frames_per_block", lambda x, W, n=per_block: n)
        loss, grads = on_device(params, batch, config)
        results.append(np.concatenate([[loss], *(grads[name].ravel() for name in params)]))
    for parts in results[:2]:
        np.testing.assert_allclose(parts, results[2], rtol=1e-9, atol=1e-12)


@LAYERS
def test_a_row_is_the_network_that_training_saw(layers):
    """Its codes are those of `forward`; twelve steps take a third of the loss, or more, away."""
    data, config, start, run = make_data(), Config(STAGES[:layers], near=4), Run(steps=1), Run(steps=12)
    fit(data, config, start)
    params = fit(data, config, run)
    assert "W_d" not in params
    names = ["below/W_e", "below/b_e", "W_e", "b_e"][-2 * layers :]
    learned = dict(zip(("W_1", "b_1", "W_2", "b_2"), (params[name] for name in names), strict=False))
    z = METHODS[f"drlim{layers}"].encode(params, data.frames[:3])
    np.testing.assert_allclose(z.reshape(3, -1), codes(learned, data.whiten(data.frames[:3])), rtol=1e-4, atol=1e-4)
    first, last = (one.histories["row"][-1]["loss"] for one in (start, run))
    assert last < 2 / 3 * first
