"""What learns from patches, and the command that compares it."""

import json
from functools import partial

import numpy as np
import pytest
from films import write_film
from strict import in_use

from slowae import backend, measures, model, optim, patch_banks, plots
from slowae.__main__ import main
from slowae.backend import to_device, to_host
from slowae.commands import patches as command
from slowae.commands.patches import Settings
from slowae.data.film_patches import SIDE
from slowae.methods import Run

DENSE, SPARSE = Settings(filters=16, alpha=0.5, beta=1.0, beta_sparse=4.0).configs.values()
RNG = np.random.default_rng(0)
START = model.init_params(RNG, (SIDE**2, 16))
X = RNG.standard_normal((2, 30, SIDE**2), dtype=np.float32)


def learn(name="a", config=SPARSE, watched=X[:, :10], free=None, **settings):
    """command.learn on X -> params, history."""
    run = Run(**({"steps": 1, "batch": 8, "rate": 1e-5, "optimizer": "sgd", "bias_rate": 0.1} | settings))
    data = to_device(X), to_device(watched.reshape(-1, SIDE**2))
    return command.learn(name, config, START, data, run, free), run.histories[name]


def test_the_slowest_groups_come_first():
    rng, config = np.random.default_rng(0), model.Config(0.5, 1.0, 4, size=1)
    params = model.init_params(rng, (SIDE**2, 160))
    params["b_e"][8:12] = -1e6  # group 2 is silent
    x = rng.standard_normal((10, SIDE**2)).astype(np.float32)
    h = np.maximum(0, x @ params["W_e"] + params["b_e"])
    z = np.sqrt((h.reshape(10, 40, 4) ** 2).sum(2))
    slowness = [np.abs(v[:5] - v[5:]).mean() / v.mean() if v.any() else np.inf for v in z.T]
    bank = patch_banks.of_eq2(params, to_device(x), config)
    W = patch_banks.mosaic(bank)
    assert W.shape == (SIDE, SIDE, 1, 128)
    for place, i in enumerate(np.argsort(slowness)[:32]):
        block = W[..., 4 * place : 4 * place + 4].reshape(-1, 4)
        np.testing.assert_array_equal(block, params["W_d"][:, 4 * i : 4 * i + 4])
        np.testing.assert_allclose(bank.z[:, place], z[:, i], rtol=1e-5, atol=1e-6)


def test_what_is_said_of_a_bank_is_what_its_filters_and_codes_are():
    rng = np.random.default_rng(0)
    W, z = rng.standard_normal((SIDE**2, 8)), rng.random((20, 4))
    z[:, 3] = 0.5  # constant: its delta is infinite, and left out
    units, numbers = patch_banks.judge(patch_banks.Bank(W, 2, z), seed=3)
    expected = measures.measure(W.reshape(SIDE, SIDE, 8), 2)
    np.testing.assert_array_equal(units["phase"], expected["phase"])
    assert numbers["coherence"] == measures.coherence(expected, np.random.default_rng(3), 2)
    assert numbers["area"] == expected["area"].mean()
    assert numbers["delta"] == pytest.approx(measures.delta(z)[:3].mean())


@pytest.mark.parametrize("free", ["W_d", "b_e"])
def test_project_except_frees_one_parameter(free):
    rng = np.random.default_rng(0)
    params = {"W_e": rng.standard_normal((6, 4)), "b_e": rng.standard_normal(4), "W_d": rng.standard_normal((6, 4))}
    before, projected = ({name: value.copy() for name, value in params.items()} for _ in range(2))
    optim.project(projected)
    command.project_except(free)(params)
    for name in params:
        np.testing.assert_array_equal(params[name], before[name] if name == free else projected[name])


