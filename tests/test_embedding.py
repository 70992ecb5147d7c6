"""Eq. 1's network: gradients, pairs, what training may know, and the measures that judge it."""

import argparse
import inspect
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import seeds
from strict import Strict

from slowae import embedding, plots, train
from slowae.backend import array_module, to_device, to_host
from slowae.commands import plane as command
from slowae.data import plane
from slowae.embedding import (
    Config,
    draw_pairs,
    embed,
    init_params,
    loss_and_gradients,
    normalise,
    train_embedding,
)
from slowae.gradcheck import check_gradients
from slowae.metrics_plane import judge, linear_map, trustworthiness
from slowae.plots import plane as plots_plane

CHAIN = np.column_stack([np.arange(29), np.arange(1, 30)])  # 30 views in one sequence


def small_problem(seed, hidden=5):
    """-> float64 params and a batch of 6 frames in 9 pairs, on the host."""
    rng = np.random.default_rng(seed)
    params = {name: value.astype(float) for name, value in init_params(rng, 4, hidden).items()}
    params["b_1"], params["b_2"] = rng.standard_normal(hidden), rng.standard_normal(2)
    first, second = rng.integers(6, size=(2, 9))
    return params, (rng.standard_normal((6, 4)), first, second, rng.integers(2, size=9).astype(bool))


def by_loop(params, batch, config):
    """Eq. 1 with plain Python numbers -> loss, every |dz|, every pre-activation."""
    x, first, second, near = batch
    a = [
        [sum(x[n, d] * params["W_1"][d, k] for d in range(4)) + b for k, b in enumerate(params["b_1"])]
        for n in range(6)
    ]
    z = [
        [sum(max(0.0, v) * params["W_2"][k, i] for k, v in enumerate(row)) + params["b_2"][i] for i in (0, 1)]
        for row in a
    ]
    distances = [math.dist(z[i], z[j]) for i, j in zip(first, second, strict=True)]
    terms = [d if n else max(0.0, config.margin - d) for d, n in zip(distances, near, strict=True)]
    return (
        sum(t**2 / 2 if config.squared else t for t in terms) / len(terms),
        np.array(distances),
        np.array(a),
    )


@pytest.mark.parametrize("squared", [False, True])
@given(seeds)
def test_loss_and_gradients(squared, seed):
    params, batch = small_problem(seed)
    config = Config(margin=1.0, squared=squared)
    expected, distances, a = by_loop(params, batch, config)
    distances = distances[batch[1] != batch[2]]
    assume(np.abs(a).min() > 1e-3 and (np.minimum(distances, np.abs(distances - 1)) > 1e-3).all())
    device = tuple(to_device(part) for part in batch)

    def forward(**params):
        loss, grads = loss_and_gradients(to_device(params), device, config)
        return float(loss), to_host(grads)

    def backward(dout, grads):
        return tuple(dout * grads[name] for name in params)

    assert forward(**params)[0] == pytest.approx(expected, rel=1e-10)
    check_gradients(forward, backward, params, np.random.default_rng(seed))


def test_a_frame_in_many_pairs_collects_every_gradient():
    params, (x, *_) = small_problem(0)
    first, second, near = np.array([0, 0, 1]), np.array([1, 2, 0]), np.array([True, False, True])
    config = Config(margin=50.0)
    _, together = loss_and_gradients(to_device(params), tuple(map(to_device, (x, first, second, near))), config)
    parts = []
    for p in range(3):
        one = tuple(to_device(v[[p]]) for v in (first, second, near))
        parts.append(to_host(loss_and_gradients(to_device(params), (to_device(x), *one), config)[1]))
    for name, value in to_host(together).items():
        np.testing.assert_allclose(value, sum(part[name] for part in parts) / 3, atol=1e-12)


@given(seeds, st.integers(1, 6), st.integers(1, 4))
def test_pairs_are_near_if_and_only_if_adjacent_in_time(seed, near, far):
    frames, first, second, is_near = draw_pairs(np.random.default_rng(seed), CHAIN, Config(near=near, far=far))
    assert len(frames) == 2 * near and len(first) == len(second) == len(is_near) == near * (1 + far)
    t, other = frames[first], frames[second]
    np.testing.assert_array_equal(is_near, np.abs(t - other) <= 1)
    assert (np.abs(t - other)[:near] == 1).all()


def test_far_pairs_reach_everywhere():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        frames, first, second, near = draw_pairs(rng, CHAIN, Config(near=10, far=5))
        seen |= {frozenset(pair) for pair in zip(frames[first[~near]], frames[second[~near]], strict=True)}
    assert len(seen) == 30 * 29 / 2 - 29


def test_training_has_no_place_for_the_angles():
    names = list(inspect.signature(train_embedding).parameters)
    assert names == ["params", "x", "neighbours", "config", "rng", "settings", "options"]
    accepted = set(inspect.signature(train.fit).parameters)
    assert not any(word in name for name in accepted for word in ("yaw", "roll", "angle", "label", "target"))


