"""What learns from patches, and the command that compares it."""

import json
from functools import partial

import numpy as np
import pytest
from strict import in_use
from test_film_patches import moving_film, write_film
from tiny import refuse

from slowae import measures, model, patch_banks, plots
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


def learn(config=SPARSE, start=START, x=X, **settings):
    """patch_banks.learn_eq2 -> params, history."""
    run = Run(**({"steps": 1, "batch": 8, "rate": 1e-5, "optimizer": "sgd", "bias_rate": 0.1} | settings))
    params = patch_banks.learn_eq2("a", start, to_device(x), config, run)
    return params, run.histories["a"]


def test_the_slowest_groups_come_first():
    rng, config = np.random.default_rng(0), model.Config(0.5, 1.0, 4, size=1)
    params = model.init_params(rng, (SIDE**2, 40))
    params["b_e"][8:12] = -1e6  # group 2 is silent
    x = rng.standard_normal((10, SIDE**2)).astype(np.float32)
    h = np.maximum(0, x @ params["W_e"] + params["b_e"])
    z = np.sqrt((h.reshape(10, 10, 4) ** 2).sum(2))
    slowness = [np.abs(v[:5] - v[5:]).mean() / v.mean() if v.any() else np.inf for v in z.T]
    bank = patch_banks.of_eq2(params, to_device(x), config)
    for place, i in enumerate(np.argsort(slowness)):
        block = bank.W[:, 4 * place : 4 * place + 4]
        np.testing.assert_array_equal(block, params["W_d"][:, 4 * i : 4 * i + 4])
        np.testing.assert_allclose(bank.z[:, place], z[:, i], rtol=1e-5, atol=1e-6)


def test_the_numbers_of_a_bank_are_those_of_its_filters_and_codes():
    rng = np.random.default_rng(0)
    W, z = rng.standard_normal((SIDE**2, 8)), rng.random((20, 4))
    z[:, 3] = 0.5  # constant: its delta is infinite, and left out
    numbers = patch_banks.judge(patch_banks.Bank(W, 2, z), seed=3)
    expected = measures.measure(W.reshape(SIDE, SIDE, 8), 2)
    assert numbers["coherence"] == measures.coherence(expected, np.random.default_rng(3), 2)
    assert numbers["area"] == expected["area"].mean()
    assert numbers["delta"] == pytest.approx(measures.delta(z)[:3].mean())