def test_a_batch_is_pairs_and_biases_learn_slower(monkeypatch):
    batches, real = [], model.loss_and_gradients

    def spy(params, batch, config):
        batches.append(to_host(batch))
        return real(params, batch, config)

    monkeypatch.setattr(model, "loss_and_gradients", spy)
    monkeypatch.setitem(START, "b_e", START["b_e"] - 1)
    params, _ = learn()
    (batch,) = batches
    for first, second in zip(batch[:8], batch[8:], strict=True):
        (i,) = np.flatnonzero((X[0] == first).all(1))
        assert (X[1, i] == second).all()
    _, grads = real(START, batch, SPARSE)
    np.testing.assert_allclose(params["W_e"], START["W_e"] - 1e-5 * grads["W_e"], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(params["b_e"] - START["b_e"], -1e-6 * grads["b_e"], rtol=1e-2, atol=2e-7)


def test_training_never_mixes_host_arrays_into_the_devices():
    with in_use():
        params, _ = learn(steps=3, rate=1e-3, free="W_d")
        assert type(params["W_d"]) is np.ndarray and np.abs((params["W_d"] ** 2).sum(0) - 1).max() > 1e-5
        assert type(patch_banks.of_eq2(params, to_device(X[0]), SPARSE).z) is np.ndarray


def test_what_each_run_starts_from_and_leaves_free(monkeypatch):
    calls = {}

    def learn(name, config, start, data, run, free=None):
        calls[name] = config, start, run.steps, run.bias_rate, free
        return name

    monkeypatch.setattr(command, "learn", learn)
    settings = Settings(filters=16)
    learned = command.learn_all(X, X[0], settings, Run(steps=10000, bias_rate=0.1))
    dense, sparse = settings.configs.values()
    drawn = calls["alpha0"][1]
    assert list(learned) == list(calls) and dense.alpha == 0 < sparse.alpha and drawn["W_d"].shape == (SIDE**2, 16)
    assert calls["alpha0"] == (dense, drawn, 10000, 0.01, None)
    assert calls["sparse"] == (sparse, "alpha0", 10000, 0.1, None)
    assert calls["free_norm"] == (sparse, "alpha0", 2500, 0.1, "W_d")
    assert calls["free_bias"] == (dense, drawn, 2500, 0.1, "b_e")


def test_whatever_a_history_depends_on_is_in_the_name_of_its_checkpoint(tmp_path):
    """What is watched alone, too."""
    _, first = learn(out=tmp_path)
    for changes, files in (({}, 1), ({"watched": -X[:, :10]}, 2), ({"config": DENSE}, 3)):
        _, history = learn(out=tmp_path, **changes)
        assert len(list(tmp_path.iterdir())) == files
        assert (history[-1]["slowness"] == first[-1]["slowness"]) == (not changes)


def test_the_command_end_to_end_and_again(tmp_path, monkeypatch, capsys):
    """On films of a texture that moves one pixel a frame."""
    rng, out = np.random.default_rng(0), tmp_path / "out"
    for i in range(6):
        world = rng.choice(np.array([70, 150], np.uint8), (12, 17)).repeat(8, 0).repeat(8, 1)
        frames = np.stack([world[:, t : t + 128] for t in range(5)])
        write_film(tmp_path / f"{i}.mkv", np.repeat(frames[..., None], 3, axis=3), rate=24)
    monkeypatch.setattr(command, "Settings", partial(Settings, filters=32, steps=8, batch=8, rate=1e-5, pairs=200))
    monkeypatch.setattr(patch_banks, "SHOWN", 32)
    monkeypatch.setattr(backend, "_chosen", backend._chosen)
    words = ["patches", "--video", str(tmp_path), "--out", str(out)]
    assert main(words) == 0
    pictures = {"figure2.png", "rivals.png", "measures.png", "free_norm.png", "free_bias.png"}
    assert {path.name for path in out.iterdir()} == pictures | {"dictionary.npz", "results.json", "cache", ".lock"}
    with np.load(out / "dictionary.npz") as arrays:
        first = dict(arrays)
    assert all(first[f"W_{name}"].shape == (SIDE**2, 32) for name in ("d", "e_sparse", "sfa", "subspace", "unitary"))
    np.testing.assert_allclose((first["W_d_sparse"] ** 2).sum(0), 1, rtol=1e-5)
    assert (first["b_e"] <= 0).all() and first["matrix"].shape == (SIDE**2, SIDE**2)
    results = json.loads((out / "results.json").read_text())
    runs = results["runs"]
    assert runs.keys() == {"alpha0", "sparse", "sfa", "subspace", "unitary"} and runs["alpha0"]["test"]["dead"] >= 0
    assert results["settings"]["alpha"] == 1 and results["settings"]["steps"] == results["last"]["sparse"]["step"] == 8
    assert results["area_ratio"] == pytest.approx(runs["sparse"]["area"] / runs["alpha0"]["area"])
    printed = capsys.readouterr().out
    assert f"alpha = 0: {results['area_ratio']:.2f}" in printed
    assert f"{runs['unitary']['delta']:.3f} " in printed and f"{runs['sparse']['test']['active']:.3f} " in printed

    def fail(*_):
        raise RuntimeError("no LaTeX")

    monkeypatch.setattr(plots, "save", fail)
    next((out / "cache").glob("sparse-*")).unlink()
    (out / "results.json").unlink()
    assert main(words) == 0  # alpha0 is read from its checkpoint, sparse is trained again: both the same bits
    assert capsys.readouterr().err.count("could not be drawn: no LaTeX") == 5
    assert json.loads((out / "results.json").read_text())["runs"] == runs
    with np.load(out / "dictionary.npz") as arrays:
        for name, value in arrays.items():
            np.testing.assert_array_equal(value, first[name])
    cached = {path.name: path.read_bytes() for path in (out / "cache").iterdir()}
    everything = {*results["last"], "subspace", "unitary"}
    for change, new in (("--alpha 3", {"sparse", "free_norm"}), ("--pairs 150", everything), ("--batch 9", everything)):
        assert main([*words, *change.split()]) == 0
        now = {path.name: path.read_bytes() for path in (out / "cache").iterdir()}
        assert cached.items() < now.items()
        assert {name.partition("-")[0] for name in now.keys() - cached} == new
        cached = now