def test_training_never_looks_at_held_out_views():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 4), dtype=np.float32)
    pairs = CHAIN[(CHAIN < 20).all(1)]
    config = Config(hidden=3, near=5, steps=5)
    results = []
    for value in (0.0, np.nan):
        x[20:] = value
        params = init_params(np.random.default_rng(1), 4, 3)
        results.append(train_embedding(params, to_device(x.copy()), pairs, config, np.random.default_rng(2))[0])
    for name, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][name])
        assert np.isfinite(value).all()


def test_normalise():
    rng = np.random.default_rng(0)
    views = rng.integers(256, size=(20, 3, 3), dtype=np.uint8)
    training = np.arange(20) < 15
    x = normalise(views, training)
    assert x.shape == (20, 9) and x.dtype == np.float32
    np.testing.assert_allclose(x[training].mean(0), 0, atol=1e-6)
    assert (x[training] ** 2).sum(1).mean() == pytest.approx(9, rel=1e-5)
    # One scale for every pixel: distances keep their proportions.
    flat = views.reshape(20, -1).astype(float)
    ratio = np.linalg.norm(x[1:] - x[0], axis=1) / np.linalg.norm(flat[1:] - flat[0], axis=1)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    views[15:] = 0
    np.testing.assert_array_equal(normalise(views, training)[:15], x[:15])


def test_init_keeps_the_scale():
    params = init_params(np.random.default_rng(0), 400, 300)
    assert {name: value.shape for name, value in params.items()} == {
        "W_1": (400, 300), "b_1": (300,), "W_2": (300, 2), "b_2": (2,),
    }  # fmt: skip
    assert all(value.dtype == np.float32 for value in params.values())
    assert params["W_1"].var() == pytest.approx(2 / 400, rel=0.05)
    assert params["W_2"].var() == pytest.approx(1 / 300, rel=0.2)
    assert not params["b_1"].any() and not params["b_2"].any()


def test_it_trains_on_the_device_alone(monkeypatch):
    monkeypatch.setattr(train, "to_device", Strict.of)
    monkeypatch.setattr(embedding, "to_device", Strict.of)
    monkeypatch.setattr(
        train, "to_host", lambda x: {n: v.get() for n, v in x.items()} if isinstance(x, dict) else x.get()
    )
    x = np.random.default_rng(0).standard_normal((30, 4), dtype=np.float32)
    params = init_params(np.random.default_rng(1), 4, 3)
    trained, _ = train_embedding(
        params, Strict.of(x), CHAIN, Config(hidden=3, near=5, steps=5), np.random.default_rng(2)
    )
    assert all(type(value) is np.ndarray for value in trained.values())
    plain, _ = _train_on_host(params, x)
    for name, value in trained.items():
        np.testing.assert_array_equal(value, plain[name])


def _train_on_host(params, x):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "to_device", lambda x: x)
        patch.setattr(embedding, "to_device", lambda x: x)
        patch.setattr(train, "to_host", lambda x: x)
        return train_embedding(params, x, CHAIN, Config(hidden=3, near=5, steps=5), np.random.default_rng(2))


def test_the_names_it_needs_exist_in_cupy():
    cupy = pytest.importorskip("cupy")
    assert callable(cupy.add.at) and callable(cupy.zeros_like)
    assert array_module(np.zeros(1)) is np


def test_bad_arguments_get_a_sentence():
    with pytest.raises(ValueError, match="at least 1"):
        Config(far=0)
    with pytest.raises(ValueError, match="must be positive"):
        Config(margin=0)
    with pytest.raises(ValueError, match="indices of the 3 views"):
        train_embedding({}, np.zeros((3, 2)), np.array([[0, 3]]), Config(), None)


@given(seeds)
def test_linear_map_finds_a_known_one(seed):
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 90, (60, 2))
    half = np.arange(60) < 30
    matrix = rng.standard_normal((2, 2))
    assume(np.linalg.cond(matrix) < 20)
    r2, degrees = linear_map(angles @ matrix + 3, angles, half, ~half)
    np.testing.assert_allclose(r2, 1)
    inverse = np.linalg.inv(matrix)
    cosine = inverse[:, 0] @ inverse[:, 1] / np.linalg.norm(inverse[:, 0]) / np.linalg.norm(inverse[:, 1])
    assert degrees == pytest.approx(np.degrees(np.arccos(cosine)), abs=1e-4)


def test_linear_map_is_judged_where_it_was_not_fitted():
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 90, (400, 2))
    half = np.arange(400) < 200
    z = angles + np.where(half, 0, 15)[:, None] * rng.standard_normal((400, 2))
    r2_fit, degrees = linear_map(z, angles, half, half)
    r2, _ = linear_map(z, angles, half, ~half)
    np.testing.assert_allclose(r2_fit, 1)
    expected = 1 - ((z - angles)[~half] ** 2).sum(0) / ((angles[~half] - angles[~half].mean(0)) ** 2).sum(0)
    np.testing.assert_allclose(r2, expected)
    assert degrees == pytest.approx(90)