def test_a_batch_is_pairs_and_biases_learn_slower(monkeypatch):
    batches, real = [], model.loss_and_gradients

    def spy(params, batch, config):
        batches.append(to_host(batch))
        return real(params, batch, config)

    monkeypatch.setattr(model, "loss_and_gradients", spy)
    start = START | {"b_e": np.full(16, -0.1, np.float32)}
    params, _ = learn(start=start)
    (batch,) = batches
    for first, second in zip(batch[:8], batch[8:], strict=True):
        (i,) = np.flatnonzero((X[0] == first).all(1))
        assert (X[1, i] == second).all()
    assert len(np.unique(batch, axis=0)) > 8
    _, grads = real(start, batch, SPARSE)
    np.testing.assert_allclose(params["W_e"], start["W_e"] - 1e-5 * grads["W_e"], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(params["b_e"] - start["b_e"], -1e-6 * grads["b_e"], rtol=1e-2, atol=2e-8)


def test_biases_are_bounded_by_kappa_and_host_arrays_never_meet_the_devices():
    with in_use():
        params, _ = learn(start=START | {"b_e": np.full(16, -9, np.float32)}, steps=3, rate=1e-3)
        assert type(params["W_d"]) is np.ndarray
        assert (params["b_e"] >= -1.00001 * SPARSE.kappa * np.linalg.norm(params["W_e"], axis=0)).all()
        assert type(patch_banks.of_eq2(params, to_device(X[0]), SPARSE).z) is np.ndarray


def test_whatever_a_training_depends_on_is_in_the_name_of_its_checkpoint(tmp_path):
    _, first = learn(out=tmp_path)
    changes = {}, {"x": -X}, {"config": DENSE}, {"start": START | {"b_e": START["b_e"] - 1}}
    for files, change in enumerate(changes, 1):
        _, history = learn(out=tmp_path, **change)
        assert len(list(tmp_path.iterdir())) == files
        assert (history[-1]["loss"] == first[-1]["loss"]) == (not change)


def test_the_command_end_to_end_and_again(tmp_path, monkeypatch, capsys):
    """On films of a texture that moves one pixel a frame."""
    rng, out = np.random.default_rng(0), tmp_path / "out"
    for i in range(6):
        write_film(tmp_path / f"{i}.mkv", moving_film(rng, 5))
    monkeypatch.setattr(command, "Settings", partial(Settings, filters=32, steps=8, batch=8, rate=1e-5, pairs=200))
    monkeypatch.setattr(patch_banks, "SHOWN", 32)
    words = ["patches", "--video", str(tmp_path), "--out", str(out)]
    assert main(words) == 0
    pictures = {"figure2.png", "rivals.png"}
    assert {path.name for path in out.iterdir()} == pictures | {"dictionary.npz", "results.json", "cache", ".lock"}
    with np.load(out / "dictionary.npz") as arrays:
        first = dict(arrays)
    assert all(first[f"W_{name}"].shape == (SIDE**2, 32) for name in ("d", "e_sparse", "sfa", "subspace", "unitary"))
    np.testing.assert_allclose((first["W_d_sparse"] ** 2).sum(0), 1, rtol=1e-5)
    assert np.abs(first["W_e_sparse"] - first["W_e"]).max() < 1e-3  # where the first run ended
    assert (first["b_e"] <= 0).all() and first["matrix"].shape == (SIDE**2, SIDE**2)
    x, tested, *_ = command.load(sorted(tmp_path.glob("*.mkv")), command.Settings())
    assert len(tested) > 0 and not {pair.tobytes() for pair in x.reshape(-1, SIDE**2)} & {y.tobytes() for y in tested}
    results = json.loads((out / "results.json").read_text())
    runs = results["runs"]
    assert runs.keys() == {"alpha0", "sparse", "sfa", "subspace", "unitary"} and runs["alpha0"]["test"]["dead"] >= 0
    assert results["settings"]["alpha"] == 1 and results["settings"]["steps"] == results["last"]["sparse"]["step"] == 8
    assert results["area_ratio"] == pytest.approx(runs["sparse"]["area"] / runs["alpha0"]["area"])
    printed = capsys.readouterr().out
    assert f"alpha = 0: {results['area_ratio']:.2f}" in printed
    assert f"{runs['unitary']['delta']:.3f} " in printed and f"{runs['sparse']['test']['active']:.3f} " in printed

    monkeypatch.setattr(plots, "save", refuse(RuntimeError("no LaTeX")))
    next((out / "cache").glob("sparse-*")).unlink()
    (out / "results.json").unlink()
    assert main(words) == 0  # alpha0 is read from its checkpoint, sparse is trained again: both the same bits
    assert capsys.readouterr().err.count("could not be drawn: no LaTeX") == 2
    assert json.loads((out / "results.json").read_text())["runs"] == runs
    with np.load(out / "dictionary.npz") as arrays:
        for name, value in arrays.items():
            np.testing.assert_array_equal(value, first[name])
    cached = {path.name for path in (out / "cache").iterdir()}
    for change, new in (("--alpha 3", {"sparse"}), ("--pairs 150", {"alpha0", "sparse", "subspace", "unitary"})):
        assert main([*words, *change.split()]) == 0
        now = {path.name for path in (out / "cache").iterdir()}
        assert {name.partition("-")[0] for name in now - cached} == new and cached < now
        cached = now
