"""Training on the stand-in for a GPU: what a host array would break there breaks here."""

from dataclasses import replace

import numpy as np
import pytest
from strict import Strict, in_use

from slowae import backend, conv, conv_fourier, methods, model, optim, train
from slowae.checkpoints import Checkpoint
from slowae.data.scenes import Scene, windows
from slowae.data.whitening import Whitening
from slowae.methods import coherent, convnet, drlim_convolutional, pooled_decoder, slow_autoencoder

BOTH = pytest.mark.parametrize("by", [conv, conv_fourier], ids=lambda module: module.__name__)


def on_both(run, by, monkeypatch):
    """run() on the host and on the stand-in, convolving by the module `by`; the second equals the first."""
    monkeypatch.setattr(model, "convolution", lambda x: by)
    monkeypatch.setattr(backend, "_chosen", "numpy")
    expected = run()
    with in_use():
        found = run()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert not isinstance(found[name], Strict) and found[name].dtype == value.dtype
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@BOTH
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("shape", [(3, 3, 2, 8), (6, 8)], ids=["frames", "patches"])
def test_the_training_loop(by, optimizer, shape, tmp_path, monkeypatch):
    frames, size = ((8, 4, 4, 2), 2) if len(shape) == 4 else ((8, 6), 1)
    config = model.Config(0.5, 1.0, size=size, rise=0.5)

    def draw(rng):
        return backend.to_device(rng.standard_normal(frames, dtype=np.float32))

    def run():
        watched = draw(np.random.default_rng(1))
        for _ in range(2):  # the second time it takes what the first has kept
            params, history = train.fit(
                lambda params, x, done: model.loss_and_gradients(params, x, config, done),
                lambda rng: model.init_params(rng, shape),
                draw,
                train.Descent(5, 1e-3, optimizer, bias_rate=0.1, every=3),
                project=optim.project,
                watch=lambda params: model.statistics(params, watched, config),
                checkpoint=Checkpoint(tmp_path / type(watched).__name__, "a"),
            )
        return params | {name: np.array([row[name] for row in history]) for name in ("loss", "slowness", "active")}

    on_both(run, by, monkeypatch)


@BOTH
@pytest.mark.parametrize(
    "name", "zca layer2 group_sparse2 acceleration drlim2 sfa subspace unitary wavelets pooled_decoder2".split()
)
def test_rows(by, name, monkeypatch):
    """Layer 2 upon layer 1, or with it, and a decoder upon both, from bytes to codes, in small."""
    small = {
        name: replace(row.config, filters=8 if row.config.size == 2 else 4, side=3)
        for name, row in methods.METHODS.items()
        if isinstance(row.config, model.Config)
    }
    for module in (slow_autoencoder, drlim_convolutional):
        monkeypatch.setattr(module, "FILTERS", ((3, 3, 3, 8), (3, 3, 2, 4)), raising=False)
    frames = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    film = Scene("film", 0, 1, 0, frames)
    whiten = Whitening(frames.mean(0).ravel().astype(np.float32), np.eye(192, dtype=np.float32) / 70)

    def run():
        data = methods.Data(*windows([film]), whiten, [film])
        params = methods.Run(steps=3, batch=2, configs=small).fitted(name, data)
        errors = pooled_decoder.errors(params, frames, whole=True) if "W_q" in params else {}
        return params | {"z": methods.METHODS[name].encode(params, frames), "errors": np.array([*errors.values()])}

    on_both(run, by, monkeypatch)


def test_the_network_of_few_labels_and_film(monkeypatch):
    rng = np.random.default_rng(0)
    film = Scene("film", 0, 1, 0, rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8))
    images = rng.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8), np.arange(50) % 10
    inputs = {"mean": np.full(3072, 128, np.float32), "matrix": np.eye(3072, dtype=np.float32) / 70}
    monkeypatch.setattr(convnet, "fit_zca_own", lambda *_: inputs)
    config = coherent.Config(epochs=3, batch=10, labels=10, hidden=8, near=2, blocks=1)

    def run():
        data = methods.Data(*windows([film]), None, labelled=images)
        params = coherent.fit(data, config, methods.Run())
        return params | {"accuracy": np.array(convnet.image_accuracy(params, *images))}

    on_both(run, conv_fourier, monkeypatch)


@pytest.mark.parametrize(
    "leak",
    [
        lambda device: device + np.ones(3),
        lambda device: np.concatenate([device, np.ones((1, 3))]),
        lambda device: device[np.array([0])],
        lambda device: device.__setitem__(0, np.ones(3)),
        lambda device: np.add(device, 1, out=np.ones((2, 3))),
    ],
)
def test_it_refuses_host_arrays(leak):
    with pytest.raises(TypeError, match="host array"):
        leak(Strict.of(np.ones((2, 3))))
