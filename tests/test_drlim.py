"""Eq. 1's network and pairs (the loss: test_losses, too); the plane unrolls, and its command can be repeated."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import assume, given
from PIL import Image
from strategies import seeds
from strict import in_use
from tiny import refuse

from slowae import plane_measures, plots
from slowae.__main__ import main
from slowae.backend import to_device, to_host
from slowae.commands import plane as command
from slowae.data import plane
from slowae.gradcheck import check_gradients
from slowae.losses import drlim
from slowae.methods.drlim import Config, draw_pairs, embed, init_params, loss_and_gradients, normalise, train_embedding

CHAIN = np.column_stack([np.arange(29), np.arange(1, 30)])  # 30 views in one sequence
forms = pytest.mark.parametrize("squared", [False, True])


def by_loop(z, z_other, near, margin, squared):
    distances = map(math.dist, z, z_other)
    terms = [d if n else max(0.0, margin - d) for d, n in zip(distances, near, strict=True)]
    return sum(t**2 / 2 if squared else t for t in terms) / len(terms)


@forms
@pytest.mark.parametrize("distance", [0, 5.0, 5.1, 1e6])
def test_at_the_kinks_and_beyond_the_margin_nothing_moves(squared, distance):
    z, near = np.zeros((2, 2)), np.array([distance == 0, False])
    z_other = z + distance / 5 * np.array([3.0, 4.0])
    loss, dz, dz_other = drlim(*map(to_device, (z, z_other, near)), 5.0, squared)
    assert float(loss) == ((12.5 if squared else 5.0) / 2 if distance == 0 else 0)  # the far pair that coincides pays
    assert not dz.any() and not dz_other.any()


@forms
@given(seeds)
def test_the_network_equals_the_loop_and_its_gradients_the_differences(squared, seed):
    rng = np.random.default_rng(seed)
    params = {name: value.astype(float) for name, value in init_params(rng, 4, hidden=5).items()}
    params["b_1"], b_2 = rng.standard_normal(5), rng.standard_normal(2)
    x, near = rng.standard_normal((6, 4)), rng.integers(2, size=9).astype(bool)
    first, second = rng.integers(6, size=(2, 9))
    a = np.array([[sum(row * W) + b for W, b in zip(params["W_1"].T, params["b_1"], strict=True)] for row in x])
    z = np.array([[sum(np.maximum(row, 0) * W) for W in params["W_2"].T] for row in a]) + b_2
    off = np.linalg.norm(z[first] - z[second], axis=1)[first != second]
    assume(np.abs(a).min() > 1e-3 and (np.minimum(off, np.abs(off - 1)) > 1e-3).all())
    batch, config = tuple(map(to_device, (x, first, second, near))), Config(margin=1.0, squared=squared)
    del params["b_2"]

    def forward(**params):
        loss, grads = loss_and_gradients(to_device(params | {"b_2": b_2}), batch, config)
        return float(loss), to_host(grads)

    loss, grads = forward(**params)
    assert loss == pytest.approx(by_loop(z[first], z[second], near, 1.0, squared), rel=1e-10)
    np.testing.assert_allclose(grads["b_2"], 0, atol=1e-12)  # only distances matter
    assume(all(np.linalg.norm(grads[name]) > 1e-6 for name in params))  # else rounding is all there is to compare
    backward = lambda dout, grads: tuple(dout * grads[name] for name in params)  # noqa: E731
    check_gradients(forward, backward, params, np.random.default_rng(seed))


def test_pairs_are_near_if_and_only_if_adjacent_in_time_and_far_ones_reach_everywhere():
    rng, seen = np.random.default_rng(0), set()
    for _ in range(300):
        frames, first, second, near = draw_pairs(rng, CHAIN, Config(near=10, far=5))
        assert len(frames) == 20 and len(first) == len(second) == len(near) == 60
        apart = np.abs(frames[first] - frames[second])
        np.testing.assert_array_equal(near, apart <= 1)
        assert (apart[:10] == 1).all()
        seen |= {frozenset(pair) for pair in zip(frames[first[~near]], frames[second[~near]], strict=True)}
    assert len(seen) == 30 * 29 / 2 - 29


def test_training_never_looks_at_held_out_views_nor_leaves_the_device():
    x = np.random.default_rng(0).standard_normal((30, 4), dtype=np.float32)
    work = CHAIN[(CHAIN < 20).all(1)], Config(hidden=3, near=5, steps=5), 2, np.arange(4)
    plain, _ = train_embedding(to_device(x), *work)
    x[20:] = np.nan
    with in_use():
        result, _ = train_embedding(to_device(x), *work)
    for name, value in result.items():
        assert type(value) is np.ndarray
        np.testing.assert_allclose(value, plain[name], rtol=1e-5, atol=1e-7)


def test_normalise():
    views, training = np.random.default_rng(0).integers(256, size=(20, 3, 3), dtype=np.uint8), np.arange(20) < 15
    x, flat = normalise(views, training), views.reshape(20, -1).astype(float)
    assert x.dtype == np.float32 and (x[training] ** 2).sum(1).mean() == pytest.approx(9, rel=1e-5)
    np.testing.assert_allclose(x[training].mean(0), 0, atol=1e-6)
    ratio = np.linalg.norm(x[1:] - x[0], axis=1) / np.linalg.norm(flat[1:] - flat[0], axis=1)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)  # one scale for every pixel
    views[15:] = 0
    np.testing.assert_array_equal(normalise(views, training)[:15], x[:15])


@pytest.fixture
def rendered(tmp_path_factory, monkeypatch):
    """SLOWAE_DATA of this run of the tests."""
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path_factory.getbasetemp() / "plane"))


def test_the_coarse_plane_unrolls(rendered):
    """Ten-degree steps, three seconds: the angles come out, from the neighbours alone."""
    views, yaw, roll = plane.load(10)
    everything, angles = np.ones(len(views), bool), np.column_stack([yaw, roll])
    x = to_device(normalise(views, everything))
    config = Config(hidden=50, near=50, far=10, steps=200)  # coarse steps pull harder: more far pairs
    params, history = train_embedding(x, plane.neighbours(10), config, 0, np.arange(40, 60))
    z = to_host(embed(to_device(params), x))
    np.testing.assert_allclose(history[-1]["z"], z[40:60], atol=1e-4)
    start = to_host(embed(to_device(init_params(np.random.default_rng(0), 9216, 50)), x))
    before, after = (plane_measures.linear_map(codes, angles, everything, everything)[0].min() for codes in (start, z))
    assert before < 0.5 and after > 0.9


WORDS = "plane --step 15 --steps 3 --out".split()


def test_the_command_writes_everything_and_the_same_again(rendered, tmp_path, monkeypatch, capsys):
    def written():
        with np.load(tmp_path / "embedding.npz") as archive:
            return dict(archive), json.loads((tmp_path / "results.json").read_text())

    assert main([*WORDS, str(tmp_path)]) == 0
    pictures = {"figure_1a.png", "figure_1b.png", "unrolling.gif"}
    assert {path.name for path in tmp_path.iterdir()} == pictures | {"embedding.npz", "results.json", "cache", ".lock"}
    with Image.open(tmp_path / "unrolling.gif") as film:
        assert film.n_frames == 4  # the start, and each step
    first, results = written()
    assert {n: v.shape for n, v in first.items()} == dict(z_start=(36, 2), z_end=(36, 2), yaw=(36,), roll=(36,))
    training, _ = plane.split(np.random.default_rng(0), 15, 0.2)
    assert results["end"] == plane_measures.judge(first["z_end"], np.stack([first["yaw"], first["roll"]], 1), training)
    settings = results["settings"]
    assert settings == asdict(Config(steps=3)) | asdict(command.Settings(step=15))
    assert f"{results['end']['degrees_between_gradients']:.1f} degrees" in capsys.readouterr().out

    # Numbers come first, and each picture that fails costs itself alone.
    monkeypatch.setattr(plots, "save", refuse(RuntimeError("no LaTeX")))
    (cached,) = (tmp_path / "cache").iterdir()
    before = cached.read_bytes()
    for change in ([], ["--margin", "3"], ["--rate", "0.01"]):
        (tmp_path / "results.json").unlink()
        assert main([*WORDS, str(tmp_path), *change]) == 0
        assert capsys.readouterr().err.count("could not be drawn: no LaTeX") == 3
        arrays, results = written()
        assert np.array_equal(arrays["z_end"], first["z_end"]) == (results["settings"] == settings) == (not change)
        assert cached.read_bytes() == before
    assert len(list((tmp_path / "cache").iterdir())) == 3
