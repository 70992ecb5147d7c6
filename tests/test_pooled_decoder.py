"""Decoding from the pooled code: un-pooling by loops, the ceiling with the true q, the floor, a projection by hand."""

import numpy as np
import pytest
from hypothesis import given
from strategies import pooled_shapes, seeds
from test_layers import members, pool_by_loop
from test_methods import make_data
from tiny import cheap, compare, write_films  # noqa: F401

from slowae import blocks, conv, layers, model, plots
from slowae.backend import to_device, to_host
from slowae.gradcheck import check_gradients
from slowae.methods import METHODS, Run, pooled_decoder
from slowae.methods import slow_autoencoder as eq2
from slowae.model import Config

POOL = Config(group=2, size=2)


def small(seed, N=5):
    """-> rng, params of the decoder of 4 groups' code and of the layer below, in float64; x, h and z of that layer."""
    rng = np.random.default_rng(seed)
    params = {name: value.astype(float) for name, value in model.init_params(rng, (3, 3, 2, 8)).items()}
    params |= pooled_decoder.init_params(pooled_decoder.Config(filter=3), POOL, 4)
    for name in ("W_q", "b_q", "b_e"):
        params[name] = 0.3 * rng.standard_normal(params[name].shape)
    x = rng.standard_normal((N, 8, 8, 2))
    h = to_host(model.encode(to_device(params), to_device(x), Config(group=1, size=1)))
    return rng, params, x, h, to_host(model.encode(to_device(params), to_device(x), POOL))


@given(pooled_shapes(), seeds)
def test_unpool_shares_z_out_by_the_loop_and_its_pool_is_z(shapes, seed):
    (shape, group, size), rng = shapes, np.random.default_rng(seed)
    z = rng.random(members(np.zeros(shape), group, size).shape[:-1])
    a = rng.standard_normal((*z.shape, group * size**2))
    h = to_host(layers.unpool_forward(to_device(z), to_device(a), group, size)[0])
    assert h.shape == shape
    expected = z[..., None] * np.sqrt(np.exp(a) / np.exp(a).sum(-1, keepdims=True))
    np.testing.assert_allclose(members(h, group, size), expected, rtol=1e-12)
    np.testing.assert_allclose(to_host(layers.l2_pool_forward(to_device(h), group, size)[0]), z, rtol=1e-12)


@given(seeds)
def test_gradients_through_decoder_and_unpooling(seed):
    rng, params, x, _, z = small(seed)
    batch, W_d = (to_device(x), to_device(z)), to_device(params["W_d"])

    def forward(**learned):
        return pooled_decoder.loss_and_gradients(learned, batch, W_d, POOL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "frames_per_block", lambda x, W: 2)  # the last block is smaller
        learned = {name: params[name] for name in ("W_q", "b_q")}
        check_gradients(forward, lambda d, grads: tuple(d * g for g in grads.values()), learned, rng)


@pytest.fixture
def reconstructed():
    _, params, x, h, z = small(0)
    params = to_device(params) | {"pool": [2, 2]}
    return params, h, z, lambda **how: to_host(pooled_decoder.reconstructions(params, to_device(x), **how))


def test_ceiling_floor_and_a_projection_by_hand(reconstructed):
    """A projection encodes what was decoded and restores the pool."""
    params, h, z, reconstruct = reconstructed
    W_e, b_e, W_d = (to_host(params[name]) for name in ("W_e", "b_e", "W_d"))
    shares = conv.conv_forward(reconstruct()["floor"], W_e, b_e)[0].clip(0)
    norm = pool_by_loop(shares, 2, 2)
    gain = np.divide(z, norm, out=np.zeros_like(z), where=norm > 0)

    def everywhere(z):
        return z.repeat(2, 1).repeat(2, 2).repeat(2, 3)

    for name, code in (
        ("ceiling", h),
        ("floor", everywhere(z) / np.sqrt(8)),
        ("projections", everywhere(gain) * shares),
    ):
        np.testing.assert_allclose(reconstruct(steps=1)[name], conv.decode_forward(code, W_d)[0], atol=1e-9)
    np.testing.assert_allclose(reconstruct(steps=0)["projections"], reconstruct()["floor"])


def test_where_nothing_is_learned_the_decoder_is_the_floor_and_contrast_only_scales_it(reconstructed):
    params, _, z, reconstruct = reconstructed
    assert np.abs(reconstruct()["learned"] - reconstruct()["floor"]).max() > 0.1
    none, one, three = (to_host(pooled_decoder.decode(params, scale * to_device(z))) for scale in (0.0, 1.0, 3.0))
    np.testing.assert_allclose(three, 3 * one)
    np.testing.assert_allclose(none, 0)
    start = to_device(pooled_decoder.init_params(pooled_decoder.Config(filter=3), POOL, 4))
    params |= {name: value.astype(float) for name, value in start.items()}
    np.testing.assert_allclose(reconstruct()["learned"], reconstruct()["floor"])


def test_rows_upon_both_layers():
    """Learning beats the floor, the ceiling is the layer's own error, the first's decoder decodes a second layer."""
    data, run = make_data(), Run(steps=4, batch=4)
    for name, below in (("pooled_decoder", "layer1"), ("pooled_decoder2", "layer2")):
        params, row = run.fitted(name, data), run.fitted(below, data)
        assert all(np.array_equal(params[key], value) for key, value in row.items())
        some = data.frames[::5]
        device = eq2.on_device(params)
        x = eq2.seen(device, to_device(some))
        decoded = pooled_decoder.reconstructions(device, x)
        own = {way: float(((x_hat - x) ** 2).sum() / (x * x).sum()) for way, x_hat in decoded.items()}
        assert own["ceiling"] < own["learned"] < own["floor"]
        ceiling = model.statistics(device, x, eq2.pool(params))["reconstruction"]
        assert own["ceiling"] == pytest.approx(ceiling, rel=1e-4)
        whole = METHODS[name].describe(params, some)["errors"]
        frames = data.whiten(some)
        left = METHODS[name].encode(params, some) - frames
        assert whole["learned"] == pytest.approx((left**2).sum() / (frames**2).sum(), rel=1e-4)
    first, z = run.fitted("pooled_decoder", data), METHODS["layer2"].encode(params, some)
    start = pooled_decoder.init_params(pooled_decoder.Config(filter=3), eq2.SECOND, 64)
    codes = conv.decode_forward(z.repeat(4, 1).repeat(4, 2) / 4, params["W_d"])[0] * params["scale"] + params["centre"]
    expected = pooled_decoder.decode(eq2.on_device(first), to_device(codes.clip(0)))
    np.testing.assert_allclose(METHODS["pooled_decoder2"].encode(params | start, some), expected, atol=1e-3)


def test_compare_says_how_well_it_decodes(cheap, tmp_path, monkeypatch):  # noqa: F811
    shown = []
    monkeypatch.setattr(plots, "reconstructions", shown.append)
    monkeypatch.chdir(write_films(tmp_path / "films").parent)
    decoded = compare("--methods", "layer1", "pooled_decoder")["rows"]["pooled_decoder"]["decoded"]
    assert decoded["ceiling"] < min(decoded["learned"], decoded["floor"])
    said = "decoded from layer 1, error as a share of the frames' variance: ceiling"
    assert f"{said} {decoded['ceiling']:.3f}, learned" in (tmp_path / "out" / "table.md").read_text()
    assert list(shown[0]) == ["whitened film", *(f"{name}\n{error:.2f}" for name, error in decoded.items())]
