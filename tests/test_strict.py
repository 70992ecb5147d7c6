"""Training on the stand-in for a GPU: what a host array would break there breaks here."""

from dataclasses import replace

import numpy as np
import pytest
from strict import Strict, in_use

from slowae import backend, checkpoints, conv, conv_fourier, model, optim, train
from slowae.data import whitening
from slowae.data.scenes import Scene, windows
from slowae.data.whitening import Whitening
from slowae.methods import METHODS, Data, Run, coherent

BOTH = pytest.mark.parametrize("by", [conv, conv_fourier], ids=lambda module: module.__name__)


def on_both(run, by, monkeypatch):
    """run() on the host and on the stand-in, convolving by the module `by`; the second equals the first."""
    monkeypatch.setattr(model, "convolution", lambda x: by)
    monkeypatch.setattr(backend, "_chosen", "numpy")
    expected = run()
    with in_use():
        result = run()
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        assert not isinstance(result[name], Strict) and result[name].dtype == value.dtype
        np.testing.assert_allclose(result[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@BOTH
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("shape", [(3, 3, 2, 8), (6, 8)], ids=["frames", "patches"])
def test_the_training_loop(by, optimizer, shape, tmp_path, monkeypatch):
    config = model.Config(0.5, 1.0, size=2 if len(shape) == 4 else 1, rise=0.5)

    def draw(rng):
        x = rng.standard_normal((8, 4, 4, 2) if len(shape) == 4 else (8, 6), dtype=np.float32)
        return backend.to_device(x)

    def run():
        watched = draw(np.random.default_rng(1))
        for steps in (5, 5):  # the second reads the first's checkpoint
            params, history = train.fit(
                lambda params, x, done: model.loss_and_gradients(params, x, config, done),
                lambda rng: model.init_params(rng, shape),
                draw,
                train.Descent(steps, 1e-3, optimizer, bias_rate=0.1, every=3),
                project=optim.project,
                watch=lambda params: model.statistics(params, watched, config),
                checkpoint=checkpoints.Checkpoint(tmp_path / type(watched).__name__, "a"),
            )
        return params | {name: np.array([row[name] for row in history]) for name in ("loss", "slowness", "active")}

    on_both(run, by, monkeypatch)


@BOTH
@pytest.mark.parametrize(
    "name", "zca layer2 group_sparse2 acceleration drlim2 sfa subspace unitary wavelets pooled_decoder2".split()
)
def test_rows(by, name, monkeypatch):
    """Layer 2 upon layer 1, or with it, and a decoder upon both, from bytes to codes, in small."""
    filters = {row: 8 for row in "layer1 acceleration group_sparse subspace unitary".split()}
    filters |= {row: 4 for row in ("layer2", "group_sparse2")}
    configs = {row: replace(METHODS[row].config, filters=count, side=3) for row, count in filters.items()}
    configs["drlim2"] = replace(METHODS["drlim2"].config, stages=(configs["layer1"], configs["layer2"]))
    frames = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    film = Scene("film", 0, 1, 0, frames)
    whiten = Whitening(frames.mean(0).ravel().astype(np.float32), np.eye(192, dtype=np.float32) / 70)

    def run():
        params = Run(steps=3, batch=2, configs=configs).fitted(name, Data(*windows([film]), whiten, [film]))
        row = METHODS[name]
        said = row.describe(params, frames) if row.describe else {}
        errors = np.array([*said.get("errors", {}).values()])
        return params | {"z": row.encode(params, frames), "errors": errors, "silent": np.array(said.get("silent", []))}

    on_both(run, by, monkeypatch)


def test_the_network_of_few_labels_and_film(monkeypatch):
    rng = np.random.default_rng(0)
    film = Scene("film", 0, 1, 0, rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8))
    images = rng.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8), np.arange(50) % 10
    whiten = Whitening(np.full(3072, 128, np.float32), np.eye(3072, dtype=np.float32) / 70, 0.1)
    monkeypatch.setattr(whitening, "fit_whitening", lambda *_: whiten)
    config = coherent.Config(epochs=3, batch=10, labels=10, hidden=8, near=2, blocks=1)

    def run():
        params = Run().fitted("coherent", Data(*windows([film]), whiten, labelled=images), config)
        return params | {"accuracy": np.array(METHODS["coherent"].accuracy(params, *images))}

    on_both(run, conv_fourier, monkeypatch)


def test_it_refuses_host_arrays():
    device = Strict.of(np.ones((2, 3)))
    for leak in (
        lambda: device + np.ones(3),
        lambda: np.ones((3, 2)) @ device,
        lambda: np.concatenate([device, np.ones((1, 3))]),
        lambda: device[np.array([0])],
        lambda: device.__setitem__(0, np.ones(3)),
        lambda: np.add(device, 1, out=np.ones((2, 3))),
    ):
        with pytest.raises(TypeError, match="host array"):
            leak()