def test_trustworthiness():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 60, 2))
    on, k, N = np.arange(60) % 2 == 0, 4, 60
    excess = 0
    for i in range(0, 60, 2):
        others = [j for j in range(60) if j != i]
        order = sorted(others, key=lambda j: math.dist(a[i], a[j]))
        for j in sorted(others, key=lambda j: math.dist(b[i], b[j]))[:k]:
            excess += max(0, order.index(j) + 1 - k)
    assert trustworthiness(a, b, on, k) == pytest.approx(1 - 2 * excess / (30 * k * (2 * N - 3 * k - 1)))
    assert trustworthiness(a, 5 * a[:, ::-1] - 1, on, k) == 1
    # A fold brings strangers together: untrustworthy. A tear parts neighbours: discontinuous.
    line = np.column_stack([np.linspace(-1, 1, 60), np.zeros(60)])
    everywhere = np.ones(60, bool)
    folded = np.abs(line)
    assert trustworthiness(line, folded, everywhere, k) < 0.9 < trustworthiness(folded, line, everywhere, k)
    with pytest.raises(ValueError, match="half of the 60"):
        trustworthiness(a, b, on, 30)


def test_the_coarse_plane_unrolls(tmp_path, monkeypatch):
    """Ten-degree steps, three seconds: the angles come out, from the neighbours alone."""
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path))
    views, yaw, roll = plane.load(10)
    angles = np.column_stack([yaw, roll])
    rng = np.random.default_rng(0)
    everything = np.ones(len(views), bool)
    x = to_device(normalise(views, everything))
    start = init_params(rng, 9216, 50)
    config = Config(hidden=50, near=50, far=10, steps=200)  # coarse steps pull harder: more far pairs
    params, history = train_embedding(start, x, plane.neighbours(10), config, rng)
    before, after = (
        linear_map(to_host(embed(to_device(p), x)), angles, everything, everything)[0] for p in (start, params)
    )
    assert history[-1]["loss"] < history[0]["loss"]
    assert before.min() < 0.5 and after.min() > 0.9


def run_command(out, *words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    common = {"backend": None, "seed": 0, "out": out, "resume": "--resume" in words}
    words = [word for word in words if word != "--resume"]
    command.run(parser.parse_args(["--step", "15", *words], argparse.Namespace(**common)))


def test_the_command_writes_everything_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path / "data"))
    words = ("--hidden", "5", "--near", "5", "--steps", "3")
    run_command(tmp_path / "a", *words)
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert {"figure_1a.png", "figure_1b.png", "unrolling.gif", "embedding.npz", "results.json"} <= names
    with np.load(tmp_path / "a" / "embedding.npz") as archive:
        first = dict(archive)
    assert {name: value.shape for name, value in first.items()} == {
        "z_start": (36, 2), "z_end": (36, 2), "yaw": (36,), "roll": (36,),
    }  # fmt: skip
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    training, _ = plane.split(np.random.default_rng(0), 15, 0.2)
    expected = judge(first["z_end"], np.column_stack([first["yaw"], first["roll"]]), training)
    assert results["end"] == expected
    assert results["seed"] == 0 and results["configuration"]["hidden"] == 5
    monkeypatch.setattr(plots, "save", lambda *_: None)
    monkeypatch.setattr(plots_plane, "unrolling", lambda *_: None)
    run_command(tmp_path / "a", *words, "--resume")
    with np.load(tmp_path / "a" / "embedding.npz") as archive:
        np.testing.assert_array_equal(archive["z_end"], first["z_end"])
    with pytest.raises(ValueError, match="saved with another held_out"):
        run_command(tmp_path / "a", *words, "--resume", "--held-out", "0.3")


def test_the_sweep_resumes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(command, "SWEEP", [{}, {"margin": 4.0}])
    monkeypatch.setattr(command, "SEEDS", 2)
    words = ("--sweep", "--hidden", "5", "--near", "5", "--steps", "3")
    run_command(tmp_path, *words)
    first = json.loads((tmp_path / "sweep.json").read_text())
    assert [(row["setting"], row["seed"]) for row in first["runs"]] == [
        ("as it comes", 0), ("as it comes", 1), ("margin 4.0", 0),
    ]  # fmt: skip
    assert (tmp_path / "sweep.png").exists() and "margin 4.0" in capsys.readouterr().out
    monkeypatch.setattr(command, "train_embedding", None)
    run_command(tmp_path, *words, "--resume")
    assert json.loads((tmp_path / "sweep.json").read_text()) == first
    with pytest.raises(ValueError, match="other settings"):
        run_command(tmp_path, *words, "--resume", "--rate", "0.1")
